import { delimitedFrames, type DelimitedRules } from "./_delimited_frames.ts";
import { delimiterSearch, LineEnds } from "./_delimiter_search.ts";
import { checkChoice, checkLimits, checkSendLength } from "./_limits.ts";
import { checkMalformed } from "./_malformed.ts";
import { TextFrameDecoder, type TextRules } from "./_text_frames.ts";
import { checkText, copyToBytes, toBytes, writeEnded } from "./_utf8.ts";
import type { ByteOutput } from "./byte_output.ts";
import { checkTrailing, type TrailingOptions } from "./delimited.ts";
import type { Encoder, Framing } from "./framing.ts";
import type { MalformedOptions } from "./malformed.ts";

/**
 * Options for {@linkcode lines}.
 *
 * @example Lines as most internet protocols define them
 * ```ts
 * import { ChunkEncoder, lines, type LinesOptions } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: LinesOptions = { eol: "\r\n", fatal: true, maxLength: 998 };
 *
 * assertEquals(
 *   new ChunkEncoder(lines(options)).encode("QUIT"),
 *   new TextEncoder().encode("QUIT\r\n"),
 * );
 * ```
 */
export interface LinesOptions extends TrailingOptions, MalformedOptions {
  /**
   * What is written after each line. Without `strict`, both endings are read.
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
  /**
   * Whether only `eol` ends a line.
   *
   * With `"\r\n"` a line with a lone carriage return or line feed is malformed, because
   * another program may take it for the end of the line: what is mail text to one program
   * is a command to the next (SMTP smuggling). With `"\n"` a carriage return belongs to
   * its line, wherever it stands.
   *
   * @default {false}
   */
  strict?: boolean | undefined;
}

/**
 * Frames lines of UTF-8 text, which end with `\n` or `\r\n`, or with `strict` only with
 * `eol`.
 *
 * A carriage return elsewhere belongs to its line. A byte order mark is kept.
 * `maxLength` counts the bytes of a line without its `\n` or `\r\n`.
 *
 * @param options The line ending, and what happens to remainders, damage and long lines.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If an option has a value that is not listed, or `onDiscard`
 * is given without `oversize: "discard"`.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example Reading and writing lines
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines({ eol: "\r\n" });
 * const decoder = new ChunkDecoder(framing);
 *
 * assertEquals(decoder.decode(new TextEncoder().encode("a\nb\r\nc")), ["a", "b"]);
 * assertEquals(decoder.end(), ["c"]);
 * assertEquals(new ChunkEncoder(framing).encode("hello"), new TextEncoder().encode("hello\r\n"));
 * ```
 *
 * @example Lines as in SMTP: a lone line feed does not end a line, and is refused
 * ```ts
 * import { ChunkDecoder, FramingError, lines } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(lines({ eol: "\r\n", strict: true }));
 * const encoder = new TextEncoder();
 *
 * assertEquals(decoder.decode(encoder.encode("DATA\r\n")), ["DATA"]);
 * assertThrows(
 *   () => decoder.decode(encoder.encode("Hello\n.\nMAIL FROM:<>\r\n")),
 *   FramingError,
 * );
 * ```
 */
export function lines(options: LinesOptions = {}): Framing<string> {
  const {
    eol = "\n",
    fatal = false,
    strict = false,
    trailing = "emit",
  } = options;
  checkChoice("lines", "eol", eol, ["\n", "\r\n"]);
  checkChoice("lines", "fatal", fatal, [true, false]);
  checkChoice("lines", "strict", strict, [true, false]);
  checkTrailing("lines", trailing);
  const rules: DelimitedRules = {
    what: "line",
    disposition: "discard",
    trailing,
    limits: checkLimits("lines", options),
  };
  const textRules: TextRules = {
    what: "line",
    fatal,
    malformed: checkMalformed("lines", options),
    ...(strict && eol === "\r\n" && { problem: loneEnd }),
  };
  const ends = [copyToBytes(eol)];
  const encoder = new LineEncoder(eol, strict, rules.limits.maxLength);
  const frames = delimitedFrames(
    rules,
    strict ? delimiterSearch(ends) : new LineEnds(),
  );
  return {
    decoder: () => new TextFrameDecoder(frames(), textRules),
    encoder: () => encoder,
  };
}

function loneEnd(line: string): string | undefined {
  return line.includes("\n") || line.includes("\r")
    ? "it holds a lone carriage return or line feed"
    : undefined;
}

class LineEncoder implements Encoder<string> {
  readonly #eol: string;
  readonly #isStrict: boolean;
  readonly #maxLength: number;

  constructor(eol: string, isStrict: boolean, maxLength: number) {
    this.#eol = eol;
    this.#isStrict = isStrict;
    this.#maxLength = maxLength;
  }

  encode(line: string, output: ByteOutput): void {
    checkText(line);
    if (line.includes("\n") || this.#refusesReturn(line)) {
      throw new TypeError(
        `Cannot encode line of ${line.length} characters: it must not hold a line feed, nor a carriage return that its reader takes for a part of the line's end`,
      );
    }
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    if (line.length * 3 > this.#maxLength) {
      checkSendLength(toBytes(line).length, this.#maxLength);
    }
    writeEnded(output, line, this.#eol);
  }

  #refusesReturn(line: string): boolean {
    if (this.#isStrict) return this.#eol === "\r\n" && line.includes("\r");
    // A reader drops one carriage return before the line feed.
    return this.#eol === "\n" && line.endsWith("\r");
  }
}
