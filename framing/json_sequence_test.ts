import { assertEquals, assertThrows } from "@std/assert";
import {
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  bytesUntilError,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  pick,
  rounds,
  seededRandom,
  text,
  utf8,
} from "./_testing.ts";
import { takeBatch } from "./batch.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { InputBuffer } from "./input_buffer.ts";
import { jsonSequence } from "./json_sequence.ts";
import { lines } from "./lines.ts";
import { sequence } from "./sequence.ts";

Deno.test("jsonSequence() reads values with nothing or white space between", () => {
  const cases: [stream: string, values: unknown[]][] = [
    ["", []],
    [" \t\r\n", []],
    ["{}{}", [{}, {}]],
    ['{"a":[{"b":"}"}]}[1,[2]] "x"', [{ a: [{ b: "}" }] }, [1, [2]], "x"]],
    ['"a""b"', ["a", "b"]],
    ["truefalsenull", [true, false, null]],
    ["1 2\n3", [1, 2, 3]],
    ["-1.5e+3[]", [-1500, []]],
    ["0{}1", [0, {}, 1]],
    ['{\n  "a": 1\n}\n', [{ a: 1 }]],
    ['"\\"" "\\\\" "\\\\\\"" "{"', ['"', "\\", '\\"', "{"]],
    [utf8('"é안😀"'), ["é안😀"]],
    ['{"\\"}":"{\\\\"}1', [{ '"}': "{\\" }, 1]],
  ];
  for (const [stream, values] of cases) {
    assertEquals(decodeInEverySplit(jsonSequence(), stream), values, stream);
  }
});

Deno.test("jsonSequence() keeps numbers separate in forwarded frames", () => {
  const input = new InputBuffer();
  input.append(bytes("1 23\n [4] 5 6"));
  const decoder = jsonSequence({ maxLength: 3 }).decoder();
  const batch = takeBatch(input, decoder);
  assertEquals(batch && text(batch.framesOf().frames), "1 23\n[4]5 ");
});

Deno.test("jsonSequence() reads back any values, with any white space", () => {
  const random = seededRandom(13);
  function value(depth: number): unknown {
    switch (random(depth > 3 ? 4 : 6)) {
      case 0:
        return pick(random, [0, -1, 1.5, 1e21, 123456789]);
      case 1:
        return pick(random, [true, false, null]);
      case 2:
        return pick(random, ["", '"', "\\", '\\"', "{[", "]}", "é\n", "\0"]);
      case 3:
        return "x".repeat(random(20));
      case 4:
        return Array.from({ length: random(4) }, () => value(depth + 1));
      default:
        return Object.fromEntries(
          Array.from(
            { length: random(4) },
            () => [String(value(9)), value(depth + 1)],
          ),
        );
    }
  }
  for (let round = 0; round < rounds(100); round++) {
    const values = Array.from({ length: random(6) }, () => value(0));
    const space = pick(random, [undefined, 1, "\t"]);
    const between = pick(random, [" ", "\n", "\r\n\t "]);
    const stream = values
      .map((each) => JSON.stringify(each, undefined, space))
      .join(between);
    assertEquals(
      decodeInEverySplit(jsonSequence(), utf8(stream), { splits: 20 }),
      values,
    );
  }
});

Deno.test("jsonSequence() delivers the values before invalid JSON", () => {
  const wrongs: [stream: string, offset: number][] = [
    ["1 x", 2],
    ["1 ,2", 2],
    ["1 ]", 2],
    ["{}}", 2],
    ["[1 2]", 0],
    ["[}", 0],
    ["{]", 0],
    ["nope", 0],
    ["1-2 ", 0],
    ["+1 ", 0],
    ["01 ", 0],
    ["1. ", 0],
    ['"\n"', 0],
    ['"\xff"', 0],
    ["\xef\xbb\xbf{}", 0],
    ["\x1e{}", 0],
  ];
  for (const [stream, offset] of wrongs) {
    const outcome = decodeInEverySplit(jsonSequence(), stream);
    assertEquals(outcome.at(-1), failure("malformed", offset), stream);
    assertEquals(outcome.length, offset > 0 ? 2 : 1);
  }
});

Deno.test('jsonSequence() throws "truncated" inside a value that is not a number', () => {
  for (const stream of ["{", '"a', "tru", '["]', "[1"]) {
    assertEquals(decodeInEverySplit(jsonSequence(), `7 ${stream}`), [
      7,
      failure("truncated", 2),
    ]);
  }
});

Deno.test("jsonSequence() reports whether a value has begun to arrive", () => {
  const decoder = new ChunkDecoder(jsonSequence());
  for (
    const [chunk, pending] of [["{", true], ["} ", false], ["1", true], [
      " ",
      false,
    ]] as const
  ) {
    decoder.decode(bytes(chunk));
    assertEquals(decoder.pending, pending);
  }
});

Deno.test("jsonSequence() counts the bytes of a value up to maxLength", () => {
  const framing = jsonSequence({ maxLength: 5 });
  assertEquals(
    decodeInEverySplit(framing, '          12345 [1,2] "abc" false'),
    [12345, [1, 2], "abc", false],
  );
  const tooLong = ["123456", "[1,23]", '"abcd"', '{"a":1}', utf8('"éa"')];
  for (const stream of tooLong) {
    const isLong = stream.length > 5;
    assertEquals(
      decodeInEverySplit(framing, `1 ${stream}`),
      [1, isLong ? failure("too-long", 2) : "éa"],
      stream,
    );
  }
  // As soon as they are too long.
  assertEquals(bytesUntilError(framing, '"abcdefgh"'), 6);
});

Deno.test("jsonSequence() drops values of every type that are too long", () => {
  const cases: [stream: string, values: unknown[], discarded: number[]][] = [
    ["[1,2,3]4", [4], [7]],
    ["1234567 8", [8], [7]],
    ["1234567[8]", [[8]], [7]],
    ['"\\"abc\\\\"1', [1], [9]],
    ['{"a":"}}"}{}', [{}], [10]],
    ["truefalsenull1", [true, null, 1], [5]],
    ["12345 67890 1", [1], [5, 5]],
    ["123456", [], [6]],
    ["1 123456", [1], [6]],
  ];
  for (const [stream, values, discarded] of cases) {
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          jsonSequence({ maxLength: 4, oversize: "discard", onDiscard }),
        stream,
      ),
      [...values, { discarded }],
      stream,
    );
  }
  assertEquals(
    decodeInEverySplit(
      jsonSequence({ maxLength: 4, oversize: "discard" }),
      "1 [1,2,3",
    ),
    [1, failure("truncated", 2)],
  );
});

Deno.test("jsonSequence() starts again if another framing has taken the start of a value", () => {
  const input = new InputBuffer();
  const decoder = jsonSequence().decoder();
  input.append(bytes('["a'));
  assertEquals(input.pull(decoder), undefined);
  assertEquals(input.takeText(3), '["a');
  input.append(bytes("[1][2]"));
  assertEquals(input.pull(decoder), [1]);
  assertEquals(input.pull(decoder), [2]);
});

Deno.test("jsonSequence() writes a value and a line feed", () => {
  assertEquals(encode(jsonSequence(), { a: "é" }), utf8('{"a":"é"}\n'));
  assertRoundTrip(jsonSequence(), [1, 2, "a", null, [{}]]);
  assertRefuses(jsonSequence(), undefined, TypeError);
  assertRefuses(jsonSequence(), () => {}, TypeError);
  const framing = jsonSequence({ maxLength: 4 });
  assertEquals(encode(framing, "é"), utf8('"é"\n'));
  assertRefuses(framing, "éa", RangeError);
});

Deno.test("jsonSequence() does not take the line feed after a value, except after a number", () => {
  const framing = sequence(jsonSequence(), () => lines());
  const after = (value: string) =>
    new ChunkDecoder(framing).decode(bytes(`${value}\nhi\n`)).slice(1);
  assertEquals(after("{}"), ["", "hi"]);
  assertEquals(after("null"), ["", "hi"]);
  assertEquals(after("7"), ["hi"]);
});

Deno.test("jsonSequence() refuses invalid options", () => {
  assertThrows(() => jsonSequence({ maxLength: 0 }), RangeError);
  assertThrows(() => jsonSequence({ onDiscard: () => {} }), TypeError);
});

Deno.test("jsonSequence() does work linear in the bytes of a huge value", () => {
  const framing = jsonSequence({ maxLength: Infinity });
  for (const [start, filler, end] of ["[ ]", '"x"', "1 2"].map((s) => [...s])) {
    assertLinear((size) => {
      const stream = new Uint8Array(size).fill(filler!.charCodeAt(0));
      stream.set(bytes(start!));
      stream.set(bytes(end!), size - 1);
      decodeInTinyChunks(framing, stream, 16, start === "1" ? 2 : 1);
    }, 128 * 1024);
  }
});

Deno.test("jsonSequence() reads values nested as deeply as maxLength allows", () => {
  const deep = "[".repeat(500_000) + "]".repeat(500_000);
  const decoder = new ChunkDecoder(jsonSequence());
  try {
    assertEquals(decoder.decode(bytes(deep)).length, 1);
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    assertEquals(error.code, "malformed");
  }
});
