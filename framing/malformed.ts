import type { FramingError } from "./framing_error.ts";

/**
 * What happens to a message that is malformed but whose end is known.
 *
 * @example One bad message does not end the stream
 * ```ts
 * import {
 *   asJson,
 *   ChunkDecoder,
 *   delimited,
 *   type FramingError,
 *   type MalformedOptions,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const dropped: FramingError[] = [];
 * const options: MalformedOptions = {
 *   onMalformed: (error) => void dropped.push(error),
 * };
 * const decoder = new ChunkDecoder(asJson(delimited("\n"), options));
 * const bytes = new TextEncoder().encode("1\n{oops\n2\n");
 *
 * assertEquals(decoder.decode(bytes), [1, 2]);
 * assertEquals(dropped.map(({ code }) => code), ["malformed"]);
 * ```
 */
export interface MalformedOptions {
  /**
   * What happens to a message that is malformed: `"error"` ends the stream with a
   * {@linkcode FramingError}; `"discard"` drops that message and continues with the next.
   * A function does the same, and is called with the error of each dropped message, for
   * example to count them. If it throws, the stream ends. If it is an async function,
   * nothing waits for it, and a rejection goes to `console.error`.
   *
   * A receiver that waits for a dropped message gets the next one. So if answers come in
   * order, as for `Connection.request()`, a request whose answer was dropped gets the
   * answer to the next request: use `"error"` then, or ids and `correlate()`.
   *
   * Bytes that break a rule of the framing itself always end the stream, because nothing
   * shows where the next message begins.
   *
   * @default {"error"}
   */
  onMalformed?:
    | "error"
    | "discard"
    | ((error: FramingError) => void)
    | undefined;
}
