import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { customFraming } from "./custom_framing.ts";
import { FramingError } from "./framing_error.ts";
import type { Framing } from "./framing.ts";
import {
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  decodeChunks,
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

/** Runs of one and the same letter, `"aaab"` as `"a3"`, `"b1"`: the end of one is the next. */
function runs(maxLength?: number): Framing<string> {
  return customFraming<string>({
    split(buffered, ended) {
      const first = buffered[0];
      let length = buffered.findIndex((byte) => byte !== first);
      if (length === -1) {
        if (!ended) return undefined;
        length = buffered.length;
      }
      return { message: text(buffered.subarray(0, 1)) + length, length };
    },
    encode: (run) => bytes(run.charAt(0).repeat(Number(run.slice(1)))),
    maxLength,
  });
}

/** A length of one digit, then that many bytes, given as views. */
function digits(maxLength?: number) {
  return customFraming<Uint8Array<ArrayBuffer>>({
    split(buffered) {
      const [digit = Infinity] = buffered;
      const length = 1 + digit - 0x30;
      if (buffered.length < length) return undefined;
      return { message: buffered.subarray(1, length), length };
    },
    encode: (message) => bytes(message.length + text(message)),
    maxLength,
  });
}

Deno.test("customFraming() asks split for messages in every split of the stream", () => {
  const cases: [stream: string, outcome: Outcome][] = [
    ["", []],
    ["a", ["a1"]],
    ["aaabbc", ["a3", "b2", "c1"]],
    ["aabaabbbbbbbbbbbbbba", ["a2", "b1", "a2", "b14", "a1"]],
  ];
  for (const [stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(runs(), stream), outcome);
  }
});

Deno.test("customFraming() gives messages that are views, never written again", () => {
  assertEquals(
    decodeInEverySplit(digits(), "3abc0" + "1x9123456789" + "2yz"),
    ["abc", "", "x", "123456789", "yz"],
  );
  const random = seededRandom(23);
  for (let round = 0; round < rounds(200); round++) {
    const messages = Array.from(
      { length: random(12) },
      () => randomText(random, "abc", 9),
    );
    const stream = messages.map((message) => message.length + message).join("");
    assertEquals(
      decodeInEverySplit(digits(), stream, { splits: 20, seed: round }),
      messages,
    );
  }
});

Deno.test("customFraming() is truncated where split wants more at the end", () => {
  assertEquals(decodeInEverySplit(digits(), "1a3bc"), [
    "a",
    failure("truncated", 2),
  ]);
  assertEquals(decodeInEverySplit(digits(), "1"), [failure("truncated", 0)]);
});

Deno.test("customFraming() tells split of the end once all that came before is split", () => {
  const calls: [buffered: string, ended: boolean][] = [];
  const decoder = customFraming<string>({
    split(buffered, ended) {
      calls.push([text(buffered), ended]);
      return buffered.length > 1 || ended
        ? { message: text(buffered), length: 1 }
        : undefined;
    },
    encode: bytes,
  }).decoder();
  assertEquals(decoder.decode(bytes("abc")), ["abc", "bc"]);
  assertEquals(calls, [["abc", false], ["bc", false], ["c", false]]);
  assertEquals(decoder.pending, true);
  assertEquals(decoder.decode(bytes("")), []);
  assertEquals(calls.length, 3);
  assertEquals(decoder.end(), ["c"]);
  assertEquals(calls.at(-1), ["c", true]);
});

Deno.test("customFraming() allows frames of exactly maxLength bytes", () => {
  const cases: [stream: string, outcome: Outcome][] = [
    ["3abc3abc", ["abc", "abc"]],
    ["4abcd", [failure("too-long", 0)]],
    ["1a4abcd1b", ["a", failure("too-long", 2)]],
    ["9abcdefghi", [failure("too-long", 0)]],
  ];
  for (const [stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(digits(4), stream), outcome);
  }
  assertEquals(decodeInEverySplit(runs(3), "aaabb"), ["a3", "b2"]);
  const decoder = digits(4).decoder();
  decoder.decode(bytes("1a4abc"));
  const error = assertThrows(() => decoder.decode(bytes("d")), FramingError);
  assertEquals([error.code, error.limit, error.offset], ["too-long", 4, 2]);
  assertRefuses(digits(4), bytes("abcd"), RangeError);
});

Deno.test("customFraming() limits frames to 1 MiB by default", () => {
  const all = customFraming<number>({
    split: (buffered, ended) =>
      ended ? { message: buffered.length, length: buffered.length } : undefined,
    encode: (length) => new Uint8Array(length),
  });
  const decoder = all.decoder();
  assertEquals(decoder.decode(new Uint8Array(1_048_576)), []);
  assertEquals(decoder.end(), [1_048_576]);
  const over = all.decoder();
  over.decode(new Uint8Array(1_048_576));
  assertThrows(() => over.decode(bytes("x")), FramingError);
});

Deno.test("customFraming() surfaces what split throws, after the messages before", () => {
  const mistake = new FramingError("Not a digit", { code: "malformed" });
  const framing = customFraming<string>({
    split(buffered) {
      if (buffered[0] === 0x21) throw mistake;
      return { message: text(buffered.subarray(0, 1)), length: 1 };
    },
    encode: bytes,
  });
  const decoder = framing.decoder();
  assertEquals(decoder.decode(bytes("ab!c")), ["a", "b"]);
  for (let times = 0; times < 3; times++) {
    assertStrictEquals(assertThrows(() => decoder.decode(bytes("x"))), mistake);
  }
  assertStrictEquals(assertThrows(() => decoder.end()), mistake);
  assertStrictEquals(
    assertThrows(() => framing.decoder().decode(bytes("!"))),
    mistake,
  );
  const outcome = decodeChunks(framing, [bytes("a"), bytes("b!")]).slice(0, 2);
  assertEquals(outcome, ["a", "b"]);
});

Deno.test("customFraming() surfaces a split that returns an impossible length", () => {
  for (const length of [0, -1, 0.5, NaN, Infinity, 4]) {
    const framing = customFraming<string>({
      split: () => ({ message: "", length }),
      encode: bytes,
    });
    const error = assertThrows(() => framing.decoder().decode(bytes("abc")));
    assert(error instanceof RangeError || error instanceof TypeError);
    assert(error.message.includes(String(length)));
  }
});

Deno.test("customFraming() hands out what encode makes, and lets its errors through", () => {
  assertEquals(encode(runs(), "a3"), "aaa");
  assertRoundTrip(runs(), ["a3", "b2", "a1"]);
  assertRoundTrip(digits(), [bytes("abc"), bytes("")]);
  const mistake = new TypeError("Not today");
  const never = customFraming<string>({
    split: () => undefined,
    encode() {
      throw mistake;
    },
  });
  assertStrictEquals(assertThrows(() => never.encode("a")), mistake);
});

Deno.test("customFraming() takes its functions from an object with state of its own", () => {
  class Fixed {
    readonly #length = 2;
    split(buffered: Uint8Array) {
      const length = this.#length;
      if (buffered.length < length) return undefined;
      return { message: text(buffered.subarray(0, length)), length };
    }
    encode(message: string) {
      return bytes(message.padEnd(this.#length));
    }
  }
  const framing = customFraming<string>(new Fixed());
  assertEquals(encode(framing, "a"), "a ");
  assertRoundTrip(framing, ["ab", "cd"]);
});

Deno.test("customFraming() refuses options that cannot work", () => {
  for (const maxLength of [0, -1, NaN, 1.5]) {
    assertThrows(() => runs(maxLength), RangeError);
  }
  for (const wrong of [{}, { split: () => undefined }, { encode: bytes }]) {
    assertThrows(() => customFraming(wrong as never), TypeError);
  }
});

Deno.test("customFraming() does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    const framing = customFraming<number>({
      split: (buffered) =>
        buffered.length < size ? undefined : { message: size, length: size },
      encode: (length) => new Uint8Array(length),
      maxLength: Infinity,
    });
    decodeInTinyChunks(framing, new Uint8Array(size), 4, 1);
  }, 32_768);
});

Deno.test("customFraming() does work linear in the messages of a chunk", () => {
  assertLinear((size) => {
    decodeInTinyChunks(digits(), new Uint8Array(size).fill(0x30), size, size);
  }, 16_384);
});
