import { lines, unframed } from "../../framing.ts";
import { connectionPair } from "../../testing.ts";
import { assert, assertEquals } from "@std/assert";
import { heldMemory } from "./held_memory.ts";

const BODY_BYTES = 300_000_000;
const PIECE_BYTES = 60_000;
const LOOKS = 10;
// Read buffers have at most 64 KiB, and each end writes from pooled buffers.
const MAX_GROWTH_BYTES = 1024 * 1024;

Deno.test("Connection.receiveStream() forwards 300 MB with a few buffers", async () => {
  await using pair = connectionPair({ framing: lines(), giveUpAfter: 60_000 });
  const { near, far } = pair;
  const piece = new Uint8Array(PIECE_BYTES);
  const sent = (async () => {
    await far.send("a body");
    for (let at = 0; at < BODY_BYTES; at += PIECE_BYTES) {
      await far.send(piece, { framing: unframed() });
    }
    await far.send("after it");
  })();
  assertEquals(await near.receive(), "a body");
  let received = 0;
  let looks = 0;
  let first = 0;
  let most = 0;
  for await (const part of near.receiveStream(BODY_BYTES)) {
    received += part.length;
    if (received * LOOKS < (looks + 1) * BODY_BYTES) continue;
    looks++;
    const bytes = heldMemory().external;
    if (looks === 1) first = bytes;
    most = Math.max(most, bytes);
  }
  assertEquals(await near.receive(), "after it");
  await sent;
  assertEquals([received, looks], [BODY_BYTES, LOOKS]);
  assert(most - first < MAX_GROWTH_BYTES, `it grew by ${most - first} bytes`);
});
