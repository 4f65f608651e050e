import { assertEquals, assertInstanceOf } from "@std/assert";
import { quotaExceeded } from "./quota_exceeded.ts";

Deno.test("quotaExceeded() has the same name and fields without a built-in class", () => {
  const { QuotaExceededError } = globalThis;
  const own = quotaExceeded("Too much", { quota: 1, requested: 2 });
  assertInstanceOf(own, QuotaExceededError);
  Reflect.deleteProperty(globalThis, "QuotaExceededError");
  try {
    const other = quotaExceeded("Too much", { quota: 1, requested: 2 });
    assertInstanceOf(other, DOMException);
    for (const error of [own, other]) {
      assertEquals(
        [error.name, error.message, Reflect.get(error, "quota")],
        ["QuotaExceededError", "Too much", 1],
      );
      assertEquals(Reflect.get(error, "requested"), 2);
    }
  } finally {
    Object.assign(globalThis, { QuotaExceededError });
  }
});
