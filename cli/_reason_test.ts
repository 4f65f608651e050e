import { assertEquals } from "@std/assert";
import { assertLinear } from "../framing/_testing.ts";
import { reasonOf } from "./_reason.ts";

Deno.test("reasonOf() joins several lines into one without terminal control characters", () => {
  assertEquals(
    reasonOf(new Error(" a \n\n  b\x1b[2J\x9bm\n")),
    "a b\\x1b[2J\\x9bm",
  );
  assertEquals(reasonOf(new RangeError("\n")), "RangeError");
});

Deno.test("reasonOf() takes linear time for a reason with many spaces", () => {
  assertLinear((size) => void reasonOf(`a${" ".repeat(size)}b`), 10_000);
});
