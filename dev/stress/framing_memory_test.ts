import { assert } from "@std/assert";
import { checkMemory } from "./framing_memory.ts";

Deno.test("no decoder holds more than maxLength and one chunk", () => {
  assert(checkMemory([45_000]) > 0);
});
