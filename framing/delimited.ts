import { concat } from "@std/bytes/concat";
import {
  bytesCutter,
  DelimitedParser,
  type DelimitedRules,
  type Disposition,
  type Trailing,
} from "./_delimited_parser.ts";
import {
  AutomatonFinder,
  ByteFinder,
  type DelimiterAutomaton,
  delimiterAutomaton,
  type DelimiterFinder,
  Delimiters,
} from "./_delimiter_finder.ts";
import {
  checkChoice,
  checkLimits,
  checkSendLength,
  type Limits,
} from "./_limits.ts";
import { parserDecoder } from "./_parser.ts";
import { MAX_SCAN_BYTES, scanner } from "./_byte_search/scan.ts";
import { toBytes, writeBytes } from "./_utf8.ts";
import type { Bytes, Decoder, Framing, Sendable } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * A delimiter: a string, which stands for its UTF-8, or bytes; or several of them.
 *
 * @example One delimiter, or several
 * ```ts
 * import { delimited, type Delimiter } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const delimiters: Delimiter[] = ["\0", new Uint8Array([0]), ["\0", "\n"]];
 * const bytes = new TextEncoder().encode("one\0");
 *
 * for (const delimiter of delimiters) {
 *   const messages = delimited(delimiter).decoder().decode(bytes);
 *   assertEquals(messages, [new TextEncoder().encode("one")]);
 * }
 * ```
 */
export type Delimiter = Sendable | readonly Sendable[];

/**
 * Options for streams of messages with something between them.
 *
 * @example A last line that is not whole
 * ```ts
 * import { FramingError, lines, type TrailingOptions } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function readAll(options: TrailingOptions): string[] {
 *   const decoder = lines(options).decoder();
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
   * What happens at the end of the stream to bytes behind the last delimiter:
   * `"emit"` makes them the last message, `"error"` throws a
   * {@linkcode FramingError} of code `"truncated"`, `"discard"` drops them. An
   * empty remainder is no message.
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
 * import { asText, delimited, type DelimitedOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function readAll(options: DelimitedOptions): string[] {
 *   const decoder = asText(delimited(";", options)).decoder();
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
   * What becomes of a delimiter: `"discard"` drops it, `"suffix"` leaves it at
   * the end of the message before it, `"prefix"` at the beginning of the message
   * behind it.
   *
   * With `"prefix"` every delimiter begins a message, the last one too. Bytes
   * before the first delimiter are a message of their own, if there are any.
   *
   * @default {"discard"}
   */
  disposition?: "discard" | "suffix" | "prefix" | undefined;
}

/**
 * Frames messages by what stands between them.
 *
 * Of several delimiters the earliest match wins; at the same place the longest,
 * so a match that a longer one could extend waits for the next byte. To send,
 * the first delimiter is written behind each message; with `"suffix"` and
 * `"prefix"` the message brings its own, as it came.
 *
 * @param delimiter One delimiter, or several.
 * @param options What becomes of delimiters and remainders, and limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `delimiter` is neither text, bytes nor an array of them, an
 * option has a value that is not listed, `onDiscard` is given without `oversize:
 * "discard"` or is no function, or `trailing` other than `"emit"` is given with
 * `"prefix"`, where there is no remainder.
 * @throws {RangeError} If a delimiter is empty or none is given, or `maxLength` is
 * not a whole number of at least 1.
 *
 * @example Messages that end with a zero byte
 * ```ts
 * import { delimited } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = delimited("\0");
 * const decoder = framing.decoder();
 * const bytes = new TextEncoder().encode("one\0two\0th");
 *
 * assertEquals(decoder.decode(bytes), [
 *   bytes.subarray(0, 3),
 *   bytes.subarray(4, 7),
 * ]);
 * assertEquals(framing.encode("three"), new TextEncoder().encode("three\0"));
 * ```
 *
 * @example Several delimiters, each left where it was
 * ```ts
 * import { asText, delimited } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asText(delimited([".", "?", "!"], { disposition: "suffix" }));
 * const bytes = new TextEncoder().encode("Ready? Go!");
 *
 * assertEquals(framing.decoder().decode(bytes), ["Ready?", " Go!"]);
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
  const limits = checkLimits("delimited", options);
  return new DelimitedFraming(delimiters, disposition, trailing, limits);
}

/** Throws unless `trailing` is one of the rules. */
export function checkTrailing(name: string, trailing: Trailing): void {
  checkChoice(name, "trailing", trailing, ["emit", "error", "discard"]);
}

function toDelimiters(delimiter: Delimiter): Uint8Array[] {
  const given = typeof delimiter === "string" || delimiter instanceof Uint8Array
    ? [delimiter]
    : delimiter;
  const isDelimiter = (each: unknown) =>
    typeof each === "string" || each instanceof Uint8Array;
  if (!Array.isArray(given) || !given.every(isDelimiter)) {
    const type = Array.isArray(given)
      ? `[${given.map((each) => typeof each).join(", ")}]`
      : typeof delimiter;
    throw new TypeError(
      `Cannot make delimited framing as delimiter must be a string, a Uint8Array or an array of them: current value is of type ${type}`,
    );
  }
  // Copied, as the caller may change its bytes later. Not by `slice`: Node's Buffer
  // makes a view there.
  const delimiters = given.map((each) => new Uint8Array(toBytes(each)));
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

class DelimitedFraming implements Framing<Bytes, Sendable> {
  readonly #delimiters: readonly Uint8Array[];
  readonly #rules: DelimitedRules<Bytes>;
  readonly #automaton: DelimiterAutomaton;
  readonly #written: Uint8Array;
  readonly #writtenText: string | undefined;
  // The byte that a message without any part of the only delimiter has not, and
  // the same as text; -1 with several delimiters.
  readonly #markByte: number;
  readonly #markText: string | undefined;

  constructor(
    delimiters: readonly Uint8Array[],
    disposition: Disposition,
    trailing: Trailing,
    limits: Limits,
  ) {
    this.#delimiters = delimiters;
    this.#rules = {
      what: "delimited message",
      longestDelimiter: Math.max(...delimiters.map(({ length }) => length)),
      cutter: bytesCutter,
      disposition,
      trailing,
      limits,
    };
    this.#automaton = delimiterAutomaton(delimiters);
    const [first = new Uint8Array(0)] = delimiters;
    this.#written = disposition === "discard" ? first : new Uint8Array(0);
    this.#writtenText = textOf(this.#written);
    const isOnly = delimiters.length === 1 && disposition === "discard";
    this.#markByte = isOnly ? first[0] ?? -1 : -1;
    // Only an ASCII character is the same single byte wherever it stands in UTF-8.
    this.#markText = isOnly && this.#markByte < 0x80
      ? String.fromCharCode(this.#markByte)
      : undefined;
  }

  decoder(): Decoder<Bytes> {
    return parserDecoder(new DelimitedParser(this.#rules, this.#finder()));
  }

  encode(message: Sendable): Uint8Array {
    const bytes = toBytes(message);
    this.#check(message, bytes);
    return this.#written.length === 0 ? bytes : concat([bytes, this.#written]);
  }

  encodeText(message: Sendable): string | undefined {
    if (typeof message !== "string" || this.#writtenText === undefined) {
      return undefined;
    }
    // Half a surrogate pair at the end would join with one at the next beginning.
    if (this.#writtenText === "" && !message.isWellFormed()) return undefined;
    const { maxLength } = this.#rules.limits;
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    if (
      message.length * 3 > maxLength || this.#markText === undefined ||
      message.includes(this.#markText)
    ) {
      this.#check(message, toBytes(message));
    }
    return message + this.#writtenText;
  }

  encodeInto(message: Sendable, target: Uint8Array, offset: number): number {
    const length = writeBytes(message, target, offset);
    const written = this.#written;
    const end = offset + length;
    if (length === -1 || end + written.length > target.length) return -1;
    const mark = this.#markByte;
    const hasMark = mark === -1 ||
      scanner.holdsWithin(target, offset, end, mark);
    checkSendLength(
      hasMark ? this.#measure(target.subarray(offset, end)) : length,
      this.#rules.limits.maxLength,
    );
    // A delimiter is short: `set` takes 9 ns for a single byte.
    for (let i = 0; i < written.length; i++) target[end + i] = written[i]!;
    return length + written.length;
  }

  #finder(): DelimiterFinder {
    const { only } = this.#automaton;
    const [byte] = only ?? [];
    return only?.length === 1 && byte !== undefined
      ? new ByteFinder(byte)
      : new AutomatonFinder(this.#automaton);
  }

  /** Throws unless `bytes`, which stand for `message`, would be read back as one message. */
  #check(message: Sendable, bytes: Uint8Array): void {
    const hasMark = typeof message === "string" && this.#markText !== undefined
      ? message.includes(this.#markText)
      : this.#markByte === -1 || scanner.holds(bytes, this.#markByte);
    const length = hasMark ? this.#measure(bytes) : bytes.length;
    checkSendLength(length, this.#rules.limits.maxLength);
  }

  /** The length of a message by the rules of its reader, its own delimiter not counted. */
  #measure(bytes: Uint8Array): number {
    const none = new Uint8Array(0);
    switch (this.#rules.disposition) {
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
          ...this.#delimiters.map((behind) =>
            this.#measureBetween(none, bytes, behind)
          ),
        );
    }
  }

  /**
   * Reads `bytes` as they would be read with `before` in front and `behind`
   * following, and throws unless there is a delimiter at each end and none between.
   */
  #measureBetween(
    before: Uint8Array,
    bytes: Uint8Array,
    behind: Uint8Array,
  ): number {
    const stream = concat([before, bytes, behind]);
    const finder = new AutomatonFinder(this.#automaton);
    const found = new Delimiters();
    const matches: Match[] = [];
    // More than two are refused, however many.
    for (
      let start = 0;
      start < stream.length && matches.length <= 2;
      start += MAX_SCAN_BYTES
    ) {
      finder.scan(stream.subarray(start, start + MAX_SCAN_BYTES), found);
      matches.push(...matchesOf(found, start));
    }
    const { undecided } = finder;
    finder.end(found);
    matches.push(...matchesOf(found, stream.length));
    const [first, last] = matches;
    const beginsRight = first?.start === 0 &&
      (before.length === 0 || first.end === before.length);
    const endsRight = last?.end === stream.length &&
      (behind.length === 0 ||
        last.start === stream.length - behind.length);
    // A delimiter that began in the message must not wait for the next one's bytes.
    const joinsNext = last !== undefined && undecided > last.end - last.start;
    if (matches.length !== 2 || !beginsRight || !endsRight || joinsNext) {
      throw new TypeError(
        `Cannot encode message of ${bytes.length} bytes: it ${
          REQUIREMENTS[this.#rules.disposition]
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

/** The first matches in `found`, as many as tell whether there are more than two. */
function matchesOf(found: Delimiters, offset: number): Match[] {
  return Array.from({ length: Math.min(found.count, 3) }, (_, i) => {
    const start = offset + found.starts[i]!; // below `count`, so it is there
    const { commonLength, ends } = found;
    const end = commonLength > 0 ? start + commonLength : offset + ends[i]!;
    return { start, end };
  });
}
