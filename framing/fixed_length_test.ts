import { assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { fixedLength } from "./fixed_length.ts";
import { InputBuffer } from "./input_buffer.ts";
import { FramingError } from "./framing_error.ts";
import {
  assertKeepsNoLargeBuffer,
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  type Outcome,
  randomText,
  rounds,
  seededRandom,
  text,
} from "./_testing.ts";

/**
 * The contract in its simplest form: the whole stream in one piece, cut at every
 * `length` bytes.
 */
function splitWhole(stream: string, length: number): Outcome {
  const outcome: Outcome = [];
  for (let start = 0; start < stream.length; start += length) {
    const message = stream.slice(start, start + length);
    outcome.push(
      message.length < length ? failure("truncated", start) : message,
    );
  }
  return outcome;
}

Deno.test("fixedLength() splits the stream into messages of length bytes", () => {
  const cases: [length: number, stream: string, outcome: Outcome][] = [
    [3, "", []],
    [3, "abc", ["abc"]],
    [3, "abcdef", ["abc", "def"]],
    [3, "abcd", ["abc", failure("truncated", 3)]],
    [3, "ab", [failure("truncated", 0)]],
    [1, "a\0\xff", ["a", "\0", "\xff"]],
    [8, "abcdefghijklmnop", ["abcdefgh", "ijklmnop"]],
  ];
  for (const [length, stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(fixedLength(length), stream), outcome);
    assertEquals(splitWhole(stream, length), outcome);
  }
});

Deno.test("fixedLength() gives the same messages as splitting the whole stream", () => {
  const random = seededRandom(17);
  for (let round = 0; round < rounds(300); round++) {
    const length = 1 + random(9);
    const stream = randomText(random, "abc", 60);
    assertEquals(
      decodeInEverySplit(fixedLength(length), stream, {
        splits: 20,
        seed: round,
      }),
      splitWhole(stream, length),
    );
  }
});

Deno.test("fixedLength() delivers the messages before a truncated one", () => {
  const decoder = new ChunkDecoder(fixedLength(2));
  assertEquals(decoder.decode(bytes("abcde")).map(text), ["ab", "cd"]);
  assertEquals(decoder.pending, true);
  const error = assertThrows(() => decoder.end(), FramingError);
  assertEquals([error.code, error.offset], ["truncated", 4]);
});

Deno.test("fixedLength() encodes messages of exactly that length", () => {
  const framing = fixedLength(3);
  assertEquals(encode(framing, "abc"), "abc");
  assertEquals(encode(framing, "→"), "\xe2\x86\x92");
  assertRoundTrip(framing, [bytes("abc"), bytes("\0\xff,")]);
  for (const message of ["", "ab", "abcd", "é", "→→"]) {
    assertRefuses(framing, message, RangeError);
    assertRefuses(framing, new TextEncoder().encode(message), RangeError);
  }
});

Deno.test("fixedLength() with length 0 does not wait for bytes", () => {
  const input = new InputBuffer();
  assertEquals(input.pull(fixedLength(0).decoder()), new Uint8Array());
});

Deno.test("fixedLength() refuses a length that is not a whole number", () => {
  for (const length of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => fixedLength(length), RangeError);
  }
});

Deno.test("fixedLength() keeps no large buffer alive for a small message", () => {
  assertKeepsNoLargeBuffer(fixedLength(100), bytes("x".repeat(100)));
});

Deno.test("fixedLength() does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    decodeInTinyChunks(fixedLength(size), new Uint8Array(size), 4, 1);
  }, 32_768);
});

Deno.test("fixedLength() with length 0 gives one empty message between others", () => {
  const input = new InputBuffer();
  const empty = fixedLength(0).decoder();
  input.append(bytes("ab"));
  for (const rest of ["ab", "b", ""]) {
    assertEquals(input.textAt(0, input.length), rest);
    assertEquals(input.pull(empty), new Uint8Array());
    assertEquals(input.pull(empty), undefined);
    if (rest !== "") input.skip(1);
  }
  assertEquals(input.pull(fixedLength(0).decoder(), true), new Uint8Array());
  assertEquals(encode(fixedLength(0), ""), "");
});
