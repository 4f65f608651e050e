import { assertEquals } from "@std/assert";
import { copyInto } from "./copy_into.ts";

Deno.test("copyInto() copies as many bytes as fit, and returns the rest", () => {
  const buffer = new Uint8Array(3);
  const rest = copyInto(buffer, new Uint8Array([1, 2, 3, 4]));
  assertEquals(buffer, new Uint8Array([1, 2, 3]));
  assertEquals(rest, new Uint8Array([4]));
});

Deno.test("copyInto() returns an empty rest that keeps no chunk alive", () => {
  const buffer = new Uint8Array(3);
  const rest = copyInto(buffer, new Uint8Array([1, 2]));
  assertEquals(buffer, new Uint8Array([1, 2, 0]));
  assertEquals(rest.buffer.byteLength, 0);
});
