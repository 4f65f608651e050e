import { assert, assertEquals } from "@std/assert";
import {
  MAX_SCAN_BYTES,
  MAX_SCAN_DISTANCE,
  scriptScanner,
  wasmScanner,
} from "./scan.ts";
import { seededRandom } from "../_testing.ts";

Deno.test("wasmScanner() finds the same places as scriptScanner()", () => {
  const wasm = wasmScanner();
  const script = scriptScanner();
  const random = seededRandom(7);
  const lengths = [0, 1, 15, 16, 17, 100, 1000, MAX_SCAN_BYTES];
  for (const length of [...lengths, ...lengths.toReversed()]) {
    for (const letters of [1, 2, 30]) {
      // Few different letters make many matches, and leave matches of a longer chunk in
      // memory.
      const chunk = Uint8Array.from(
        { length },
        () => random(letters),
      );
      for (const distance of [0, 1, 2, 15, 16, MAX_SCAN_DISTANCE]) {
        const last = distance === 0 ? 0 : letters - 1;
        const wasmCount = wasm.scan(chunk, 0, last, distance);
        const scriptCount = script.scan(chunk, 0, last, distance);
        assertEquals(
          wasm.offsets.slice(0, wasmCount),
          script.offsets.slice(0, scriptCount),
        );
      }
    }
  }
});

Deno.test("wasmScanner() finds a byte anywhere in its own memory and in another buffer", () => {
  const wasm = wasmScanner();
  const size = 256;
  const space = wasm.bufferSpace(size);
  const own = space.reserve(size)!; // the first is always there
  const others = [own, new Uint8Array(size)];
  for (const buffer of others) {
    for (let place = 0; place < size; place += 7) {
      buffer.fill(1);
      buffer[place] = 2;
      for (let start = 0; start < size; start += 31) {
        for (let end = start; end <= size; end += 29) {
          const expected = start <= place && place < end ? place : -1;
          for (const { indexOf } of [space, wasm, scriptScanner()]) {
            assertEquals(indexOf(buffer, 2, start, end), expected);
          }
        }
      }
    }
  }
  const long = new Uint8Array(300_000);
  for (const place of [1023, 1024, 5000, MAX_SCAN_BYTES, 200_000]) {
    long[place] = 2;
    assertEquals(wasm.indexOf(long, 2, 0, long.length), place);
    assertEquals(wasm.indexOf(long, 2, 0, place), -1);
    long[place] = 0;
  }
});

Deno.test("wasmScanner() reserves separate buffers while there is room", () => {
  const { scan, offsets, bufferSpace } = wasmScanner();
  const { reserve } = bufferSpace(3 * 1024 * 1024);
  const buffers: Uint8Array[] = [];
  for (;;) {
    const buffer = reserve(512 * 1024);
    if (buffer === undefined) break;
    buffers.push(buffer.fill(1 + buffers.length));
  }
  // The bytes are copied to another place, and so are the found positions.
  const count = scan(new Uint8Array(MAX_SCAN_BYTES), 0, 0, 0);
  assertEquals(count, MAX_SCAN_BYTES);
  assertEquals(offsets[MAX_SCAN_BYTES - 1], MAX_SCAN_BYTES - 1);
  assertEquals(buffers.length, 6);
  for (const [index, buffer] of buffers.entries()) {
    assert(buffer.every((byte) => byte === index + 1));
  }
});
