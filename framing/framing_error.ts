import { isError } from "../internal/realms.ts";

/**
 * What is wrong with the bytes of a stream.
 *
 * - `"too-long"`: a message is longer than the limit, or than can be counted.
 * - `"truncated"`: the stream ended inside a message.
 * - `"malformed"`: the bytes break a rule of the framing.
 *
 * @example Words for each code
 * ```ts
 * import {
 *   ChunkDecoder,
 *   FramingError,
 *   type FramingErrorCode,
 *   netstrings,
 * } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const words: Record<FramingErrorCode, string> = {
 *   "too-long": "more than I take",
 *   "truncated": "the end is missing",
 *   "malformed": "not a netstring",
 * };
 * const { code } = assertThrows(
 *   () => new ChunkDecoder(netstrings()).decode(new TextEncoder().encode("hello")),
 *   FramingError,
 * );
 * assertEquals(words[code], "not a netstring");
 * ```
 */
export type FramingErrorCode = "too-long" | "truncated" | "malformed";

/**
 * Options for {@linkcode FramingError}.
 *
 * @example An error of a custom framing
 * ```ts
 * import { FramingError, type FramingErrorOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: FramingErrorOptions = { code: "malformed", offset: 96 };
 * const error = new FramingError("Cannot decode frame at byte 96", options);
 *
 * assertEquals([error.code, error.offset], ["malformed", 96]);
 * ```
 */
export interface FramingErrorOptions extends ErrorOptions {
  /**
   * What is wrong.
   *
   * @default {"malformed"}
   */
  code?: FramingErrorCode | undefined;
  /** The limit that was exceeded, in bytes. */
  limit?: number | undefined;
  /** The offset in the stream at which the wrong message begins, in bytes. */
  offset?: number | undefined;
}

/**
 * The error of a stream whose bytes cannot be divided into messages.
 *
 * The peer always causes it. A mistake in this program, such as an option out of range,
 * is a `TypeError` or a `RangeError`.
 *
 * @example Telling a message that is too long from other errors
 * ```ts
 * import { ChunkDecoder, FramingError, lines } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(lines({ maxLength: 4 }));
 * const error = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("hello\n")),
 *   FramingError,
 * );
 *
 * assertEquals(error.code, "too-long");
 * assertEquals(error.limit, 4);
 * assertEquals(error.offset, 0);
 * ```
 */
export class FramingError extends Error {
  /** The name of the error, always `"FramingError"`. */
  override name = "FramingError";
  /** What is wrong. */
  readonly code: FramingErrorCode;
  /** The limit that was exceeded, in bytes, if there is one. */
  readonly limit: number | undefined;
  /**
   * The offset in the stream at which the wrong message begins, in bytes, if known. If a
   * part of a message has a framing of its own, such as each line of `grouped(lines(), …)`,
   * the offset of an error in that part is where the part begins.
   */
  readonly offset: number | undefined;

  /**
   * Makes an error.
   *
   * @param message What happened, with which values, and what the limit was.
   * @param options The same as fields; by default the bytes are malformed.
   */
  constructor(message: string, options: FramingErrorOptions = {}) {
    super(message, options);
    this.code = options.code ?? "malformed";
    this.limit = options.limit;
    this.offset = options.offset;
  }
}

/**
 * Whether the error is a {@linkcode FramingError}, also one of another copy of this
 * module, which has its own class: a framing from a package that depends on another
 * version throws such errors.
 */
export function isFramingError(error: unknown): error is FramingError {
  if (error instanceof FramingError) return true;
  return isError(error) && error.name === "FramingError" &&
    "code" in error;
}
