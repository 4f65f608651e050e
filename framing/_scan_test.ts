import { assertEquals } from "@std/assert";
import {
  MAX_SCAN_BYTES,
  MAX_SCAN_DISTANCE,
  scriptScanner,
  wasmScanner,
} from "./_scan.ts";
import { seededRandom } from "./_testing.ts";

Deno.test("wasmScanner() finds what scriptScanner() finds", () => {
  const wasm = wasmScanner();
  const script = scriptScanner();
  const random = seededRandom(7);
  const lengths = [0, 1, 15, 16, 17, 100, 1000, MAX_SCAN_BYTES];
  for (const length of [...lengths, ...lengths.toReversed()]) {
    for (const letters of [1, 2, 30]) {
      // Few letters make many matches, and leave matches of a longer chunk behind.
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
