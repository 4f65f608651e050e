// Like assert_test.ts: every test runs on the original and on the stand-in.
import { assertEquals, assertStrictEquals } from "@std/assert";
import * as original from "@std/bytes";
import * as standIn from "./bytes/mod.ts";

type Std = Pick<typeof original, keyof typeof standIn>;

testOn("original", original satisfies typeof standIn);
testOn("stand-in", standIn);

/** Bytes inside a larger buffer, to catch wrong offsets. */
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(`ab${text}ab`).subarray(2, -2);
}

function testOn(side: string, std: Std): void {
  Deno.test(`concat() returns its own buffer (${side})`, () => {
    assertEquals(std.concat([]), new Uint8Array());
    const parts = [bytes("a"), bytes(""), bytes("bcd")];
    const joined = std.concat(parts);
    assertEquals(joined, bytes("abcd"));
    assertEquals(joined.buffer.byteLength, 4);
    assertStrictEquals(joined.constructor, Uint8Array);
    parts[0]?.fill(0);
    assertEquals(joined, bytes("abcd"));
  });

  Deno.test(`equals() compares length and bytes (${side})`, () => {
    assertEquals(std.equals(bytes("abc"), bytes("abc")), true);
    assertEquals(std.equals(bytes(""), bytes("")), true);
    assertEquals(std.equals(bytes("abc"), bytes("abd")), false);
    assertEquals(std.equals(bytes("abc"), bytes("ab")), false);
  });
}
