import { assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import type { LimitOptions } from "./limits.ts";
import { netstrings } from "./netstrings.ts";
import {
  assertKeepsNoLargeBuffer,
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  bytesUntilError,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  type Outcome,
  pick,
  rounds,
  seededRandom,
  text,
} from "./_testing.ts";

/** The contract in its simplest form: one netstring after another from the whole stream. */
function splitWhole(stream: string, rules: LimitOptions): Outcome {
  const { maxLength = 1_048_576, oversize = "error" } = rules;
  const outcome: Outcome = [];
  const discarded: number[] = [];
  let failed: unknown;
  for (let start = 0; start < stream.length && !failed;) {
    const rest = stream.slice(start);
    const header = rest.match(/^(0|[1-9][0-9]*):/);
    if (!header) {
      const unfinished = /^(0|[1-9][0-9]*)$/.test(rest);
      failed = failure(unfinished ? "truncated" : "malformed", start);
      break;
    }
    const length = Number(header[1]);
    const begin = header[0].length;
    const comma = rest.charAt(begin + length);
    if (length > maxLength && oversize === "error") {
      failed = failure("too-long", start);
    } else if (comma === "") failed = failure("truncated", start);
    else if (comma !== ",") failed = failure("malformed", start);
    else if (length > maxLength) discarded.push(length);
    else outcome.push(rest.slice(begin, begin + length));
    start += begin + length + 1;
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) outcome.push(failed);
  return outcome;
}

Deno.test("netstrings() reads netstrings, and refuses every kind of damage", () => {
  const malformed = (offset: number) => failure("malformed", offset);
  const truncated = (offset: number) => failure("truncated", offset);
  const cases: [stream: string, outcome: Outcome][] = [
    ["", []],
    ["0:,", [""]],
    ["5:hello,", ["hello"]],
    ["1:a,0:,3:1:,,", ["a", "", "1:,"]],
    ["10:0123456789,1:,,", ["0123456789", ","]],
    ["2:\xff\0,", ["\xff\0"]],
    // Leading zeros.
    ["00:,", [malformed(0)]],
    ["01:a,", [malformed(0)]],
    ["1:a,00", ["a", malformed(4)]],
    // No length, a length that is not a number, no colon.
    [":a,", [malformed(0)]],
    [",", [malformed(0)]],
    ["1:a,:", ["a", malformed(4)]],
    ["a:b,", [malformed(0)]],
    ["-1:a,", [malformed(0)]],
    ["+1:a,", [malformed(0)]],
    [" 1:a,", [malformed(0)]],
    ["1 :a,", [malformed(0)]],
    ["1,a,", [malformed(0)]],
    ["1a,", [malformed(0)]],
    ["1.0:a,", [malformed(0)]],
    ["1e1:a,", [malformed(0)]],
    ["0x1:a,", [malformed(0)]],
    ["\xb1:a,", [malformed(0)]],
    // No comma, or one in the wrong place.
    ["1:ab", [malformed(0)]],
    ["1:a;", [malformed(0)]],
    ["0:0:,", [malformed(0)]],
    ["1:a,2:b,", ["a", truncated(4)]],
    ["1:a,1:bc,", ["a", malformed(4)]],
    ["1:a,\n1:b,", ["a", malformed(4)]],
    // Cut short, in each part.
    ["0", [truncated(0)]],
    ["1", [truncated(0)]],
    ["1:a,12", ["a", truncated(4)]],
    ["1:", [truncated(0)]],
    ["3:ab", [truncated(0)]],
    ["1:a,3:abc", ["a", truncated(4)]],
  ];
  for (const [stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(netstrings(), stream), outcome);
    assertEquals(splitWhole(stream, {}), outcome);
  }
});

Deno.test("netstrings() refuses a length with endless digits, whatever the limit", () => {
  const nines = "1:a," + "9".repeat(40);
  for (
    const options of [
      {},
      { maxLength: Infinity },
      { oversize: "discard", maxLength: Infinity },
    ] as const
  ) {
    assertEquals(
      decodeInEverySplit(netstrings(options), nines, { splits: 50 }),
      [
        "a",
        failure("too-long", 4),
      ],
    );
    // 2^53, with as many digits as the largest safe integer.
    assertEquals(
      decodeInEverySplit(netstrings(options), "9007199254740992:a", {
        splits: 50,
      }),
      [failure("too-long", 0)],
    );
  }
  const largest = netstrings({ maxLength: Infinity });
  for (const length of ["9007199254740900", "9007199254740991"]) {
    assertEquals(
      decodeInEverySplit(largest, `${length}:a`, { splits: 50 }),
      [failure("truncated", 0)],
    );
  }
});

Deno.test("netstrings() allows exactly maxLength bytes", () => {
  const cases: [rules: LimitOptions, stream: string, outcome: Outcome][] = [
    [{}, "3:abc,2:ab,", ["abc", "ab"]],
    [{}, "3:abc,4:abcd,", ["abc", failure("too-long", 6)]],
    [{}, "10:", [failure("too-long", 0)]],
    [{}, "4", [failure("truncated", 0)]],
    [{}, "4x", [failure("malformed", 0)]],
    [{ oversize: "discard" }, "4:abcd,2:ab,", ["ab", { discarded: [4] }]],
    [{ oversize: "discard" }, "12:abcdefghijkl,0:,", ["", {
      discarded: [12],
    }]],
    [{ oversize: "discard" }, "4:abcde,", [failure("malformed", 0)]],
    [{ oversize: "discard" }, "1:a,4:ab", ["a", failure("truncated", 4)]],
    [{ oversize: "discard" }, "1:a,4:abcd", ["a", failure("truncated", 4)]],
  ];
  for (const [rules, stream, outcome] of cases) {
    const options = { ...rules, maxLength: 3 };
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          netstrings({ ...options, onDiscard: rules.oversize && onDiscard }),
        stream,
      ),
      outcome,
    );
    assertEquals(splitWhole(stream, options), outcome);
  }
});

Deno.test("netstrings() gives the same messages as reading the whole stream", () => {
  const random = seededRandom(19);
  for (let round = 0; round < rounds(1000); round++) {
    const oversize = pick(random, ["error", "discard"] as const);
    const rules: LimitOptions = {
      oversize,
      maxLength: pick(random, [1, 2, 5, 11, Infinity]),
    };
    let stream = "";
    for (let messages = random(6); messages > 0; messages--) {
      const body = "1:,3:abc,0:,".slice(0, random(13));
      stream += `${body.length}:${body},`;
    }
    if (random(2) === 0) {
      const at = random(stream.length + 1);
      stream = stream.slice(0, at) +
        pick(random, ["", "0", "1", ":", ",", "x"]) +
        stream.slice(at + random(2));
    }
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          netstrings({
            ...rules,
            onDiscard: oversize === "discard" ? onDiscard : undefined,
          }),
        stream,
        { splits: 8, seed: round },
      ),
      splitWhole(stream, rules),
      `Wrong for ${JSON.stringify({ rules, stream, round })}`,
    );
  }
});

Deno.test("netstrings() throws at the first invalid byte", () => {
  const cases: [stream: string, count: number][] = [
    ["4:abcd,", 2],
    ["12345:abc", 6],
    ["01:a,", 2],
    [":", 1],
    ["1x", 2],
    ["1:ab", 4],
    ["2:abx", 5],
  ];
  for (const [stream, count] of cases) {
    assertEquals(bytesUntilError(netstrings({ maxLength: 3 }), stream), count);
  }
  // Endless digits must not be collected.
  assertEquals(bytesUntilError(netstrings(), "9".repeat(99)) <= 20, true);
});

Deno.test("netstrings() delivers the messages before an error, and names the limit", () => {
  const decoder = new ChunkDecoder(netstrings({ maxLength: 3 }));
  assertEquals(decoder.decode(bytes("1:a,2:bc,4:")).map(text), ["a", "bc"]);
  const error = assertThrows(() => decoder.decode(bytes("x")), FramingError);
  assertEquals([error.code, error.limit, error.offset], ["too-long", 3, 9]);
});

Deno.test("netstrings() reports whether a message has begun to arrive", () => {
  const decoder = new ChunkDecoder(netstrings());
  const states = ["", "1", ":", "a", ",", "0:,0", ":,"].map((chunk) => {
    decoder.decode(bytes(chunk));
    return decoder.pending;
  });
  assertEquals(states, [false, true, true, true, false, true, false]);
});

Deno.test("netstrings() encodes what it decodes", () => {
  assertEquals(encode(netstrings(), ""), "0:,");
  assertEquals(encode(netstrings(), "→"), "3:\xe2\x86\x92,");
  assertRoundTrip(netstrings(), [
    "hello",
    "",
    "1:a,",
    "x".repeat(99),
    "x".repeat(100),
  ]);
  assertRoundTrip(netstrings(), [bytes("\xff\0")]);
  assertRoundTrip(netstrings({ maxLength: 3 }), ["abc", "xy"]);
  for (const message of ["abcd", "→a"]) {
    assertRefuses(netstrings({ maxLength: 3 }), message, RangeError);
    assertRefuses(
      netstrings({ maxLength: 3, oversize: "discard" }),
      message,
      RangeError,
    );
    assertRefuses(
      netstrings({ maxLength: 3 }),
      new TextEncoder().encode(message),
      RangeError,
    );
  }
});

Deno.test("netstrings() refuses invalid options", () => {
  for (const maxLength of [0, -1, NaN, 1.5]) {
    assertThrows(() => netstrings({ maxLength }), RangeError);
  }
  assertThrows(() => netstrings({ oversize: "cut" } as never), Error);
});

Deno.test("netstrings() keeps no large buffer alive for a small message", () => {
  assertKeepsNoLargeBuffer(netstrings(), bytes(`100:${"x".repeat(100)},`));
});

Deno.test("netstrings() does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    const framing = netstrings({ maxLength: Infinity });
    const stream = bytes(`${size}:${"x".repeat(size)},`);
    decodeInTinyChunks(framing, stream, 4, 1);
  }, 32_768);
});
