import { correlate, lines } from "../../mod.ts";
import { connectionPair } from "../../testing.ts";
import { assert, assertEquals } from "@std/assert";
import { heldMemory } from "./held_memory.ts";

const REQUESTS = 20_000;
// What a request kept would be 120 bytes each, so 2.4 MB.
const MAX_GROWTH_BYTES = 1024 * 1024;

Deno.test("correlate() keeps nothing of 20,000 requests that were answered late", async () => {
  await using pair = connectionPair({ framing: lines(), giveUpAfter: 60_000 });
  const { near, far } = pair;
  const client = correlate(near, { id: Number });
  const echoing = (async () => {
    for await (const line of far) await far.send(line);
  })();
  const giveUp = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const late = client.request(String, { signal });
      controller.abort();
      await late.catch(() => {});
      await client.request(String); // comes after the late answer
    }
  };
  await giveUp(REQUESTS / 4); // warms the code up
  const before = heldMemory().heapUsed;
  await giveUp(REQUESTS);
  const growth = heldMemory().heapUsed - before;
  assertEquals(client.unmatched, REQUESTS + REQUESTS / 4);
  await near.close();
  await echoing;
  assert(growth < MAX_GROWTH_BYTES, `it grew by ${growth} bytes`);
});
