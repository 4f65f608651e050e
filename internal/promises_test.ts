import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  isSettledSoon,
  isSettledWithin,
  rejected,
  unobserved,
} from "./promises.ts";
import { fakeTimers, unhandledRejectionsIn } from "../connection/_testing.ts";

Deno.test("rejected() rejects and need not be awaited", async () => {
  const reason = new Error("Enough");
  const promise = rejected(reason);
  assertEquals(await unhandledRejectionsIn(async () => {}), []);
  assertStrictEquals(await assertRejects(() => promise), reason);
});

Deno.test("unobserved() returns the same promise, which need not be awaited", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const reasons = await unhandledRejectionsIn(async () => {
    assertStrictEquals(unobserved(promise), promise);
    await Promise.resolve();
    reject(new Error("Enough"));
  });
  assertEquals(reasons, []);
  await assertRejects(() => promise, Error, "Enough");
});

Deno.test("isSettledWithin() waits for the promise, and no longer than its limit", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  assertEquals(await isSettledWithin(promise, 1), false);
  const settled = isSettledWithin(promise, 60_000);
  resolve();
  assertEquals(await settled, true); // its timer is cleared
});

Deno.test("isSettledWithin() does not count time in which this thread is busy", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const settled = isSettledWithin(promise, 20);
  const end = performance.now() + 30;
  while (performance.now() < end);
  setTimeout(resolve, 0); // like bytes in a socket, which come after timers that are due
  assertEquals(await settled, true);
});

Deno.test("isSettledSoon() returns whether the promise settles before timers fire", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  assertEquals(await isSettledSoon(promise), false);
  const settled = isSettledSoon(promise);
  queueMicrotask(resolve);
  assertEquals(await settled, true);
});

Deno.test("isSettledSoon() and isSettledWithin() do not wait for fake timers", async () => {
  const { promise } = Promise.withResolvers<void>();
  using _fake = fakeTimers();
  assertEquals(await isSettledWithin(promise, 1), false);
  assertEquals(await isSettledSoon(promise), false);
});
