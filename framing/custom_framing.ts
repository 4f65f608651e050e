import { Carry } from "./_carry.ts";
import { checkFunction } from "../internal/checks.ts";
import {
  checkMaxLength,
  checkSendLength,
  DEFAULT_MAX_LENGTH_BYTES,
  tooLong,
  truncated,
} from "./_limits.ts";
import { ownedBytes, type Parser, parserDecoder } from "./_parser.ts";
import type { Bytes, Framing } from "./framing.ts";

/**
 * One message, found at the beginning of the buffered bytes.
 *
 * @typeParam In What is received.
 *
 * @example A message of one byte, whose length is its own
 * ```ts
 * import { customFraming, type SplitResult } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function split(buffered: Uint8Array): SplitResult<number> {
 *   const [message = 0] = buffered; // never empty
 *   return { message, length: 1 };
 * }
 * const framing = customFraming<number>({
 *   split,
 *   encode: (message) => new Uint8Array([message]),
 * });
 * assertEquals(framing.decoder().decode(new Uint8Array([1, 2])), [1, 2]);
 * ```
 */
export interface SplitResult<In> {
  /** The message. It may be a view of the buffered bytes. */
  message: In;
  /** How many of the buffered bytes it took, with all that marks its ends: 1 or more. */
  length: number;
}

/**
 * Options for {@linkcode customFraming}.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example Words between spaces
 * ```ts
 * import { customFraming, type CustomFramingOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const words: CustomFramingOptions<string> = {
 *   split(buffered, ended) {
 *     const space = buffered.indexOf(0x20);
 *     if (space === -1 && !ended) return undefined; // more bytes are needed
 *     const end = space === -1 ? buffered.length : space;
 *     return {
 *       message: new TextDecoder().decode(buffered.subarray(0, end)),
 *       length: space === -1 ? end : end + 1,
 *     };
 *   },
 *   encode: (word) => new TextEncoder().encode(`${word} `),
 *   maxLength: 100,
 * };
 * const decoder = customFraming(words).decoder();
 *
 * assertEquals(decoder.decode(new TextEncoder().encode("to be")), ["to"]);
 * assertEquals(decoder.end(), ["be"]);
 * ```
 */
export interface CustomFramingOptions<In, Out = In> {
  /**
   * Finds the message at the beginning of `buffered`, or returns `undefined` when
   * more bytes are needed. It is called again for the bytes behind a message.
   *
   * `buffered` is never empty, and ends wherever the bytes that have arrived do. What
   * is returned must be the same with more bytes buffered, or other cuts of the same
   * stream would give other messages. `ended` says that no more bytes come.
   *
   * What it throws ends the stream; throw a {@linkcode FramingError} for bytes that
   * break a rule. It must not write to `buffered`.
   */
  split: (buffered: Bytes, ended: boolean) => SplitResult<In> | undefined;
  /** Encodes one message as one frame. Throws for what would not be read back. */
  encode: (message: Out) => Uint8Array;
  /**
   * The most bytes that one message takes, with all that marks its ends, in both
   * directions. `Infinity` turns the limit off.
   *
   * @default {1_048_576}
   */
  maxLength?: number | undefined;
}

/**
 * Frames messages by a function of your own, which finds where each ends. The
 * buffering, the limit and the errors are done for you.
 *
 * It is what `SplitFunc` is to Go's `bufio.Scanner`, and `Decoder` to tokio.
 *
 * At the end of the stream `split` is asked for the remainder; if it still wants
 * more, the stream is `"truncated"`.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options How to split and encode, and the limit.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `split` or `encode` is not a function.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example Numbers of one to nine digits that say how many digits follow
 * ```ts
 * import { customFraming } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = customFraming<number>({
 *   split(buffered) {
 *     const text = new TextDecoder().decode(buffered);
 *     const length = 1 + Number(text[0]);
 *     if (text.length < length) return undefined;
 *     return { message: Number(text.slice(1, length)), length };
 *   },
 *   encode: (message) =>
 *     new TextEncoder().encode(`${String(message).length}${message}`),
 * });
 * const decoder = framing.decoder();
 *
 * assertEquals(decoder.decode(framing.encode(123)), [123]);
 * assertEquals(decoder.decode(new TextEncoder().encode("1724")), [7]);
 * assertEquals(decoder.decode(new TextEncoder().encode("2")), [42]);
 * ```
 */
export function customFraming<In, Out = In>(
  options: CustomFramingOptions<In, Out>,
): Framing<In, Out> {
  const { maxLength = DEFAULT_MAX_LENGTH_BYTES } = options;
  checkFunction("make customFraming framing", "split", options.split);
  checkFunction("make customFraming framing", "encode", options.encode);
  checkMaxLength("customFraming", maxLength);
  return {
    decoder: () => parserDecoder(new CustomParser(options, maxLength)),
    encode(message) {
      const frame = options.encode(message);
      checkSendLength(frame.length, maxLength);
      return frame;
    },
  };
}

const WHAT = "custom message";

class CustomParser<In> implements Parser<In> {
  readonly #options: CustomFramingOptions<In, never>;
  readonly #maxLength: number;
  readonly #carry = new Carry();
  // Where in the stream the next message begins.
  #offset = 0;

  constructor(options: CustomFramingOptions<In, never>, maxLength: number) {
    this.#options = options;
    this.#maxLength = maxLength;
  }

  get pending(): boolean {
    return this.#carry.length > 0;
  }

  parse(chunk: Bytes, messages: In[]): void {
    // `split` was asked about these bytes before.
    if (chunk.length === 0) return;
    const limit = this.#maxLength + chunk.length;
    // Owned, as messages may be views of what `split` is shown.
    this.#carry.append(ownedBytes(chunk), 0, chunk.length, limit);
    this.#splitCarried(false, messages);
    if (this.#carry.length > this.#maxLength) {
      throw tooLong(WHAT, this.#offset, this.#maxLength);
    }
  }

  end(messages: In[]): void {
    this.#splitCarried(true, messages);
    if (this.#carry.length > 0) throw truncated(WHAT, this.#offset);
  }

  #splitCarried(ended: boolean, messages: In[]): void {
    while (this.#carry.length > 0) {
      const buffered = this.#carry.bytes(this.#maxLength);
      const result = this.#options.split(buffered, ended);
      if (result === undefined) return;
      const { message, length } = result;
      if (
        !Number.isSafeInteger(length) || length < 1 || length > buffered.length
      ) {
        throw new RangeError(
          `Cannot split ${buffered.length} buffered bytes as length must be a whole number from 1 to ${buffered.length}: current value is ${length}`,
        );
      }
      if (length > this.#maxLength) {
        throw tooLong(WHAT, this.#offset, this.#maxLength);
      }
      messages.push(message);
      this.#offset += length;
      this.#carry.keepLast(buffered.length - length);
    }
  }
}
