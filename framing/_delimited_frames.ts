import { bordersOf, type DelimiterSearch } from "./_delimiter_search.ts";
import {
  type Found,
  type FrameFinder,
  type Frames,
  type FrameSource,
  MESSAGE,
  NOTHING,
  PASSED,
} from "./_frames.ts";
import { type Limits, tooLong, truncated } from "./_limits.ts";
import { areFew, copyNumbers, findAmongFew, type Search } from "./_search.ts";
import type { ByteInput } from "./byte_input.ts";
import { wantedDrops } from "../internal/drops.ts";

const CARRIAGE_RETURN = 0x0d;

/** What happens to a delimiter; see {@linkcode DelimitedOptions.disposition}. */
export type Disposition = "discard" | "suffix" | "prefix";

/**
 * What happens to a remainder; see {@linkcode TrailingOptions.trailing}. With
 * `"always"` there is one at every end, even if it is empty.
 */
export type Trailing = "emit" | "error" | "discard" | "always";

/** The rules of a {@linkcode DelimitedFrames}, for every stream. */
export interface DelimitedRules {
  readonly what: string;
  readonly disposition: Disposition;
  readonly trailing: Trailing;
  readonly limits: Limits;
}

/** The rules, and what follows from them for all streams of a framing. */
interface DelimitedShape extends DelimitedRules {
  /** Its result is read immediately, so all streams share it. */
  readonly search: DelimiterSearch;
  readonly maxFrameLength: number;
  readonly sought: number | Uint8Array | undefined;
  readonly separator: string | undefined;
  /** Whether each delimiter ends a frame, unless the frame is too long. */
  readonly areAllFrames: boolean;
}

/** Finds messages between delimiters, for any number of streams. */
export function delimitedFrames(
  rules: DelimitedRules,
  search: DelimiterSearch,
): () => DelimitedFrames {
  const { only, longest } = search;
  const { disposition, limits } = rules;
  const shape: DelimitedShape = {
    ...rules,
    search,
    // One delimiter before the message, and a partial one after it.
    maxFrameLength: limits.maxLength + 2 * longest,
    sought: disposition === "prefix" ? undefined : only,
    separator: disposition === "discard" ? asciiOf(only) : undefined,
    areAllFrames: !overlapsItself(only),
  };
  return () => new DelimitedFrames(shape);
}

/** Finds messages between delimiters in one stream. */
export class DelimitedFrames implements FrameFinder {
  readonly #shape: DelimitedShape;
  // The first message was found, and the remainder.
  #hasBegun = false;
  #isOver = false;
  // How much of a too long message was skipped.
  #isDiscarding = false;
  #discarded = 0;
  #discardOffset = 0;
  start = 0;
  end = 0;
  next = 0;

  constructor(shape: DelimitedShape) {
    this.#shape = shape;
  }

  get maxFrameLength(): number {
    return this.#shape.maxFrameLength;
  }

  get sought(): number | Uint8Array | undefined {
    return this.#shape.sought;
  }

  get separator(): string | undefined {
    return this.#shape.separator;
  }

  get pending(): boolean {
    return this.#isDiscarding;
  }

  find(input: ByteInput, from: number, ended: boolean): Found {
    const { disposition, limits, search } = this.#shape;
    let contentStart = from;
    if (disposition === "prefix" && !this.#isDiscarding) {
      // A message begins with its delimiter. Only the first one may have none.
      if (!search.find(input, from, ended)) {
        return this.#findRest(input, from, from, ended);
      }
      if (search.start === from) {
        // An empty message before the first delimiter is one for "always" alone.
        if (!this.#hasBegun && this.#shape.trailing === "always") {
          return this.#found(from, from, from);
        }
        contentStart = search.end;
      }
    }
    if (!search.find(input, contentStart, ended)) {
      return this.#findRest(input, from, contentStart, ended);
    }
    const { start, end } = search;
    const next = disposition === "prefix" ? start : end;
    const contentLength = start - contentStart;
    if (this.#isDiscarding || contentLength > limits.maxLength) {
      this.#drop(contentLength, input.offset + from);
      this.next = next;
      return PASSED;
    }
    return this.#found(from, disposition === "suffix" ? end : start, next);
  }

  findMany(
    source: FrameSource,
    search: Search | undefined,
    frames: Frames,
  ): void {
    if (search === undefined || this.#isDiscarding) return;
    const { bytes, start, end } = source;
    const { disposition, areAllFrames, limits: { maxLength } } = this.#shape;
    const { takesReturn, longest } = this.#shape.search;
    const delimiterLength = takesReturn ? 1 : longest;
    frames.clear(0, disposition === "suffix" ? 0 : delimiterLength);
    const { ends } = frames;
    const room = ends.length;
    if (areAllFrames && end - start <= maxLength) {
      if (areFew(end - start)) {
        addAmongFew(search.sought, source, delimiterLength, frames);
      } else {
        const first = search.note(bytes, start, start, end);
        if (first === -1) return;
        const count = Math.min(search.count - first, room);
        copyNumbers(search.places, first, count, ends);
        frames.shift = search.shift - start + delimiterLength;
        frames.count = count;
      }
      if (takesReturn) noteReturns(bytes, start, frames);
      return;
    }
    const tails = takesReturn ? frames.eachTail() : undefined;
    // `| 0` says that a sum is a small integer: the loop takes two thirds of the time.
    let from = 0;
    let to = 0;
    let isTooLong = false;
    while (to < room && !isTooLong) {
      const first = search.note(bytes, start, start + from, end);
      if (first === -1) break;
      const { places, count } = search;
      // Offsets count from the front.
      const shift = (search.shift - start) | 0;
      for (let next = first; next < count && to < room; next = (next + 1) | 0) {
        const at = (places[next]! + shift) | 0; // below the count
        let length = (at - from) | 0;
        if (length < 0) continue; // it overlaps the one before
        if (tails !== undefined) {
          const hasReturn = length > 0 &&
            bytes[(start + at - 1) | 0] === CARRIAGE_RETURN;
          tails[to] = hasReturn ? 2 : 1;
          if (hasReturn) length = (length - 1) | 0;
        }
        isTooLong = length > maxLength;
        if (isTooLong) break;
        ends[to] = from = (at + delimiterLength) | 0;
        to = (to + 1) | 0;
      }
    }
    frames.count = to;
  }

  #found(start: number, end: number, next: number): Found {
    this.#hasBegun = true;
    this.start = start;
    this.end = end;
    this.next = next;
    return MESSAGE;
  }

  /** Decides what to do with bytes without a delimiter. */
  #findRest(
    input: ByteInput,
    from: number,
    contentStart: number,
    ended: boolean,
  ): Found {
    const { what, disposition, limits, search } = this.#shape;
    const contentLength = input.length - contentStart;
    // Only these may be cut within a delimiter.
    const undecided = this.#isDiscarding || contentLength > limits.maxLength
      ? search.undecided(input, contentStart)
      : 0;
    const isTooLong = !this.#isDiscarding &&
      contentLength - undecided > limits.maxLength;
    const offset = input.offset + from;
    // Even at the end, so that it does not matter when the end is seen.
    if (isTooLong && !limits.discard) {
      throw tooLong(what, offset, limits.maxLength);
    }
    if (ended) return this.#findRemainder(input, from, contentLength);
    if (isTooLong) {
      this.#isDiscarding = true;
      this.#discardOffset = offset;
    } else if (!this.#isDiscarding) return NOTHING;
    // Keep a partial delimiter, which may be part of a message. If the next message
    // begins with it, also leave a byte before it: taking that shows that this message is
    // over.
    const left = undecided + (disposition === "prefix" ? 1 : 0);
    this.#discarded += contentLength - left;
    this.next = input.length - left;
    return this.next > from ? PASSED : NOTHING;
  }

  /** Decides what to do with the remainder at the end of the stream. */
  #findRemainder(input: ByteInput, from: number, contentLength: number): Found {
    const { what, limits, trailing } = this.#shape;
    const isEmpty = input.length === from && !this.#isDiscarding;
    if (this.#isOver || isEmpty && trailing !== "always") return NOTHING;
    const offset = this.#isDiscarding
      ? this.#discardOffset
      : input.offset + from;
    if (trailing === "error") throw truncated(what, offset);
    this.#isOver = true;
    this.next = input.length;
    if (this.#isDiscarding || contentLength > limits.maxLength) {
      this.#drop(contentLength, offset);
      return PASSED;
    }
    if (trailing !== "discard") {
      return this.#found(from, input.length, input.length);
    }
    wantedDrops.count++;
    return PASSED;
  }

  /** Reports the dropped message at `offset`; throws if that is an error. */
  #drop(contentLength: number, offset: number): void {
    const { what, limits } = this.#shape;
    if (!limits.discard) throw tooLong(what, offset, limits.maxLength);
    const length = this.#discarded + contentLength;
    this.#isDiscarding = false;
    this.#discarded = 0;
    limits.onDiscard?.(length);
  }
}

/** Adds the frames that end with `sought`; the bytes are so few that all have room. */
function addAmongFew(
  sought: number | Uint8Array,
  { bytes, start, end }: FrameSource,
  delimiterLength: number,
  frames: Frames,
): void {
  for (let from = start;;) {
    const at = findAmongFew(sought, bytes, from, end);
    if (at === -1) return;
    from = at + delimiterLength;
    frames.ends[frames.count++] = from - start;
  }
}

/**
 * Notes for each line how long its end is, if a carriage return comes before a line feed.
 */
function noteReturns(
  bytes: Uint8Array,
  start: number,
  frames: Frames,
): void {
  const { ends, shift, count } = frames;
  // The offset of the byte before a line feed.
  const toLast = start + shift - 2;
  let first = 0;
  // All entries below the count exist.
  while (
    first < count && bytes[(ends[first]! + toLast) | 0] !== CARRIAGE_RETURN
  ) first = (first + 1) | 0;
  if (first === count) return;
  const tails = frames.eachTail().fill(1, 0, first);
  for (let i = first; i < count; i = (i + 1) | 0) {
    tails[i] = bytes[(ends[i]! + toLast) | 0] === CARRIAGE_RETURN ? 2 : 1;
  }
  // A byte before the front belongs to no line.
  if (ends[0]! + shift === 1) tails[0] = 1;
}

/** Whether two matches can overlap. */
function overlapsItself(sought: number | Uint8Array | undefined): boolean {
  if (typeof sought !== "object") return false;
  return (bordersOf(sought).at(-1) ?? 0) > 0;
}

/** The sought bytes as text, if they are ASCII. */
function asciiOf(sought: number | Uint8Array | undefined): string | undefined {
  if (sought === undefined) return undefined;
  const bytes = typeof sought === "number" ? [sought] : [...sought];
  return bytes.every((byte) => byte < 0x80)
    ? String.fromCharCode(...bytes)
    : undefined;
}
