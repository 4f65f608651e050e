import { fakeTimers } from "../connection/_testing.ts";
import { afterContinuations, untilPoll } from "./event_loop.ts";

Deno.test("untilPoll() and afterContinuations() do not wait for fake timers", async () => {
  using _fake = fakeTimers();
  await untilPoll();
  await new Promise<void>((resolve) => afterContinuations(resolve));
});
