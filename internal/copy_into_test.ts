import { assertEquals } from "@std/assert";
import { copyInto } from "./copy_into.ts";

Deno.test("copyInto() copies what there is room for, and gives the rest", () => {
  const buffer = new Uint8Array(3);
  const rest = copyInto(buffer, new Uint8Array([1, 2, 3, 4]));
  assertEquals(buffer, new Uint8Array([1, 2, 3]));
  assertEquals(rest, new Uint8Array([4]));
});

Deno.test("copyInto() gives a rest of no bytes that keeps no chunk alive", () => {
  const buffer = new Uint8Array(3);
  const rest = copyInto(buffer, new Uint8Array([1, 2]));
  assertEquals(buffer, new Uint8Array([1, 2, 0]));
  assertEquals(rest.buffer.byteLength, 0);
});
