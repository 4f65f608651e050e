import { checkInner, checkSendLength } from "./_limits.ts";
import { checkText } from "./_utf8.ts";
import type { Encoder, Framing } from "./framing.ts";
import {
  checkGroupLimits,
  grouped,
  type GroupedOptions,
  type GroupLimits,
} from "./grouped.ts";
import { mapped } from "./mapped.ts";
import { OutputBuffer } from "./output_buffer.ts";

/**
 * Texts of several lines, each up to a line with one dot: mail in SMTP and POP3, articles
 * in NNTP.
 *
 * A message is an array of the lines of a text, without their line ends. A line that
 * begins with a dot is sent with another dot, which the other side removes: dot-stuffing,
 * as in {@link https://www.rfc-editor.org/rfc/rfc5321#section-4.5.2 | RFC 5321, 4.5.2}.
 * The line that ends a text is not part of the message.
 *
 * Use a line framing that is `strict`, with `trailing: "error"`: if one program takes
 * something for the end of a text and another does not, one text can be smuggled into
 * another. A line that the line framing drops is missing from its text.
 *
 * @param framing Where lines begin and end, such as {@linkcode lines}. Its limit counts
 * the added dot of a line.
 * @param options Limits for a text as it is sent, including its last line; `maxFrames`
 * limits the lines. The defaults are too low for mail with attachments. Sending has the
 * same limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing.
 * @throws {RangeError} If a limit is not a whole number of at least 1.
 *
 * @example A text with a line of one dot
 * ```ts
 * import { ChunkDecoder, dotStuffed, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const text = dotStuffed(lines({ eol: "\r\n", strict: true, trailing: "error" }));
 * const bytes = new TextEncoder().encode("Hello\r\n..\r\nBye\r\n.\r\n");
 *
 * assertEquals(new ChunkDecoder(text).decode(bytes), [["Hello", ".", "Bye"]]);
 * ```
 */
export function dotStuffed(
  framing: Framing<string>,
  options: GroupedOptions = {},
): Framing<string[]> {
  checkInner("dotStuffed", framing);
  const limits = checkGroupLimits("dotStuffed", options);
  const blocks: Framing<string[]> = {
    decoder: grouped(framing, isEnd, limits).decoder,
    encoder: () => blockEncoder(framing.encoder(), limits),
  };
  return mapped(blocks, { decode, encode });
}

const END = ".";

function isEnd(line: string): boolean {
  // The types refuse bytes: with them, no line would be the last.
  if (typeof line !== "string") {
    throw new TypeError(
      `Cannot read lines as their framing must give text: it gave a value of type ${typeof line}`,
    );
  }
  return line === END;
}

function decode(block: string[]): string[] {
  return block.slice(0, -1).map((line) =>
    line.startsWith(".") ? line.slice(1) : line
  );
}

function encode(lines: string[]): string[] {
  // A single string would be sent letter by letter.
  if (!Array.isArray(lines)) {
    throw new TypeError(
      `Cannot encode message as it must be an array of lines: current value is of type ${typeof lines}`,
    );
  }
  const block = lines.map((line) => {
    checkText(line);
    return line.startsWith(".") ? `.${line}` : line;
  });
  block.push(END);
  return block;
}

function blockEncoder(
  encoder: Encoder<string>,
  { maxLength, maxFrames }: GroupLimits,
): Encoder<string[]> {
  return {
    encode(block, output) {
      if (block.length > maxFrames) {
        throw new RangeError(
          `Cannot encode message of ${block.length} frames: more than maxFrames of ${maxFrames}`,
        );
      }
      // Another encoder counts from where its frame begins.
      const frames = new OutputBuffer();
      for (const line of block) frames.push(encoder, line);
      const bytes = frames.takeBytes();
      checkSendLength(bytes.length, maxLength);
      output.writeBytes(bytes);
    },
  };
}
