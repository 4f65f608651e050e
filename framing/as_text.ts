import { checkText, decodeUtf8 } from "./_utf8.ts";
import type { Bytes, Framing, Sendable } from "./framing.ts";
import { mappedAsText } from "./mapped.ts";

/** Options for {@linkcode asText}. */
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
  return mappedAsText(framing, {
    decode: (bytes) => decodeUtf8("text", bytes, { fatal }),
    encode(text: string) {
      checkText(text);
      return text;
    },
  });
}
