import { assert, assertEquals, assertThrows } from "@std/assert";
import { MAX_SCAN_BYTES } from "./_byte_search/scan.ts";
import { Search, searchFor } from "./_search.ts";
import { assertLinear, bytes, pick, rounds, seededRandom } from "./_testing.ts";

/** The first position of `sought`, by the simplest search. */
function plainFind(
  stream: Uint8Array,
  sought: number | Uint8Array,
  from: number,
  end: number,
): number {
  const bytes = typeof sought === "number" ? [sought] : [...sought];
  for (let at = from; at + bytes.length <= end; at++) {
    if (bytes.every((byte, i) => stream[at + i] === byte)) return at;
  }
  return -1;
}

Deno.test("Search finds the same places as a simple search, from any start, while its buffer moves", () => {
  const random = seededRandom(5);
  for (let round = 0; round < rounds(400); round++) {
    const letters = pick(random, [1, 2, 3, 20, 250]);
    const stream = Uint8Array.from(
      { length: pick(random, [10, 200, 3000]) },
      () => random(letters),
    );
    const sought = random(3) === 0
      ? random(letters)
      : Uint8Array.from({ length: 1 + random(4) }, () => random(letters));
    const search = new Search(sought);
    // The buffer has the stream from `origin` to `end`; `front` bytes of it are taken.
    let origin = 0;
    let front = 0;
    let end = 0;
    for (let step = 0; step < 60; step++) {
      end = Math.min(stream.length, end + random(pick(random, [2, 60, 600])));
      for (let looks = random(4); looks > 0; looks--) {
        const from = front + random(pick(random, [1, 10, end - front + 2]));
        const buffer = stream.subarray(origin);
        const at = search.find(
          buffer,
          front - origin,
          from - origin,
          end - origin,
        );
        assertEquals(
          at === -1 ? -1 : at + origin,
          plainFind(stream, sought, from, end),
        );
      }
      front += random(Math.min(end - front + 1, pick(random, [1, 5, 600])));
      if (random(4) === 0) {
        const moved = random(front - origin + 1);
        origin += moved;
        search.move(moved);
      }
    }
  }
});

Deno.test("Search finds all places in buffers larger than one scan", () => {
  const random = seededRandom(6);
  for (const length of [1, 2, 3, 70, 200]) {
    const sought = Uint8Array.from({ length }, (_, i) => 1 + i % 2);
    const stream = new Uint8Array(3 * MAX_SCAN_BYTES);
    const places = [
      0,
      MAX_SCAN_BYTES - length,
      ...Array.from({ length: 9 }, (_, i) => MAX_SCAN_BYTES + 300 * (i + 1)),
      2 * MAX_SCAN_BYTES - 1 - random(length),
      stream.length - length,
    ].map((place) => place - place % 2);
    for (const place of places) stream.set(sought, place);
    const found: number[] = [];
    const search = new Search(sought);
    for (let from = 0;;) {
      const at = search.find(stream, 0, from, stream.length);
      if (at === -1) break;
      found.push(at);
      from = at + length;
    }
    assertEquals(found, places);
    // They are stored now.
    assertEquals(search.find(stream, 0, 1, stream.length), places[1]);
  }
});

Deno.test("Search finds a sequence longer than one scan", () => {
  const sought = new Uint8Array(MAX_SCAN_BYTES + 5000).fill(1);
  const stream = new Uint8Array(3 * MAX_SCAN_BYTES);
  stream.set(sought, 1000);
  const search = new Search(sought);
  assertEquals(search.find(stream, 0, 0, 1000 + sought.length - 1), -1);
  assertEquals(search.find(stream, 0, 0, stream.length), 1000);
  assertEquals(search.find(stream, 0, 1001, stream.length), -1);
});

Deno.test("Search forgets places before the front", () => {
  const stream = bytes("\n".repeat(MAX_SCAN_BYTES));
  const search = new Search(0x0a);
  search.find(stream, 0, 0, stream.length);
  assert(search.count > 1000);
  const next = bytes("x".repeat(100) + "\n");
  search.move(stream.length);
  search.shrink();
  assertEquals(search.find(next, 0, 0, next.length), 100);
  assertEquals(search.count, 1);
  assert(search.places.length <= 16);
  // Positions that are needed again are found again.
  search.shrink();
  assertEquals(search.find(next, 0, 0, next.length), 100);
});

// A custom framing may search for the same byte from several positions after each read.
Deno.test("Search does linear work when it is called from two places repeatedly", () => {
  assertLinear((size) => {
    const stream = new Uint8Array(size);
    const search = new Search(1);
    stream[0] = stream[size >> 1] = 1;
    for (let end = 1; end <= size; end += 4) {
      search.find(stream, 0, 0, end);
      search.find(stream, 0, 1, end);
    }
  }, 100_000);
});

Deno.test("Search does linear work when only some of the found places are taken", () => {
  assertLinear((size) => {
    const stream = new Uint8Array(size).fill(1);
    const search = new Search(1);
    for (let front = 0; front + 40 < size; front++) {
      const far = front + 39;
      // `assertEquals` would take most of the time.
      const found = search.find(stream, front, front, size) === front &&
        search.find(stream, front, far, size) === far;
      if (!found) throw new Error(`Not found at ${front}`);
    }
  }, 30_000);
});

Deno.test("searchFor() refuses an empty sequence", () => {
  assertThrows(() => searchFor(new Uint8Array()), RangeError);
});

Deno.test("Search stores only as many places as one scan finds", () => {
  for (const letter of [0x61, bytes("aa"), bytes("aaa")]) {
    const stream = new Uint8Array(4 * MAX_SCAN_BYTES).fill(0x61);
    const search = new Search(letter);
    for (let from = 0; from < 3 * MAX_SCAN_BYTES; from++) {
      assertEquals(search.find(stream, from, from, stream.length), from);
    }
    assert(search.places.length <= 2 * 4096, `${search.places.length}`);
    // From here on the search skips nothing.
    stream.fill(0x62, 3 * MAX_SCAN_BYTES, -3);
    const from = 3 * MAX_SCAN_BYTES;
    const at = new Search(letter).find(stream, from, from, stream.length);
    assertEquals(at, stream.length - 3);
  }
});
