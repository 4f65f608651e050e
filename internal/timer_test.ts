import { assertEquals } from "@std/assert";
import { startTimer } from "./timer.ts";
import { turn } from "../connection/_testing.ts";

/** Keeps this thread busy. */
function work(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

Deno.test("startTimer() calls back once, and not after it is stopped", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  startTimer(1, () => {
    calls++;
    resolve();
  });
  const stop = startTimer(1, () => calls += 10);
  stop();
  await promise;
  await turn();
  assertEquals(calls, 1);
});

Deno.test("startTimer() stops while it gives busy time back", async () => {
  let calls = 0;
  const stop = startTimer(1, () => calls++);
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 1);
  work(50);
  await promise; // which is due after the timer, and before the time is given back
  stop();
  await turn();
  assertEquals(calls, 0);
});
