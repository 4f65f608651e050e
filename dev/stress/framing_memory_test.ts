import { assert, assertEquals } from "@std/assert";
import { run } from "../../connection/_testing.ts";
import { ChunkEncoder, delimited } from "../../framing.ts";
import { heldMemory } from "./held_memory.ts";

const LONG_BYTES = 8 * 1024 * 1024;

// In its own process: in the test runner's a garbage collection takes five times as long.
Deno.test("no decoder keeps more than maxLength and one chunk", async () => {
  const url = import.meta.resolve("./framing_memory.ts");
  assertEquals(
    await run(`
      import { checkMemory } from "${url}";
      console.log(checkMemory([45_000]) > 0);
    `),
    { output: "true\n", code: 0 },
  );
});

Deno.test("no encoder keeps a long message that it has encoded", () => {
  const encoder = new ChunkEncoder(
    delimited("\n", { maxLength: LONG_BYTES }),
  );
  encoder.encode(new Uint8Array(1)); // creates what all encoders share
  const before = heldMemory().external;
  encodeLong(encoder);
  const grown = heldMemory().external - before;
  assert(grown < LONG_BYTES / 2, `it grew by ${grown} bytes`);
});

// A separate function, so that its variables are not kept on the stack.
function encodeLong(encoder: ChunkEncoder<Uint8Array>): void {
  encoder.encode(new Uint8Array(LONG_BYTES));
}
