import { untilPoll } from "./event_loop.ts";

Deno.test("untilPoll() does not wait for setImmediate() under fake timers", async () => {
  const { setImmediate } = globalThis;
  globalThis.setImmediate = Object.assign(() => 0, setImmediate);
  try {
    await untilPoll();
  } finally {
    Object.assign(globalThis, { setImmediate });
  }
});
