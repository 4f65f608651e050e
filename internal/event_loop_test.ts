import { untilPoll } from "./event_loop.ts";

Deno.test("untilPoll() does not wait for an immediate that stands still in a test", async () => {
  const { setImmediate } = globalThis;
  globalThis.setImmediate = Object.assign(() => 0, setImmediate);
  try {
    await untilPoll();
  } finally {
    Object.assign(globalThis, { setImmediate });
  }
});
