import {
  DelimitedFrames,
  type DelimitedRules,
  type Trailing,
} from "./_delimited_frames.ts";
import { LineEnds } from "./_delimiter_search.ts";
import { MESSAGE, NOTHING } from "./_frames.ts";
import { checkChoice, checkLimits, checkSendLength } from "./_limits.ts";
import { checkText, checkUtf8, toBytes } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";
import { checkTrailing, type TrailingOptions } from "./delimited.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";

/**
 * Options for {@linkcode lines}.
 *
 * @example Lines as most protocols of the internet want them
 * ```ts
 * import { lines, type LinesOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: LinesOptions = { eol: "\r\n", fatal: true, maxLength: 998 };
 *
 * assertEquals(
 *   lines(options).encode("QUIT"),
 *   new TextEncoder().encode("QUIT\r\n"),
 * );
 * ```
 */
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
  const rules: DelimitedRules = {
    what: "line",
    disposition: "discard",
    trailing,
    limits: checkLimits("lines", options),
  };
  const encoder = new LineEncoder(eol, rules.limits.maxLength);
  return {
    decoder: () => new LineDecoder(rules, fatal),
    encoder: () => encoder,
  };
}

class LineEncoder implements Encoder<string> {
  readonly #eol: string;
  readonly #maxLength: number;

  constructor(eol: string, maxLength: number) {
    this.#eol = eol;
    this.#maxLength = maxLength;
  }

  encode(line: string, output: ByteOutput): void {
    checkText(line);
    // A reader takes one carriage return before the line feed for the line's end.
    if (line.includes("\n") || (this.#eol === "\n" && line.endsWith("\r"))) {
      throw new TypeError(
        `Cannot encode line of ${line.length} characters: it must not hold a line feed, nor end with a carriage return before one`,
      );
    }
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    if (line.length * 3 > this.#maxLength) {
      checkSendLength(toBytes(line).length, this.#maxLength);
    }
    output.writeText(line);
    output.writeText(this.#eol);
  }
}

const LINE_FEED = 0x0a;
// As much text is decoded together: a line that is kept keeps all of it.
const MAX_TEXT_BYTES = 64 * 1024;

/**
 * Takes lines out of text that is decoded for many of them together: decoding each
 * line alone takes ten times as long.
 */
class LineDecoder implements Decoder<string> {
  readonly #frames: DelimitedFrames;
  readonly #isFatal: boolean;
  // Text of whole lines. The next line begins at `#at` in it, and at `#offset` in the
  // stream; it ends at `#endOffset`.
  #text = "";
  #at = 0;
  #offset = 0;
  #endOffset = 0;
  // Characters and bytes are one to one.
  #isOneToOne = false;

  constructor(rules: DelimitedRules, isFatal: boolean) {
    this.#frames = new DelimitedFrames(rules, new LineEnds());
    this.#isFatal = isFatal;
  }

  get maxFrameLength(): number {
    return this.#frames.maxFrameLength;
  }

  get pending(): boolean {
    return this.#frames.pending;
  }

  decode(input: ByteInput, ended: boolean): string | undefined {
    const frames = this.#frames;
    const found = frames.find(input, 0, ended);
    if (found === NOTHING) return undefined;
    const { start, end, next } = frames;
    const line = found === MESSAGE
      ? this.#lineAt(input, start, end, next)
      : undefined;
    input.skip(next);
    return line;
  }

  #lineAt(input: ByteInput, start: number, end: number, next: number): string {
    const { offset } = input;
    if (offset !== this.#offset || offset + next > this.#endOffset) {
      const textEnd = input.lastIndexOf(LINE_FEED, MAX_TEXT_BYTES) + 1;
      if (textEnd <= next) return this.#decode(input, start, end);
      this.#text = input.textAt(0, textEnd);
      // No character of UTF-8 has more UTF-16 code units than bytes.
      this.#isOneToOne = this.#text.length === textEnd;
      this.#at = 0;
      this.#endOffset = offset + textEnd;
    }
    this.#offset = offset + next;
    const at = this.#at;
    // No character of UTF-8 goes over a line feed, so lines decode alike together.
    const lineFeed = this.#isOneToOne
      ? at + next - 1
      : this.#text.indexOf("\n", at);
    this.#at = lineFeed + 1;
    // There may be a carriage return before the line feed.
    const line = this.#text.slice(at, lineFeed - (next - end - 1));
    if (this.#isFatal) this.#check(input, start, end, line);
    return line;
  }

  #decode(input: ByteInput, start: number, end: number): string {
    const line = input.textAt(start, end);
    if (this.#isFatal) this.#check(input, start, end, line);
    return line;
  }

  #check(input: ByteInput, start: number, end: number, line: string): void {
    checkUtf8("line", line, () => input.bytesAt(start, end), input.offset);
  }
}
