import { checkChoice } from "./_limits.ts";
import { BytesDecoder } from "./_frames.ts";
import { TextFrameDecoder } from "./_text_frames.ts";
import { checkText, decodeText, REPLACEMENT, utf8Error } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { mapped } from "./mapped.ts";

/**
 * Options for {@linkcode asText}.
 *
 * @example Bytes that are not UTF-8
 * ```ts
 * import {
 *   asText,
 *   type AsTextOptions,
 *   fixedLength,
 *   FramingError,
 * } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function readByte(byte: number, options?: AsTextOptions): string[] {
 *   const framing = asText(fixedLength(1), options);
 *   return framing.decoder().decode(new Uint8Array([byte]));
 * }
 *
 * assertEquals(readByte(0x41, { fatal: true }), ["A"]);
 * assertEquals(readByte(0xff), ["\ufffd"]);
 * assertThrows(() => readByte(0xff, { fatal: true }), FramingError);
 * ```
 */
export interface AsTextOptions {
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
 * @throws {TypeError} If `fatal` is not a boolean.
 *
 * @example Text with its length before it
 * ```ts
 * import { asText, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asText(lengthPrefixed());
 *
 * assertEquals(framing.decoder().decode(framing.encode("안녕")), ["안녕"]);
 * ```
 */
export function asText(
  framing: Framing<Bytes, Sendable>,
  options: AsTextOptions = {},
): Framing<string> {
  const { fatal = false } = options;
  checkChoice("asText", "fatal", fatal, [true, false]);
  const rules = { what: "text", fatal, malformed: undefined };
  const asMapped = mapped(framing, {
    decode(bytes) {
      const text = decodeText(bytes);
      const error = fatal && text.includes(REPLACEMENT)
        ? utf8Error("text", bytes)
        : undefined;
      if (error !== undefined) throw error;
      return text;
    },
    encode(text: string) {
      checkText(text);
      return text;
    },
  });
  return {
    encoder: asMapped.encoder,
    decoder() {
      const decoder = framing.decoder();
      return decoder instanceof BytesDecoder
        ? new TextFrameDecoder(decoder.finder, rules)
        : asMapped.decoder();
    },
  };
}
