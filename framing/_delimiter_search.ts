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
  readonly #beginnings: Beginnings;
  start = 0;
  end = 0;

  constructor(delimiter: Uint8Array) {
    const byte = delimiter[0];
    this.longest = delimiter.length;
    this.#beginnings = new Beginnings(delimiter);
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
    return this.#beginnings.atEnd(input, from);
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
  readonly #beginnings: readonly Beginnings[];
  start = 0;
  end = 0;

  constructor(delimiters: readonly Uint8Array[]) {
    this.#delimiters = delimiters;
    this.#beginnings = delimiters.map((each) => new Beginnings(each));
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
      for (const each of this.#beginnings) {
        const undecided = each.atEnd(input, from);
        const beginning = input.length - undecided;
        const isLonger = beginning + each.length > end;
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
      ...this.#beginnings.map((each) => each.atEnd(input, from)),
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

/** A delimiter, and how its beginnings repeat in it. */
class Beginnings {
  readonly #delimiter: Uint8Array;
  #borders: Int32Array | undefined;

  constructor(delimiter: Uint8Array) {
    this.#delimiter = delimiter;
  }

  /** The length of the delimiter. */
  get length(): number {
    return this.#delimiter.length;
  }

  /** How many of the last bytes, from `from` on, are a partial delimiter. */
  atEnd(input: ByteInput, from: number): number {
    const delimiter = this.#delimiter;
    const { length } = input;
    const borders = this.#borders ??= bordersOf(delimiter);
    let count = 0;
    // Trying each length by itself would take quadratic time for a long delimiter.
    for (
      let at = Math.max(from, length - delimiter.length + 1);
      at < length;
      at++
    ) {
      const byte = input.byteAt(at);
      while (count > 0 && byte !== delimiter[count]) {
        count = borders[count - 1] ?? 0;
      }
      if (byte === delimiter[count]) count++;
    }
    return count;
  }
}

/**
 * For each position, how many bytes up to there are also the first bytes. Each number
 * leads to the next shorter one, so a long delimiter takes linear time.
 */
export function bordersOf(delimiter: Uint8Array): Int32Array {
  const borders = new Int32Array(delimiter.length);
  let border = 0;
  for (let i = 1; i < delimiter.length; i++) {
    while (border > 0 && delimiter[i] !== delimiter[border]) {
      border = borders[border - 1] ?? 0;
    }
    if (delimiter[i] === delimiter[border]) border++;
    borders[i] = border;
  }
  return borders;
}
