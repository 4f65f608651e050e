import { quoted } from "../internal/shown.ts";
import { FramingError } from "./framing_error.ts";

/**
 * Reads the fields of a text message: the groups of a regular expression that must match
 * it.
 *
 * A message that does not match is the peer's mistake: a {@linkcode FramingError} of code
 * `"malformed"`, which shows the first 80 characters, quoted, so that a hostile message
 * cannot forge lines in a log. So a function that reads a message needs no checks of its
 * own, within {@linkcode mapped}, {@linkcode headed} or after receiving. For messages of
 * bytes, see {@linkcode FieldReader}.
 *
 * To match the whole message, begin the expression with `^` and end it with `$`.
 *
 * @param text The message.
 * @param pattern What it must match.
 * @returns The groups in order; `undefined` for a group that did not take part.
 * @throws {FramingError} If the message does not match.
 * @throws {TypeError} If `text` is not a string, or `pattern` is not a regular expression,
 * or has the flag `g` or `y`, with which a match depends on the previous one.
 *
 * @example Lines of a name and a number
 * ```ts
 * import { ChunkDecoder, FramingError, lines, mapped, textFields } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const framing = mapped(lines(), {
 *   decode(line) {
 *     const [name = "", value] = textFields(line, /^(\w+)=(\d+)$/);
 *     return { name, value: Number(value) };
 *   },
 *   encode: (line: string) => line,
 * });
 *
 * const decoder = new ChunkDecoder(framing);
 * assertEquals(decoder.decode(new TextEncoder().encode("a=1\n")), [{ name: "a", value: 1 }]);
 * const { code, message } = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("hello\n")),
 *   FramingError,
 * );
 * assertEquals(code, "malformed");
 * assertEquals(message, 'Cannot decode message "hello": it does not match /^(\\w+)=(\\d+)$/');
 * ```
 */
export function textFields(
  text: string,
  pattern: RegExp,
): (string | undefined)[] {
  if (!(pattern instanceof RegExp) || pattern.global || pattern.sticky) {
    throw new TypeError(
      `Cannot read fields of text as pattern must be a regular expression without the flags g and y: current value is ${pattern}`,
    );
  }
  // A regular expression would turn it into text: `undefined`, after the last message, has
  // a match with /\w+/.
  if (typeof text !== "string") {
    throw new TypeError(
      `Cannot read fields of text as it must be a string: current value is of type ${typeof text}`,
    );
  }
  const match = pattern.exec(text);
  if (match !== null) return match.slice(1);
  const shown = quoted(text, MAX_SHOWN_CHARACTERS);
  throw new FramingError(
    `Cannot decode message ${shown}: it does not match ${pattern}`,
  );
}

const MAX_SHOWN_CHARACTERS = 80;
