// Like assert_test.ts: every test runs on the original and on the stand-in.
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import * as original from "@std/async";
import * as standIn from "./async/mod.ts";

type Std = Pick<typeof original, keyof typeof standIn>;

testOn("original", original satisfies typeof standIn);
testOn("stand-in", standIn);

function testOn(side: string, std: Std): void {
  Deno.test(`delay() waits less for a shorter time (${side})`, async () => {
    const order: number[] = [];
    await Promise.all([20, 0, 10].map(async (milliseconds) => {
      await std.delay(milliseconds);
      order.push(milliseconds);
    }));
    assertEquals(order, [0, 10, 20]);
  });

  Deno.test(`delay() rejects with the reason of its signal (${side})`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("Enough");
    await std.delay(0, { signal });
    const waiting = std.delay(60_000, { signal });
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => waiting), reason);
    assertStrictEquals(
      await assertRejects(() => std.delay(60_000, { signal })),
      reason,
    );
  });

  Deno.test(`abortable() settles like its promise (${side})`, async () => {
    const { signal } = new AbortController();
    const error = new Error("No");
    assertEquals(await std.abortable(Promise.resolve(1), signal), 1);
    assertStrictEquals(
      await assertRejects(() => std.abortable(Promise.reject(error), signal)),
      error,
    );
  });

  Deno.test(`abortable() rejects with the reason of its signal (${side})`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("Enough");
    const never = new Promise(() => {});
    const waiting = std.abortable(never, signal);
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => waiting), reason);
    assertStrictEquals(
      await assertRejects(() => std.abortable(never, signal)),
      reason,
    );
  });
}
