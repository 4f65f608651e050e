import { checkChoice, checkInner } from "./_limits.ts";
import { checkMalformed } from "./_malformed.ts";
import { textFraming } from "./_text_framing.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import type { MalformedOptions } from "./malformed.ts";

/**
 * Options for {@linkcode asText}.
 *
 * @example Bytes that are not UTF-8
 * ```ts
 * import {
 *   asText,
 *   type AsTextOptions,
 *   ChunkDecoder,
 *   fixedLength,
 *   FramingError,
 * } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function readByte(byte: number, options?: AsTextOptions): string[] {
 *   const framing = asText(fixedLength(1), options);
 *   return new ChunkDecoder(framing).decode(new Uint8Array([byte]));
 * }
 *
 * assertEquals(readByte(0x41, { fatal: true }), ["A"]);
 * assertEquals(readByte(0xff), ["\ufffd"]);
 * assertThrows(() => readByte(0xff, { fatal: true }), FramingError);
 * ```
 */
export interface AsTextOptions extends MalformedOptions {
  /**
   * Whether bytes that are not UTF-8 are an error of code `"malformed"`. If not,
   * each is read as U+FFFD, the replacement character.
   *
   * @default {false}
   */
  fatal?: boolean | undefined;
}

/**
 * A framing of bytes, read and written as UTF-8 text. A leading byte order mark
 * is kept.
 *
 * @param framing Where messages begin and end.
 * @param options What happens to bytes that are not UTF-8.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing, or `fatal` or `onMalformed` has a value that is not listed.
 *
 * @example Text after its length
 * ```ts
 * import {
 *   asText,
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   lengthPrefixed,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asText(lengthPrefixed());
 *
 * assertEquals(new ChunkDecoder(framing).decode(new ChunkEncoder(framing).encode("안녕")), ["안녕"]);
 * ```
 */
export function asText(
  framing: Framing<Bytes, Sendable>,
  options: AsTextOptions = {},
): Framing<string> {
  checkInner("asText", framing);
  const { fatal = false } = options;
  checkChoice("asText", "fatal", fatal, [true, false]);
  return textFraming(framing, {
    what: "text",
    fatal,
    malformed: checkMalformed("asText", options),
  });
}
