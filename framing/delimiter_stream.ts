import {
  delimitedFrames,
  type DelimitedRules,
  type Disposition,
} from "./_delimited_frames.ts";
import { delimiterSearch } from "./_delimiter_search.ts";
import { BytesDecoder } from "./_decoders.ts";
import { checkChoice, checkLimits } from "./_limits.ts";
import { type Delimiter, toDelimiters } from "./delimited.ts";
import type { Bytes } from "./bytes.ts";
import type { LimitOptions } from "./limits.ts";
import { FrameDecoderStream } from "./streams.ts";

/**
 * Options for {@linkcode DelimiterStream}.
 *
 * @example A delimiter that stays
 * ```ts
 * import { DelimiterStream, type DelimiterStreamOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: DelimiterStreamOptions = { disposition: "suffix" };
 * const parts = new Blob(["a;b"]).stream()
 *   .pipeThrough(new DelimiterStream(";", options));
 *
 * const texts = Array.fromAsync(parts, (part) => new TextDecoder().decode(part));
 * assertEquals(await texts, ["a;", "b"]);
 * ```
 */
export interface DelimiterStreamOptions extends LimitOptions {
  /**
   * What happens to a delimiter: `"discard"` drops it, `"suffix"` leaves it at the end
   * of the part before it, `"prefix"` at the beginning of the part after it.
   *
   * @default {"discard"}
   */
  disposition?: "discard" | "suffix" | "prefix" | undefined;
}

/**
 * A `TransformStream` that splits bytes at delimiters: like the class of that name in
 * `@std/streams`, but with a limit, several delimiters, and the same parts wherever the
 * bytes are cut.
 *
 * Like that class, and unlike {@linkcode delimited}, it gives one part more than there
 * are delimiters: an empty one after a delimiter at the end, and before one at the
 * beginning.
 *
 * @example Parts of a stream of bytes
 * ```ts
 * import { DelimiterStream } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const parts = new Blob(["one,t", "wo,"]).stream()
 *   .pipeThrough(new DelimiterStream(","))
 *   .pipeThrough(new TextDecoderStream());
 *
 * assertEquals((await Array.fromAsync(parts)).join("+"), "one+two");
 * ```
 */
export class DelimiterStream extends FrameDecoderStream<Bytes> {
  /**
   * Makes a stream.
   *
   * @param delimiter One delimiter, or several.
   * @param options What happens to delimiters, and limits.
   * @throws {TypeError} If an option has a value that is not listed, or `onDiscard`
   * is given without `oversize: "discard"`.
   * @throws {RangeError} If a delimiter is empty, or `maxLength` is out of range.
   */
  constructor(delimiter: Delimiter, options: DelimiterStreamOptions = {}) {
    const { disposition = "discard" } = options;
    const delimiters = toDelimiters(delimiter);
    checkChoice<Disposition>("DelimiterStream", "disposition", disposition, [
      "discard",
      "suffix",
      "prefix",
    ]);
    const rules: DelimitedRules = {
      what: "delimited part",
      disposition,
      trailing: "always",
      limits: checkLimits("DelimiterStream", options),
    };
    const frames = delimitedFrames(rules, delimiterSearch(delimiters));
    super({ decoder: () => new BytesDecoder(frames()) });
  }
}
