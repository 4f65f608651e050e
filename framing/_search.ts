import {
  MAX_SCAN_BYTES,
  MAX_SCAN_DISTANCE,
  scanner,
} from "./_byte_search/scan.ts";

const NO_PLACES = new Int32Array(0);
// So few bytes are looked through here: the scanner takes longer to begin.
const SHORT_BYTES = 48;

/** Looks for a byte, or for several in a row, in a buffer that grows at its tail. */
export class Search {
  /** What is sought, as it was given. */
  readonly sought: number | Uint8Array;
  readonly #first: number;
  readonly #last: number;
  readonly #distance: number;
  readonly #length: number;
  // Where it was found in one look at many bytes: the first `#count`, from `#next` on.
  #places = NO_PLACES;
  #count = 0;
  #next = 0;
  // What is added to a place, as the buffer moves.
  #shift = 0;
  // What was looked through; each place in it is noted, or before the last one asked for.
  #from = 0;
  #to = 0;
  #asked = 0;

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

  /** Where it stands first in `bytes`, from `from` on and before `end`; or -1. */
  find(bytes: Uint8Array, from: number, end: number): number {
    if (from < this.#asked) this.#goBack(from);
    this.#asked = from;
    while (this.#next < this.#count) {
      const at = this.#places[this.#next]! + this.#shift; // below the count
      if (at >= from) return at;
      this.#next++;
    }
    return this.#findAnew(bytes, from, end);
  }

  #findAnew(bytes: Uint8Array, from: number, end: number): number {
    for (;;) {
      const start = Math.max(from, this.#to);
      // From here on it would not end before `end`.
      const stop = end - this.#length + 1;
      if (start >= stop) return -1;
      if (stop - start <= SHORT_BYTES) {
        // Not noted: the next look begins there.
        const at = this.#findShort(bytes, start, stop);
        if (start > this.#to) this.#from = start;
        this.#to = at === -1 ? stop : at;
        return at;
      }
      this.#scan(bytes, start, end);
      if (this.#count > 0) return this.#places[0]! + start; // there is one
    }
  }

  /** The bytes have moved `distance` bytes to the front. */
  move(distance: number): void {
    this.#shift -= distance;
    this.#from -= distance;
    this.#to -= distance;
    this.#asked -= distance;
  }

  /** An earlier place is asked for than before. */
  #goBack(from: number): void {
    this.#next = 0;
    if (from >= this.#from) return;
    this.#count = 0;
    this.#from = this.#to = from;
  }

  #findShort(bytes: Uint8Array, start: number, stop: number): number {
    for (let at = start; at < stop; at++) {
      if (bytes[at] === this.#first && this.#standsAt(bytes, at)) return at;
    }
    return -1;
  }

  /** Notes where it stands in the next bytes, at most as many as the scanner takes. */
  #scan(bytes: Uint8Array, start: number, end: number): void {
    const part = bytes.subarray(start, Math.min(end, start + MAX_SCAN_BYTES));
    let count = scanner.scan(part, this.#first, this.#last, this.#distance);
    const { offsets } = scanner;
    // What begins near the end of this part is left for the next one.
    const stop = part.length - this.#length + 1;
    if (this.#length > 1) {
      let kept = 0;
      for (let i = 0; i < count; i++) {
        const at = offsets[i]!; // below the count
        if (at < stop && this.#standsAt(bytes, start + at)) {
          offsets[kept++] = at;
        }
      }
      count = kept;
    }
    if (count > this.#places.length) {
      this.#places = offsets.slice(0, count);
    } else {
      this.#places.set(offsets.subarray(0, count));
    }
    this.#count = count;
    this.#next = 0;
    this.#shift = start;
    this.#from = start;
    this.#to = start + stop;
  }

  /** Whether all of it stands at `at`, where its first byte does. */
  #standsAt(bytes: Uint8Array, at: number): boolean {
    const { sought } = this;
    if (typeof sought === "number") return true;
    for (let i = sought.length - 1; i > 0; i--) {
      if (bytes[at + i] !== sought[i]) return false;
    }
    return true;
  }
}

/** Looks for `sought`; throws if that is nothing to look for. */
export function searchFor(sought: number | Uint8Array): Search {
  if (typeof sought !== "number" && sought.length === 0) {
    throw new RangeError("Cannot find bytes as there must be at least 1");
  }
  return new Search(sought);
}
