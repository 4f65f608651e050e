import { MAX_SCAN_DISTANCE, scanner } from "./_byte_search/scan.ts";
import type { Bytes } from "./framing.ts";

/**
 * Finds delimiters in the chunks of one byte stream, wherever it is cut.
 *
 * Positions count from the first byte of the chunk given last. They are
 * negative where a delimiter began, or wholly lies, in an earlier chunk.
 */
export interface DelimiterFinder {
  /** How many of the last bytes may yet turn out to belong to a delimiter. */
  readonly undecided: number;
  /**
   * Looks through `chunk`, which follows the chunks before, and sets `found`. It has
   * `MAX_SCAN_BYTES` at most.
   */
  scan(chunk: Bytes, found: Delimiters): void;
  /** Decides what is undecided, as no more bytes come. Positions count from the end. */
  end(found: Delimiters): void;
}

/** Where delimiters begin and end, in order: the first `count` of each array. */
export class Delimiters {
  /** How many there are. */
  count = 0;
  /** Where each begins. */
  starts = new Int32Array(16);
  /** Where each ends, unless all have the same length. */
  ends = new Int32Array(16);
  /** The length of all, or 0. */
  commonLength = 0;

  /** Begins anew, for delimiters of one length, or of any if it is 0. */
  clear(commonLength = 0): void {
    this.count = 0;
    this.commonLength = commonLength;
  }

  /** Adds one behind the others. */
  add(start: number, end: number): void {
    this.reserve(this.count + 1);
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.count++;
  }

  /** Makes room for `count` in all. */
  reserve(count: number): void {
    const { starts, ends } = this;
    if (count <= starts.length) return;
    const size = Math.max(count, starts.length * 2);
    this.starts = new Int32Array(size);
    this.ends = new Int32Array(size);
    this.starts.set(starts);
    this.ends.set(ends);
  }
}

/** Finds a delimiter of one byte. */
export class ByteFinder implements DelimiterFinder {
  readonly #byte: number;
  readonly undecided = 0;

  constructor(byte: number) {
    this.#byte = byte;
  }

  scan(chunk: Bytes, found: Delimiters): void {
    const count = scanner.scan(chunk, this.#byte, this.#byte, 0);
    found.clear(1);
    found.reserve(count);
    found.count = count;
    found.starts.set(scanner.offsets.subarray(0, count));
  }

  end(found: Delimiters): void {
    found.clear();
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Finds the ends of lines: a line feed, and a carriage return right before it. */
export class LineFinder implements DelimiterFinder {
  undecided = 0;

  scan(chunk: Bytes, found: Delimiters): void {
    const count = scanner.scan(chunk, LINE_FEED, LINE_FEED, 0);
    found.clear();
    found.reserve(count);
    found.count = count;
    const { starts, ends } = found;
    const { offsets } = scanner;
    for (let i = 0; i < count; i++) {
      const offset = offsets[i]!; // below `count`, so it is there
      const isReturn = offset === 0
        ? this.undecided === 1
        : chunk[offset - 1] === CARRIAGE_RETURN;
      starts[i] = isReturn ? offset - 1 : offset;
      ends[i] = offset + 1;
    }
    if (chunk.length > 0) {
      this.undecided = chunk[chunk.length - 1] === CARRIAGE_RETURN ? 1 : 0;
    }
  }

  end(found: Delimiters): void {
    found.clear();
    this.undecided = 0;
  }
}

const ALPHABET = 256;
const NOWHERE = -1;

/**
 * The delimiters as an automaton (Aho and Corasick, 1975), changed to find the
 * earliest delimiter and, of those that begin there, the longest.
 *
 * A state is a text that may grow into a delimiter. One byte is one step, so
 * work is linear however the delimiters overlap with themselves.
 */
export interface DelimiterAutomaton {
  /** The state for a state and a byte, or -1 where that text cannot grow so. */
  readonly next: Int32Array;
  /** The bytes of each state's text. */
  readonly texts: readonly Uint8Array[];
  /** The state for the longest end of each state's text that may still grow. */
  readonly fallbacks: Int32Array;
  /** Where each state's text holds the delimiter to take if it cannot grow; -1 for none. */
  readonly matchStarts: Int32Array;
  /** Where that delimiter ends. */
  readonly matchEnds: Int32Array;
  /** Whether a state's text is a delimiter that no other can extend. */
  readonly complete: readonly boolean[];
  /** The only delimiter, if there is only one. */
  readonly only: Uint8Array | undefined;
}

/** Builds the automaton for `delimiters`. */
export function delimiterAutomaton(
  delimiters: readonly Uint8Array[],
): DelimiterAutomaton {
  const { next, texts, isDelimiter } = buildTrie(delimiters);
  const fallbacks = new Int32Array(texts.length);
  const matchStarts = new Int32Array(texts.length).fill(NOWHERE);
  const matchEnds = new Int32Array(texts.length).fill(NOWHERE);
  const complete: boolean[] = [];
  // States are numbered so that a shorter text comes before a longer one.
  for (const [state, text] of texts.entries()) {
    const parent = find(next, text.subarray(0, -1));
    fallbacks[state] = text.length < 2
      ? 0
      : longestSuffixState(next, fallbacks, parent, text);
    // Shorter texts came before, so the entries of these two are set.
    const fallback = fallbacks[state]!;
    const shift = text.length - texts[fallback]!.length;
    const inParent = { start: matchStarts[parent]!, end: matchEnds[parent]! };
    const inFallback = matchStarts[fallback] === NOWHERE ? NO_MATCH : {
      start: matchStarts[fallback]! + shift,
      end: matchEnds[fallback]! + shift,
    };
    const { start, end } = isDelimiter[state]
      ? { start: 0, end: text.length }
      : earliestLongest(inParent, inFallback);
    matchStarts[state] = start;
    matchEnds[state] = end;
    const grows = next.subarray(state * ALPHABET, (state + 1) * ALPHABET)
      .some((target) => target !== NOWHERE);
    complete.push(isDelimiter[state] === true && !grows);
  }
  return {
    next,
    texts,
    fallbacks,
    matchStarts,
    matchEnds,
    complete,
    only: delimiters.length === 1 ? delimiters[0] : undefined,
  };
}

interface Match {
  readonly start: number;
  readonly end: number;
}

const NO_MATCH: Match = { start: NOWHERE, end: NOWHERE };

function earliestLongest(a: Match, b: Match): Match {
  if (a.start === NOWHERE) return b;
  if (b.start === NOWHERE) return a;
  if (a.start !== b.start) return a.start < b.start ? a : b;
  return a.end > b.end ? a : b;
}

/** Makes the states: one for each beginning of a delimiter, shorter ones first. */
function buildTrie(delimiters: readonly Uint8Array[]) {
  const beginnings = new Map<string, Uint8Array>();
  for (const delimiter of delimiters) {
    for (let length = 0; length <= delimiter.length; length++) {
      const text = delimiter.subarray(0, length);
      beginnings.set(text.join(), text);
    }
  }
  const texts = [...beginnings.values()].sort((a, b) => a.length - b.length);
  const numbers = new Map(texts.map((text, state) => [text.join(), state]));
  const next = new Int32Array(texts.length * ALPHABET).fill(NOWHERE);
  for (const [state, text] of texts.entries()) {
    const lastByte = text.at(-1);
    if (lastByte === undefined) continue;
    const parent = numbers.get(text.subarray(0, -1).join()) ?? 0;
    next[parent * ALPHABET + lastByte] = state;
  }
  const wanted = new Set(delimiters.map((delimiter) => delimiter.join()));
  const isDelimiter = texts.map((text) => wanted.has(text.join()));
  return { next, texts, isDelimiter };
}

/** The state whose text is `text`, which is the beginning of a delimiter. */
function find(next: Int32Array, text: Uint8Array): number {
  let state = 0;
  for (const byte of text) state = next[state * ALPHABET + byte] ?? 0;
  return state;
}

/** The state of the longest text that is shorter than `text` and ends it. */
function longestSuffixState(
  next: Int32Array,
  fallbacks: Int32Array,
  parent: number,
  text: Uint8Array,
): number {
  const lastByte = text[text.length - 1]!; // the caller gives two bytes or more
  let state = parent;
  while (state !== 0) {
    state = fallbacks[state]!; // shorter than `text`, so set before
    const target = next[state * ALPHABET + lastByte]!; // the table is complete
    if (target !== NOWHERE) return target;
  }
  return 0;
}

/** Finds delimiters of any number and length. */
export class AutomatonFinder implements DelimiterFinder {
  readonly #automaton: DelimiterAutomaton;
  #state = 0;

  constructor(automaton: DelimiterAutomaton) {
    this.#automaton = automaton;
  }

  get undecided(): number {
    return this.#automaton.texts[this.#state]?.length ?? 0;
  }

  scan(chunk: Bytes, found: Delimiters): void {
    const { only } = this.#automaton;
    found.clear(only?.length);
    const canScan = only !== undefined && only.length <= MAX_SCAN_DISTANCE;
    const from = canScan ? this.#scanFor(only, chunk, found) : 0;
    for (let index = from; index < chunk.length; index++) {
      this.#step(chunk[index]!, index, found); // below the length, so it is there
    }
  }

  /**
   * Finds the only delimiter at its first and last byte, many places at a time.
   *
   * @returns From where the automaton has to go on: what is behind may begin a
   * delimiter that the next chunk ends.
   */
  #scanFor(only: Uint8Array, chunk: Bytes, found: Delimiters): number {
    const { length } = only;
    const distance = length - 1;
    // What began in an earlier chunk is for the automaton.
    let end = 0;
    while (this.undecided > end && end < chunk.length) {
      this.#step(chunk[end]!, end, found);
      end++;
    }
    if (end === chunk.length) return end;
    this.#state = 0;
    let { count } = found;
    end = count > 0 ? Math.max(0, found.starts[count - 1]! + length) : 0;
    const candidates = scanner.scan(chunk, only[0]!, only[distance]!, distance);
    found.reserve(count + candidates);
    const { starts } = found;
    const { offsets } = scanner;
    for (let i = 0; i < candidates; i++) {
      const start = offsets[i]!; // below `candidates`, so it is there
      if (start >= end && holdsBetween(chunk, start, only)) {
        starts[count++] = start;
        end = start + length;
      }
    }
    found.count = count;
    return Math.max(end, chunk.length - distance);
  }

  end(found: Delimiters): void {
    found.clear(this.#automaton.only?.length);
    while (this.#state !== 0) {
      const { texts, fallbacks, matchStarts } = this.#automaton;
      const start = matchStarts[this.#state]!; // every state has an entry
      if (start === NOWHERE) this.#state = 0;
      else if (this.#fallbackStart() <= start) {
        this.#state = fallbacks[this.#state]!;
      } else this.#take(texts[this.#state]!, 0, found);
    }
  }

  /** Goes on with `byte`, which lies at `index`. */
  #step(byte: number, index: number, found: Delimiters): void {
    const { next, texts, fallbacks, matchStarts, complete } = this.#automaton;
    // Every state has an entry in each table, so none of these is undefined.
    let target = next[this.#state * ALPHABET + byte]!;
    while (target === NOWHERE && this.#state !== 0) {
      const start = matchStarts[this.#state]!;
      if (start !== NOWHERE && start < this.#fallbackStart()) {
        this.#take(texts[this.#state]!, index, found);
      } else {
        this.#state = fallbacks[this.#state]!;
      }
      target = next[this.#state * ALPHABET + byte]!;
    }
    this.#state = target === NOWHERE ? 0 : target;
    if (complete[this.#state]) {
      this.#take(texts[this.#state]!, index + 1, found);
    }
  }

  /** Where the text of the fallback begins in the text of the state. */
  #fallbackStart(): number {
    const { texts, fallbacks } = this.#automaton;
    const fallback = fallbacks[this.#state]!; // every state has an entry
    return texts[this.#state]!.length - texts[fallback]!.length;
  }

  /** Takes the delimiter held in `text`, which ends at `index`, and goes over the rest anew. */
  #take(text: Uint8Array, index: number, found: Delimiters): void {
    const textStart = index - text.length;
    const start = this.#automaton.matchStarts[this.#state]!;
    const end = this.#automaton.matchEnds[this.#state]!;
    found.add(textStart + start, textStart + end);
    this.#state = 0;
    for (let i = end; i < text.length; i++) {
      this.#step(text[i]!, textStart + i, found);
    }
  }
}

/** Whether `text`, whose first and last byte were compared, stands in `chunk` at `start`. */
function holdsBetween(chunk: Bytes, start: number, text: Uint8Array): boolean {
  for (let i = text.length - 2; i > 0; i--) {
    if (chunk[start + i] !== text[i]) return false;
  }
  return true;
}
