import { concat } from "@std/bytes/concat";
import {
  delimitedFrames,
  type DelimitedRules,
  type Trailing,
} from "./_delimited_frames.ts";
import { isBytes } from "../internal/realms.ts";
import { delimiterSearch } from "./_delimiter_search.ts";
import { BytesDecoder } from "./_decoders.ts";
import { checkChoice, checkLimits, checkSendLength } from "./_limits.ts";
import { copyToBytes, toBytes, writeEnded } from "./_utf8.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Encoder, Framing } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * A delimiter: a string, which is encoded as UTF-8, or bytes; or several of them.
 *
 * @example One delimiter, or several
 * ```ts
 * import { ChunkDecoder, delimited, type Delimiter } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const delimiters: Delimiter[] = ["\0", new Uint8Array([0]), ["\0", "\n"]];
 * const bytes = new TextEncoder().encode("one\0");
 *
 * for (const delimiter of delimiters) {
 *   const messages = new ChunkDecoder(delimited(delimiter)).decode(bytes);
 *   assertEquals(messages, [new TextEncoder().encode("one")]);
 * }
 * ```
 */
export type Delimiter = Sendable | readonly Sendable[];

/**
 * Options for streams of messages with delimiters.
 *
 * @example A last line that is not whole
 * ```ts
 * import {
 *   ChunkDecoder,
 *   FramingError,
 *   lines,
 *   type TrailingOptions,
 * } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function readAll(options: TrailingOptions): string[] {
 *   const decoder = new ChunkDecoder(lines(options));
 *   return [
 *     ...decoder.decode(new TextEncoder().encode("1\n2")),
 *     ...decoder.end(),
 *   ];
 * }
 *
 * assertEquals(readAll({}), ["1", "2"]);
 * assertEquals(readAll({ trailing: "discard" }), ["1"]);
 * assertThrows(() => readAll({ trailing: "error" }), FramingError);
 * ```
 */
export interface TrailingOptions extends LimitOptions {
  /**
   * What happens at the end of the stream to bytes after the last delimiter:
   * `"emit"` makes them the last message, `"error"` throws a
   * {@linkcode FramingError} of code `"truncated"`, `"discard"` drops them. An empty
   * remainder is not a message.
   *
   * @default {"emit"}
   */
  trailing?: "emit" | "error" | "discard" | undefined;
}

/**
 * Options for {@linkcode delimited}.
 *
 * @example Where the delimiter goes
 * ```ts
 * import {
 *   asText,
 *   ChunkDecoder,
 *   delimited,
 *   type DelimitedOptions,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function readAll(options: DelimitedOptions): string[] {
 *   const decoder = new ChunkDecoder(asText(delimited(";", options)));
 *   return [...decoder.decode(new TextEncoder().encode("a;b")), ...decoder.end()];
 * }
 *
 * assertEquals(readAll({}), ["a", "b"]);
 * assertEquals(readAll({ disposition: "suffix" }), ["a;", "b"]);
 * assertEquals(readAll({ disposition: "prefix" }), ["a", ";b"]);
 * ```
 */
export interface DelimitedOptions extends TrailingOptions {
  /**
   * What happens to a delimiter: `"discard"` drops it, `"suffix"` leaves it at
   * the end of the message before it, `"prefix"` at the beginning of the message
   * after it.
   *
   * With `"prefix"` every delimiter begins a message, even the last one. Bytes before the
   * first delimiter are a separate message.
   *
   * @default {"discard"}
   */
  disposition?: "discard" | "suffix" | "prefix" | undefined;
}

/**
 * Frames messages with delimiters.
 *
 * With several delimiters the earliest match wins, and at the same place the longest, so
 * a match that could become a longer one waits for the next byte. When sending, the first
 * delimiter is written after each message; with `"suffix"` and `"prefix"` the message
 * contains its own.
 *
 * If that delimiter is the beginning of another, as `"\r"` is of `"\r\n"`, the next
 * message must not continue it, and is refused if it does. What follows in another
 * framing, such as the body in {@linkcode headed}, cannot be checked: put the longest
 * delimiter first.
 *
 * `maxLength` counts the bytes of a message without its delimiter, even if the message
 * keeps it.
 *
 * @param delimiter One delimiter, or several.
 * @param options What happens to delimiters and remainders, and limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `delimiter` is neither text, bytes nor an array of them, an
 * option has an unlisted value, `onDiscard` is given without `oversize: "discard"` or is
 * not a function, or `trailing` other than `"emit"` is given with `"prefix"`, which
 * leaves no remainder.
 * @throws {RangeError} If a delimiter is empty or none is given, or `maxLength` is
 * not a whole number of at least 1.
 *
 * @example Messages that end with a zero byte
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, delimited } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = delimited("\0");
 * const decoder = new ChunkDecoder(framing);
 * const bytes = new TextEncoder().encode("one\0two\0th");
 *
 * assertEquals(decoder.decode(bytes), [
 *   bytes.subarray(0, 3),
 *   bytes.subarray(4, 7),
 * ]);
 * assertEquals(new ChunkEncoder(framing).encode("three"), new TextEncoder().encode("three\0"));
 * ```
 *
 * @example Several delimiters, each left where it was
 * ```ts
 * import { asText, ChunkDecoder, delimited } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asText(delimited([".", "?", "!"], { disposition: "suffix" }));
 * const bytes = new TextEncoder().encode("Ready? Go!");
 *
 * assertEquals(new ChunkDecoder(framing).decode(bytes), ["Ready?", " Go!"]);
 * ```
 */
export function delimited(
  delimiter: Delimiter,
  options: DelimitedOptions = {},
): Framing<Bytes, Sendable> {
  const { disposition = "discard", trailing = "emit" } = options;
  const delimiters = toDelimiters(delimiter);
  checkChoice("delimited", "disposition", disposition, [
    "discard",
    "suffix",
    "prefix",
  ]);
  checkTrailing("delimited", trailing);
  if (disposition === "prefix" && trailing !== "emit") {
    throw new TypeError(
      `Cannot make delimited framing as disposition "prefix" leaves no remainder, so trailing must be "emit": current value is "${trailing}"`,
    );
  }
  const rules: DelimitedRules = {
    what: "delimited message",
    disposition,
    trailing,
    limits: checkLimits("delimited", options),
  };
  const encoder = new DelimitedEncoder(delimiters, rules);
  const frames = delimitedFrames(rules, delimiterSearch(delimiters));
  return {
    decoder: () => new BytesDecoder(frames()),
    encoder: () => encoder,
  };
}

/** Throws unless `trailing` is one of the rules. */
export function checkTrailing(name: string, trailing: Trailing): void {
  checkChoice(name, "trailing", trailing, ["emit", "error", "discard"]);
}

/** The delimiters as bytes; throws if there are none, or one is empty. */
export function toDelimiters(delimiter: Delimiter): Uint8Array[] {
  const given = typeof delimiter === "string" || isBytes(delimiter)
    ? [delimiter]
    : delimiter;
  const isDelimiter = (each: unknown) =>
    typeof each === "string" || isBytes(each);
  if (!Array.isArray(given) || !given.every(isDelimiter)) {
    const type = Array.isArray(given)
      ? `[${given.map((each) => typeof each).join(", ")}]`
      : typeof delimiter;
    throw new TypeError(
      `Cannot make delimited framing as delimiter must be a string, a Uint8Array or an array of them: current value is of type ${type}`,
    );
  }
  const delimiters = given.map((each) => copyToBytes(each));
  if (
    delimiters.length === 0 || delimiters.some(({ length }) => length === 0)
  ) {
    throw new RangeError(
      `Cannot make delimited framing as each delimiter must have at least 1 byte: current lengths are [${
        delimiters.map(({ length }) => length).join(", ")
      }]`,
    );
  }
  return delimiters;
}

/** The bytes as text, if they are UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    return undefined;
  }
}

class DelimitedEncoder implements Encoder<Sendable> {
  readonly #delimiters: readonly Uint8Array[];
  readonly #disposition: DelimitedRules["disposition"];
  readonly #maxLength: number;
  readonly #written: Uint8Array;
  readonly #writtenText: string | undefined;
  // First byte of the only delimiter, and the same as text: a message without it
  // cannot contain the delimiter. -1 with several delimiters.
  readonly #markByte: number;
  readonly #markText: string | undefined;

  constructor(delimiters: readonly Uint8Array[], rules: DelimitedRules) {
    const [first = new Uint8Array(0)] = delimiters;
    const { disposition, limits } = rules;
    this.#delimiters = delimiters;
    this.#disposition = disposition;
    this.#maxLength = limits.maxLength;
    this.#written = disposition === "discard" ? first : new Uint8Array(0);
    this.#writtenText = textOf(this.#written);
    const isOnly = delimiters.length === 1 && disposition === "discard";
    this.#markByte = isOnly ? first[0] ?? -1 : -1;
    // Only an ASCII character is the same single byte wherever it stands in UTF-8.
    this.#markText = isOnly && this.#markByte < 0x80
      ? String.fromCharCode(this.#markByte)
      : undefined;
  }

  encode(message: Sendable, output: ByteOutput): void {
    if (typeof message !== "string" || this.#writtenText === undefined) {
      return this.#encodeBytes(toBytes(message), output);
    }
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    const isShort = message.length * 3 <= this.#maxLength;
    const hasMark = this.#markText === undefined ||
      message.includes(this.#markText);
    if (!isShort || hasMark) this.#check(toBytes(message), hasMark);
    writeEnded(output, message, this.#writtenText);
  }

  #encodeBytes(bytes: Uint8Array, output: ByteOutput): void {
    output.writeBytes(bytes);
    const mark = this.#markByte;
    const hasMark = mark === -1 || output.indexOf(mark, -bytes.length) !== -1;
    if (hasMark || bytes.length > this.#maxLength) this.#check(bytes, hasMark);
    const written = this.#written;
    // A delimiter is short: copying takes longer for a single byte.
    for (let i = 0; i < written.length; i++) output.writeByte(written[i]!); // below its length
  }

  /** Throws unless `bytes` would be read back as one message. */
  #check(bytes: Uint8Array, hasMark: boolean): void {
    const length = hasMark ? this.#measure(bytes) : bytes.length;
    checkSendLength(length, this.#maxLength);
  }

  /** The length of a message as its reader counts it, without its delimiter. */
  #measure(bytes: Uint8Array): number {
    const none = new Uint8Array(0);
    switch (this.#disposition) {
      case "discard":
        return this.#measureBetween(this.#written, bytes, this.#written);
      case "suffix":
        return Math.max(
          ...this.#delimiters.map((before) =>
            this.#measureBetween(before, bytes, none)
          ),
        );
      case "prefix":
        return Math.max(
          ...this.#delimiters.map((after) =>
            this.#measureBetween(none, bytes, after)
          ),
        );
    }
  }

  /**
   * Reads `bytes` as they would be read between `before` and `after`, and throws
   * unless there is a delimiter at each end and none between.
   */
  #measureBetween(
    before: Uint8Array,
    bytes: Uint8Array,
    after: Uint8Array,
  ): number {
    const stream = new InputBuffer();
    stream.append(concat([before, bytes, after]));
    const search = delimiterSearch(this.#delimiters);
    const matches: Match[] = [];
    // More than two matches are refused, however many.
    for (let from = 0; matches.length <= 2; from = search.end) {
      if (!search.find(stream, from, true)) break;
      matches.push({ start: search.start, end: search.end });
    }
    const undecided = search.undecided(stream, 0);
    const [first, last] = matches;
    const beginsRight = first?.start === 0 &&
      (before.length === 0 || first.end === before.length);
    const endsRight = last?.end === stream.length &&
      (after.length === 0 || last.start === stream.length - after.length);
    // A delimiter that began in the message must not wait for the next one's bytes.
    const joinsNext = last !== undefined && undecided > last.end - last.start;
    if (matches.length !== 2 || !beginsRight || !endsRight || joinsNext) {
      throw new TypeError(
        `Cannot encode message of ${bytes.length} bytes: it ${
          REQUIREMENTS[this.#disposition]
        }`,
      );
    }
    return last.start - first.end;
  }
}

const REQUIREMENTS = {
  discard: "must not hold a delimiter, nor join with one into another",
  suffix: "must end with a delimiter and hold no other",
  prefix: "must begin with a delimiter and hold no other",
} as const;

interface Match {
  readonly start: number;
  readonly end: number;
}
