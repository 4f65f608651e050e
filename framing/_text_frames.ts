import { type MessageMaker, RangeDecoder } from "./_decoders.ts";
import type { FrameFinder, Frames } from "./_frames.ts";
import { isReported, type Malformed, refuse } from "./_malformed.ts";
import { malformed } from "./_limits.ts";
import { REPLACEMENT, utf8Error } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";
import type { FramingError } from "./framing_error.ts";
import type { InputBuffer } from "./input_buffer.ts";

// How much text is decoded together: a kept message keeps all of it alive.
const MAX_TEXT_BYTES = 64 * 1024;
// A message shorter than this has only ASCII characters in its length field.
const MAX_ASCII_LENGTH = 0x80;
const makeTexts: MessageMaker<string> = {
  one: (messages, index) => messages.textAt(index),
  all: (messages) => messages.allTexts(),
};

/** Which text is refused, for every stream. */
export interface TextRules {
  /** What a message is called in errors. */
  readonly what: string;
  /** Whether bytes that are not UTF-8 are malformed. */
  readonly fatal: boolean;
  /** Another reason why a text is malformed, if there is one. */
  readonly problem?: (text: string) => string | undefined;
  /** What happens to a message that is malformed. */
  readonly malformed: Malformed;
}

/** The error of a message that was read as `text`, if it is malformed. */
export function malformedText(
  text: string,
  { what, fatal, problem }: TextRules,
  bytes: () => Bytes,
  offset?: number,
): FramingError | undefined {
  const error = fatal && text.includes(REPLACEMENT)
    ? utf8Error(what, bytes(), offset)
    : undefined;
  if (error !== undefined || problem === undefined) return error;
  const reason = problem(text);
  return reason === undefined ? undefined : malformed(what, offset, reason);
}

/**
 * A decoder of messages that are UTF-8 text, decoded for many of them together:
 * decoding each alone takes ten times as long.
 */
export class TextFrameDecoder extends RangeDecoder<string> {
  readonly #rules: TextRules;
  /** Where in its frame the last text that was checked begins. */
  start = 0;
  /** Where it ends. */
  end = 0;

  constructor(finder: FrameFinder, rules: TextRules) {
    super(finder, rules.fatal || rules.problem !== undefined);
    this.#rules = rules;
  }

  override get reports(): boolean {
    return isReported(this.#rules.malformed);
  }

  override get maker(): MessageMaker<string> | undefined {
    const { fatal, problem } = this.#rules;
    // An error ends the stream where it occurs, so such messages are made in order.
    return fatal || problem !== undefined ? undefined : makeTexts;
  }

  protected override make(
    input: ByteInput,
    start: number,
    end: number,
  ): string {
    return input.textAt(start, end);
  }

  protected override makeAll(
    input: InputBuffer,
    frames: Frames,
    messages: string[],
  ): void {
    addTexts(input, frames, this.finder.separator, messages, false);
  }

  protected override takeFrames(
    input: InputBuffer,
    frames: Frames,
    messages: string[],
  ): void {
    const first = messages.length;
    const { fatal, problem } = this.#rules;
    const { separator } = this.finder;
    const hasDamage = addTexts(input, frames, separator, messages, fatal);
    if (!hasDamage && problem === undefined) {
      return input.skip(frames.endOf(frames.count));
    }
    const { count } = frames;
    const texts = messages.splice(first);
    for (let i = 0; i < count; i++) {
      const taken = frames.endOf(i);
      const text = this.take(
        input,
        texts[i]!, // there is one for each frame
        frames.start(i) - taken,
        frames.end(i) - taken,
        frames.endOf(i + 1) - taken,
      );
      if (text !== undefined) messages.push(text);
    }
  }

  override takeSound(input: InputBuffer, frames: Frames): string[] | undefined {
    const { fatal, problem } = this.#rules;
    const { finder } = this;
    if (problem !== undefined || !input.findFrames(finder, frames)) {
      return undefined;
    }
    const texts: string[] = [];
    if (addTexts(input, frames, finder.separator, texts, fatal)) {
      return undefined;
    }
    input.skip(frames.endOf(frames.count));
    return texts;
  }

  protected override take(
    input: ByteInput,
    text: string,
    start: number,
    end: number,
    next: number,
  ): string | undefined {
    const rules = this.#rules;
    const isChecked = rules.fatal || rules.problem !== undefined;
    const error = isChecked
      ? malformedText(
        text,
        rules,
        () => input.bytesAt(start, end),
        input.offset,
      )
      : undefined;
    this.start = start;
    this.end = end;
    super.take(input, text, start, end, next);
    if (error === undefined) return text;
    refuse(error, rules.malformed);
    return undefined;
  }
}

/**
 * Adds the text of each frame.
 *
 * @returns Whether one may hold bytes that are not UTF-8, if `isFatal`.
 */
export function addTexts(
  source: Pick<ByteInput, "byteAt" | "textAt">,
  frames: Frames,
  separator: string | undefined,
  texts: string[],
  isFatal: boolean,
): boolean {
  const { ends, shift, count, head, heads, tail, tails } = frames;
  let hasDamage = false;
  let next = texts.length;
  texts.length += count; // faster than an array that grows
  const areAlone = separator === undefined && haveOtherBytes(source, frames);
  const most = areAlone ? 0 : MAX_TEXT_BYTES;
  for (let first = 0; first < count;) {
    const start = frames.start(first);
    let last = count;
    if (frames.end(last - 1) - start > most) {
      last = first + 1;
      while (last < count && frames.end(last) - start <= most) last++;
    }
    const end = frames.end(last - 1);
    const text = source.textAt(start, end);
    if (isFatal && text.includes(REPLACEMENT)) hasDamage = true;
    if (last === first + 1) {
      texts[next++] = text;
    } else if (text.length === end - start) {
      // Each byte is one character: no character has more UTF-16 code units than UTF-8
      // bytes.
      let frameStart = (frames.endOf(first) - start) | 0;
      const fromStart = (shift - start) | 0;
      // `| 0` says that a sum is a small integer, which is faster.
      for (let i = first; i < last; i = (i + 1) | 0) {
        // All entries below the count exist.
        const frameEnd = (ends[i]! + fromStart) | 0;
        texts[next] = text.slice(
          (frameStart + (heads === undefined ? head : heads[i]!)) | 0,
          (frameEnd - (tails === undefined ? tail : tails[i]!)) | 0,
        );
        next = (next + 1) | 0;
        frameStart = frameEnd;
      }
    } else if (separator !== undefined) {
      for (let i = first, at = 0; i < last; i++) {
        const found = text.indexOf(separator, at);
        const textEnd = found === -1 ? text.length : found; // the last has none
        // There may be more than the separator, such as a carriage return.
        const more = found === -1
          ? 0
          : (tails === undefined ? tail : tails[i]!) - separator.length;
        texts[next++] = text.slice(at, textEnd - more);
        at = textEnd + separator.length;
      }
    } else {
      for (let i = first; i < last; i++) {
        const one = source.textAt(frames.start(i), frames.end(i));
        // Together with the bytes between messages, a partial character may have looked
        // whole.
        if (isFatal && one.includes(REPLACEMENT)) hasDamage = true;
        texts[next++] = one;
      }
    }
    first = last;
  }
  return hasDamage;
}

/**
 * Whether there are bytes between the messages, such as their lengths, that are not ASCII.
 * Decoding messages of 1,000 bytes together with them takes twice as long as each alone.
 */
function haveOtherBytes(
  source: Pick<ByteInput, "byteAt">,
  frames: Frames,
): boolean {
  const { count } = frames;
  if (frames.endOf(count) < count * MAX_ASCII_LENGTH) return false;
  for (let i = 1; i < count; i++) {
    const end = frames.start(i);
    for (let at = frames.end(i - 1); at < end; at++) {
      if ((source.byteAt(at) ?? 0) >= 0x80) return true;
    }
  }
  return false;
}
