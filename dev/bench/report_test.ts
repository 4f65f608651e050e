import { assertEquals } from "@std/assert";
import { isReached } from "./report.ts";

Deno.test("isReached() compares the two digits that are shown", () => {
  assertEquals(isReached(0.996, 1), true); // 1.00×
  assertEquals(isReached(0.994, 1), false); // 0.99×
  assertEquals(isReached(1.6, 1.6), true);
});
