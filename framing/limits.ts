/**
 * The limit on a message's length, and what happens to a longer message.
 *
 * @example Dropping messages that are too long
 * ```ts
 * import { ChunkDecoder, type LimitOptions, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const dropped: number[] = [];
 * const limits: LimitOptions = {
 *   maxLength: 4,
 *   oversize: "discard",
 *   onDiscard: (byteLength) => void dropped.push(byteLength),
 * };
 * const bytes = new TextEncoder().encode("one\nthirteen\ntwo\n");
 *
 * assertEquals(new ChunkDecoder(lines(limits)).decode(bytes), ["one", "two"]);
 * assertEquals(dropped, [8]);
 * ```
 */
export interface LimitOptions {
  /**
   * The most bytes in a message, its delimiter, prefix or terminator not counted.
   * A message of exactly this length is allowed. `Infinity` turns the limit off.
   *
   * @default {1_048_576}
   */
  maxLength?: number | undefined;
  /**
   * What happens when a longer message arrives: `"error"` ends the stream with
   * a {@linkcode FramingError} of code `"too-long"`; `"discard"` drops that message and
   * continues with the next. A request whose answer was dropped gets the answer to the
   * next request, unless answers have ids and `correlate()` reads them.
   *
   * @default {"error"}
   */
  oversize?: "error" | "discard" | undefined;
  /**
   * Called with the length in bytes of each dropped message, once all of it has passed.
   * Only with `oversize: "discard"`. If it throws, the stream ends. If it is an async
   * function, nothing waits for it, and a rejection goes to `console.error`.
   */
  onDiscard?: ((byteLength: number) => void) | undefined;
}
