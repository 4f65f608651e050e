import {
  DelimitedParser,
  type MessageCutter,
  type Trailing,
} from "./_delimited_parser.ts";
import { LineFinder } from "./_delimiter_finder.ts";
import {
  checkChoice,
  checkLimits,
  checkSendLength,
  type Limits,
} from "./_limits.ts";
import { parserDecoder } from "./_parser.ts";
import { checkText, decodeUtf8, toBytes, writeBytes } from "./_utf8.ts";
import { checkTrailing, type TrailingOptions } from "./delimited.ts";
import type { Bytes, Decoder, Framing } from "./framing.ts";

/** Options for {@linkcode lines}. */
export interface LinesOptions extends TrailingOptions {
  /**
   * What is written behind each line. Both are read, whatever is written.
   *
   * @default {"\n"}
   */
  eol?: "\n" | "\r\n" | undefined;
  /**
   * Whether bytes that are not UTF-8 are an error of code `"malformed"`. If not,
   * each is read as U+FFFD, the replacement character.
   *
   * @default {false}
   */
  fatal?: boolean | undefined;
}

/**
 * Frames lines of UTF-8 text, which end with `\n` or `\r\n`.
 *
 * A carriage return elsewhere belongs to its line. A byte order mark is kept.
 * `maxLength` counts the bytes of a line without its end.
 *
 * @param options What is written, and what happens to remainders, damage and long lines.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If an option has a value that is not listed, or `onDiscard`
 * is given without `oversize: "discard"`.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example Reading and writing lines
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines({ eol: "\r\n" });
 * const decoder = framing.decoder();
 *
 * assertEquals(decoder.decode(new TextEncoder().encode("a\nb\r\nc")), ["a", "b"]);
 * assertEquals(decoder.end(), ["c"]);
 * assertEquals(framing.encode("hello"), new TextEncoder().encode("hello\r\n"));
 * ```
 */
export function lines(options: LinesOptions = {}): Framing<string> {
  const { eol = "\n", fatal = false, trailing = "emit" } = options;
  checkChoice("lines", "eol", eol, ["\n", "\r\n"]);
  checkChoice("lines", "fatal", fatal, [true, false]);
  checkTrailing("lines", trailing);
  return new LinesFraming(eol, fatal, trailing, checkLimits("lines", options));
}

class LinesFraming implements Framing<string> {
  readonly #eol: string;
  readonly #fatal: boolean;
  readonly #trailing: Trailing;
  readonly #limits: Limits;

  constructor(eol: string, fatal: boolean, trailing: Trailing, limits: Limits) {
    this.#eol = eol;
    this.#fatal = fatal;
    this.#trailing = trailing;
    this.#limits = limits;
  }

  decoder(): Decoder<string> {
    return parserDecoder(
      new DelimitedParser({
        what: "line",
        finder: new LineFinder(),
        longestDelimiter: 2,
        cutter: new TextCutter(this.#fatal),
        disposition: "discard",
        trailing: this.#trailing,
        limits: this.#limits,
      }),
    );
  }

  encode(message: string): Uint8Array {
    this.#check(message);
    const frame = toBytes(message + this.#eol);
    checkSendLength(frame.length - this.#eol.length, this.#limits.maxLength);
    return frame;
  }

  encodeInto(message: string, target: Uint8Array, offset: number): number {
    this.#check(message);
    const length = writeBytes(message + this.#eol, target, offset);
    checkSendLength(length - this.#eol.length, this.#limits.maxLength);
    return length;
  }

  #check(message: string): void {
    checkText(message);
    // A reader takes one carriage return before the line feed for the line's end.
    if (
      message.includes("\n") || (this.#eol === "\n" && message.endsWith("\r"))
    ) {
      throw new TypeError(
        `Cannot encode line of ${message.length} characters: it must not hold a line feed, nor end with a carriage return before one`,
      );
    }
  }
}

/** Cuts lines out of a chunk. */
class TextCutter implements MessageCutter<string> {
  readonly #fatal: boolean;
  #chunk: Bytes = new Uint8Array(0);
  #offset = 0;

  constructor(fatal: boolean) {
    this.#fatal = fatal;
  }

  chunk(chunk: Bytes, offset: number): void {
    this.#chunk = chunk;
    this.#offset = offset;
  }

  cut(start: number, end: number): string {
    return this.join(this.#chunk.subarray(start, end), this.#offset + start);
  }

  join(bytes: Bytes, offset: number): string {
    return decodeUtf8("line", bytes, { fatal: this.#fatal, offset });
  }
}
