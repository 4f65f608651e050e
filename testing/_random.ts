import { concat } from "@std/bytes/concat";
import type { Random } from "../internal/random.ts";

// More would take long, and find nothing more.
const MAX_CUTS = 2000;

/** Where to cut `length` bytes, at random: often, or seldom. */
export function randomCuts(random: Random, length: number): number[] {
  // Many cuts next to each other, in one part, or few in all.
  const distance = 1 + random([2, 8, 64, length][random(4)] ?? length);
  const first = random(2) === 0 ? 0 : random(length);
  const cuts: number[] = [];
  for (
    let at = first + 1 + random(distance);
    at < length && cuts.length < MAX_CUTS;
    at += 1 + random(distance)
  ) cuts.push(at);
  return cuts;
}

/** A copy of `stream`, damaged somewhere as by a peer or a link. */
export function damaged(random: Random, stream: Uint8Array): Uint8Array {
  const at = random(stream.length + 1);
  const before = stream.subarray(0, at);
  const after = stream.subarray(at);
  const some = stream.subarray(at, at + 1 + random(16));
  const noise = Uint8Array.from({ length: 1 + random(8) }, () => random(256));
  switch (random(7)) {
    case 0: // bytes were changed
      return concat([before, noise, after.subarray(noise.length)]);
    case 1: // a bit was
      return concat([
        before,
        after.subarray(0, 1).map((byte) => byte ^ (1 << random(8))),
        after.subarray(1),
      ]);
    case 2: // bytes are missing
      return concat([before, after.subarray(some.length)]);
    case 3: // bytes came twice
      return concat([before, some, after]);
    case 4: // there are extra bytes
      return concat([before, noise, after]);
    case 5: // a value at which counting may go wrong
      return concat([
        before,
        Uint8Array.of([0, 0x7f, 0x80, 0xff][random(4)] ?? 0),
        after.subarray(1),
      ]);
    default: // all of it is wrong
      return Uint8Array.from({ length: 1 + random(64) }, () => random(256));
  }
}
