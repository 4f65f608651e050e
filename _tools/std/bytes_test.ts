// As assert_test.ts: every test runs on the original and on the stand-in.
import { assertEquals, assertStrictEquals } from "@std/assert";
import * as original from "@std/bytes";
import * as standIn from "./bytes/mod.ts";

type Std = Pick<typeof original, keyof typeof standIn>;

testOn("original", original satisfies typeof standIn);
testOn("stand-in", standIn);

/** Bytes that lie inside a larger buffer, where an offset can go wrong. */
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(`ab${text}ab`).subarray(2, -2);
}

function testOn(side: string, std: Std): void {
  Deno.test(`concat() makes a buffer of its own (${side})`, () => {
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

  Deno.test(`startsWith() and endsWith() compare the ends (${side})`, () => {
    for (
      const [part, starts, ends] of [
        ["", true, true],
        ["ab", true, false],
        ["bc", false, true],
        ["abc", true, true],
        ["abca", false, false],
        ["aabc", false, false],
      ] as const
    ) {
      assertEquals(std.startsWith(bytes("abc"), bytes(part)), starts);
      assertEquals(std.endsWith(bytes("abc"), bytes(part)), ends);
    }
  });

  Deno.test(`indexOfNeedle() finds the first match from a start (${side})`, () => {
    for (
      const [needle, start, index] of [
        ["aab", undefined, 1],
        ["aab", 1, 1],
        ["aab", 2, 5],
        ["aab", 6, -1],
        ["aab", 99, -1],
        ["aab", -3, 5],
        ["aab", -99, 1],
        ["b", undefined, 3],
        ["ba", undefined, -1],
        ["aaabaaabaaab", undefined, -1],
        ["", undefined, -1],
      ] as const
    ) {
      assertEquals(
        std.indexOfNeedle(bytes("aaabcaab"), bytes(needle), start),
        index,
        `${needle} from ${start}`,
      );
    }
  });
}
