import type { ByteInput } from "./byte_input.ts";

/** Finds delimiters. The last match is left in fields. */
export interface DelimiterSearch {
  /** Where the delimiter begins. */
  readonly start: number;
  /** Where it ends. */
  readonly end: number;
  /** The length of the longest delimiter. */
  readonly longest: number;
  /** The only delimiter, as the search takes it. */
  readonly only: number | Uint8Array | undefined;
  /** Whether a carriage return before it belongs to it. */
  readonly takesReturn: boolean;
  /** Looks for the first delimiter from `from` on; returns whether there is one. */
  find(input: ByteInput, from: number, ended: boolean): boolean;
  /**
   * How many of the last bytes, from `from` on, may belong to an unfinished delimiter.
   */
  undecided(input: ByteInput, from: number): number;
}

/** The search for any of `delimiters`. */
export function delimiterSearch(
  delimiters: readonly Uint8Array[],
): DelimiterSearch {
  // Not by destructuring, whose iterator would cost time for each new stream.
  const first = delimiters[0];
  return first !== undefined && delimiters.length === 1
    ? new OneDelimiter(first)
    : new SeveralDelimiters(delimiters);
}

class OneDelimiter implements DelimiterSearch {
  readonly longest: number;
  readonly only: number | Uint8Array;
  readonly takesReturn = false;
  readonly #delimiter: Uint8Array;
  start = 0;
  end = 0;

  constructor(delimiter: Uint8Array) {
    const byte = delimiter[0];
    this.longest = delimiter.length;
    this.#delimiter = delimiter;
    this.only = this.longest === 1 && byte !== undefined ? byte : delimiter;
  }

  find(input: ByteInput, from: number): boolean {
    const start = input.indexOf(this.only, from);
    if (start === -1) return false;
    this.start = start;
    this.end = start + this.longest;
    return true;
  }

  undecided(input: ByteInput, from: number): number {
    return beginningAtEnd(input, from, this.#delimiter);
  }
}

/**
 * Finds the delimiter that begins first and, of those that begin there, the longest. So
 * it waits if an earlier or longer match is still possible.
 */
class SeveralDelimiters implements DelimiterSearch {
  readonly longest: number;
  readonly only = undefined;
  readonly takesReturn = false;
  readonly #delimiters: readonly Uint8Array[];
  start = 0;
  end = 0;

  constructor(delimiters: readonly Uint8Array[]) {
    this.#delimiters = delimiters;
    this.longest = Math.max(...delimiters.map(({ length }) => length));
  }

  find(input: ByteInput, from: number, ended: boolean): boolean {
    let start = Infinity;
    let end = 0;
    for (const delimiter of this.#delimiters) {
      const at = input.indexOf(delimiter, from);
      if (at === -1) continue;
      const atEnd = at + delimiter.length;
      if (at < start || at === start && atEnd > end) {
        start = at;
        end = atEnd;
      }
    }
    if (end === 0) return false;
    if (!ended && start + this.longest > input.length) {
      for (const delimiter of this.#delimiters) {
        const undecided = beginningAtEnd(input, from, delimiter);
        const beginning = input.length - undecided;
        const isLonger = beginning + delimiter.length > end;
        if (
          undecided > 0 &&
          (beginning < start || beginning === start && isLonger)
        ) {
          return false;
        }
      }
    }
    this.start = start;
    this.end = end;
    return true;
  }

  undecided(input: ByteInput, from: number): number {
    return Math.max(
      ...this.#delimiters.map((each) => beginningAtEnd(input, from, each)),
    );
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Finds the ends of lines: a line feed, and a carriage return right before it. */
export class LineEnds implements DelimiterSearch {
  readonly longest = 2;
  readonly only = LINE_FEED;
  readonly takesReturn = true;
  start = 0;
  end = 0;

  find(input: ByteInput, from: number): boolean {
    const at = input.indexOf(LINE_FEED, from);
    if (at === -1) return false;
    const hasReturn = at > from && input.byteAt(at - 1) === CARRIAGE_RETURN;
    this.start = hasReturn ? at - 1 : at;
    this.end = at + 1;
    return true;
  }

  undecided(input: ByteInput, from: number): number {
    const { length } = input;
    return length > from && input.byteAt(length - 1) === CARRIAGE_RETURN
      ? 1
      : 0;
  }
}

/** How many of the last bytes, from `from` on, are a partial `delimiter`. */
function beginningAtEnd(
  input: ByteInput,
  from: number,
  delimiter: Uint8Array,
): number {
  const { length } = input;
  const longest = Math.min(delimiter.length - 1, length - from);
  for (let count = longest; count > 0; count--) {
    let same = 0;
    while (
      same < count && input.byteAt(length - count + same) === delimiter[same]
    ) same++;
    if (same === count) return count;
  }
  return 0;
}
