import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { isSettledWithin, rejected, unobserved } from "./promises.ts";
import { unhandledRejectionsIn } from "../connection/_testing.ts";

Deno.test("rejected() rejects, and nothing has to await it", async () => {
  const reason = new Error("Enough");
  const promise = rejected(reason);
  assertEquals(await unhandledRejectionsIn(async () => {}), []);
  assertStrictEquals(await assertRejects(() => promise), reason);
});

Deno.test("unobserved() gives the same promise, which nothing has to await", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const reasons = await unhandledRejectionsIn(async () => {
    assertStrictEquals(unobserved(promise), promise);
    await Promise.resolve();
    reject(new Error("Enough"));
  });
  assertEquals(reasons, []);
  await assertRejects(() => promise, Error, "Enough");
});

Deno.test("isSettledWithin() waits for the promise, and no longer than it is told", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  assertEquals(await isSettledWithin(promise, 1), false);
  const settled = isSettledWithin(promise, 60_000);
  resolve();
  assertEquals(await settled, true); // and its timer is cleared
});
