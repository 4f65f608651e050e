import {
  MAX_SCAN_BYTES,
  MAX_SCAN_DISTANCE,
  scanner,
} from "./_byte_search/scan.ts";

const NO_PLACES = new Int32Array(0);
const LEAST_PLACES = 16;
const FEW_NUMBERS = 48;
/** Copies are fastest from the beginning of a line of the processor's cache. */
export const CACHE_LINE_BYTES = 64;
// The most matches that one scan notes: the offsets of tiny messages would take four
// times the memory of their bytes. It is as many as are used together.
const MANY_PLACES = 4096;
// A search that needs fewer offsets keeps no more room than this.
const FEW_PLACES = 256;
// For the next search: making it takes longer than filling it.
let sparePlaces: Int32Array = NO_PLACES;

/**
 * Looks for a byte, or for several in a row, in a buffer that grows at its tail.
 *
 * It notes each match that it passes, so that no byte is scanned twice while the buffer
 * holds it, wherever a later search begins.
 */
export class Search {
  /** The sought byte or bytes, as given. */
  readonly sought: number | Uint8Array;
  readonly #first: number;
  readonly #last: number;
  readonly #distance: number;
  readonly #length: number;
  /**
   * The first {@linkcode Search.count} entries are the offsets of matches, each less
   * {@linkcode Search.shift}, which changes as the buffer moves.
   */
  places: Int32Array = NO_PLACES;
  count = 0;
  shift = 0;
  // The first match that is not before the start of the last search.
  #next = 0;
  // The scanned range: every match in it is noted.
  #from = 0;
  #to = 0;
  // Where the last search began.
  #asked = 0;
  // The most bytes to scan next: if there are many matches, no more than can be noted.
  #most = MAX_SCAN_BYTES;

  constructor(sought: number | Uint8Array) {
    this.sought = sought;
    if (typeof sought === "number") {
      this.#first = this.#last = sought;
      this.#distance = 0;
      this.#length = 1;
    } else {
      this.#length = sought.length;
      this.#distance = Math.min(sought.length - 1, MAX_SCAN_DISTANCE - 1);
      this.#first = sought[0] ?? -1;
      this.#last = sought[this.#distance] ?? -1;
    }
  }

  /**
   * Its first offset in `bytes`, from `from` on and before `end`; or -1.
   *
   * @param front Where the bytes begin that may be searched later.
   */
  find(bytes: Uint8Array, front: number, from: number, end: number): number {
    const index = this.note(bytes, front, from, end);
    return index === -1 ? -1 : this.places[index]! + this.shift; // it is noted
  }

  /** The same as {@linkcode Search.find}, as an index of {@linkcode Search.places}. */
  note(bytes: Uint8Array, front: number, from: number, end: number): number {
    if (from < this.#asked) this.#goBack(from);
    this.#asked = from;
    for (; this.#next < this.count; this.#next++) {
      const place = this.places[this.#next]!; // below the count
      if (place + this.shift >= from) return this.#next;
    }
    // From here on it would not end before `end`.
    const stop = end - this.#length + 1;
    for (;;) {
      const start = Math.max(from, this.#to);
      if (start >= stop) return -1;
      this.#forget(front, start);
      const found = this.#scan(bytes, front, start, stop);
      this.#next = this.count - found;
      if (found > 0) return this.#next;
    }
  }

  /** Notes that the bytes have moved `distance` bytes to the front. */
  move(distance: number): void {
    this.shift -= distance;
    this.#from -= distance;
    this.#to -= distance;
    this.#asked -= distance;
  }

  /** Releases room for many offsets. Forgotten matches are searched again on demand. */
  shrink(): void {
    if (this.places.length <= FEW_PLACES) return;
    if (this.places.length > sparePlaces.length) sparePlaces = this.places;
    this.places = NO_PLACES;
    this.count = this.#next = 0;
    this.#from = this.#to = this.#asked;
  }

  /** Prepares for a search that begins earlier than the last one. */
  #goBack(from: number): void {
    if (from < this.#from) {
      this.count = this.#next = 0;
      this.#from = this.#to = from;
      return;
    }
    while (
      this.#next > 0 && this.places[this.#next - 1]! + this.shift >= from // above 0
    ) this.#next--;
  }

  /** Forgets matches that are passed, or that are separate from the range at `start`. */
  #forget(front: number, start: number): void {
    const { count } = this;
    const isApart = start > this.#to;
    const isPassed = count === 0 ||
      this.places[count - 1]! + this.shift < front; // above 0
    if (!isApart && !isPassed) return;
    this.count = this.#next = 0;
    this.shift = start;
    this.#from = isApart ? start : Math.max(this.#from, front);
  }

  /**
   * Notes all matches in the next bytes, at most as many as the scanner takes; returns
   * how many.
   */
  #scan(bytes: Uint8Array, front: number, start: number, stop: number): number {
    // Bytes are copied for the scan, which takes half the time from an aligned offset.
    // Those before `start` are scanned again.
    const misaligned = (bytes.byteOffset + start) % CACHE_LINE_BYTES;
    const before = misaligned <= start ? misaligned : 0;
    const from = start - before;
    const scanned = Math.min(this.#most, stop + this.#distance - from);
    const part = scanned === bytes.length
      ? bytes
      : bytes.subarray(from, from + scanned);
    let found = scanner.scan(
      part,
      this.#first,
      this.#last,
      this.#distance,
    );
    const { offsets } = scanner;
    let first = 0;
    while (first < found && offsets[first]! < before) first++; // below the number found
    let to = from + scanned - this.#distance;
    if (found - first > MANY_PLACES) {
      found = first + MANY_PLACES;
      to = from + offsets[found]!; // there are more
      this.#most = to - from;
    } else if (2 * (found - first) < MANY_PLACES) this.#most = MAX_SCAN_BYTES;
    if (this.count === 0) this.shift = from;
    const more = found - first;
    if (this.count + more > this.places.length) this.#makeRoom(front, more);
    const { places, count } = this;
    const move = from - this.shift;
    let next = count;
    const { sought } = this;
    if (typeof sought !== "number" && sought.length > 2) {
      for (let i = first; i < found; i++) {
        const at = offsets[i]!; // below the number found
        if (standsAt(sought, bytes, from + at)) places[next++] = at + move;
      }
    } else if (next === 0) {
      copyNumbers(offsets, first, more, places); // the scanner has seen everything
      next = more;
    } else {
      for (let i = first; i < found; i++) places[next++] = offsets[i]! + move;
    }
    this.count = next;
    this.#to = to;
    return next - count;
  }

  /** Provides room for `more` offsets, without those before `front`. */
  #makeRoom(front: number, more: number): void {
    let passed = 0;
    while (passed < this.count && this.places[passed]! + this.shift < front) {
      passed++;
    }
    const kept = this.places.subarray(passed, this.count);
    const length = Math.max(LEAST_PLACES, 2 * kept.length, kept.length + more);
    let places = sparePlaces;
    if (length <= FEW_PLACES || places.length < length) {
      places = new Int32Array(length);
    } else {
      sparePlaces = NO_PLACES;
    }
    places.set(kept);
    this.places = places;
    this.count = kept.length;
    this.#next = Math.max(0, this.#next - passed);
    // Earlier bytes are not asked for again.
    this.#from = Math.max(this.#from, front);
  }
}

/** Copies `count` numbers from `first` on to the front of `target`. */
export function copyNumbers(
  numbers: Int32Array,
  first: number,
  count: number,
  target: Int32Array,
): void {
  if (count > FEW_NUMBERS) {
    target.set(numbers.subarray(first, first + count));
    return;
  }
  // For few numbers, making a view takes longer.
  for (let i = 0; i < count; i = (i + 1) | 0) {
    target[i] = numbers[(first + i) | 0]!; // there are so many
  }
}

/** Makes a search for `sought`; throws if that cannot be searched for. */
export function searchFor(sought: number | Uint8Array): Search {
  checkSought(sought);
  return new Search(sought);
}

// A search takes longer to begin, and what it notes takes memory.
const FEW_BYTES = 128;

/** Whether there are so few bytes that {@linkcode findAmongFew} is faster than a search. */
export function areFew(length: number): boolean {
  return length <= FEW_BYTES;
}

/** The first offset of `sought` in `bytes`, from `from` on and before `end`; or -1. */
export function findAmongFew(
  sought: number | Uint8Array,
  bytes: Uint8Array,
  from: number,
  end: number,
): number {
  if (typeof sought === "number") {
    for (let at = from; at < end; at++) if (bytes[at] === sought) return at;
    return -1;
  }
  checkSought(sought);
  const [first] = sought;
  const stop = end - sought.length;
  for (let at = from; at <= stop; at++) {
    if (bytes[at] === first && standsAt(sought, bytes, at)) return at;
  }
  return -1;
}

function checkSought(sought: number | Uint8Array): void {
  if (typeof sought !== "number" && sought.length === 0) {
    throw new RangeError("Cannot find bytes as there must be at least 1");
  }
}

/** Whether all of `sought` is at `at`, where its first byte is. */
function standsAt(sought: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let i = sought.length - 1; i > 0; i--) {
    if (bytes[at + i] !== sought[i]) return false;
  }
  return true;
}
