import { assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { asJson } from "./as_json.ts";
import { delimited } from "./delimited.ts";
import { FramingError } from "./framing_error.ts";
import { jsonSequence } from "./json_sequence.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { netstrings } from "./netstrings.ts";
import {
  assertRefuses,
  assertRoundTrip,
  bytes,
  decodeInEverySplit,
  encode,
  failure,
  text,
  utf8,
} from "./_testing.ts";

Deno.test("asJson() reads and writes messages as JSON", () => {
  const values = [null, 1, "a\nb", [], { a: [1, { b: "→" }] }, true, ""];
  assertRoundTrip(asJson(delimited("\n")), values);
  assertRoundTrip(asJson(lengthPrefixed()), values);
  assertEquals(
    encode(asJson(delimited("\n")), { a: "→" }),
    utf8('{"a":"→"}\n'),
  );
  assertEquals(decodeInEverySplit(asJson(delimited("\n")), ' {"a" : 1}\r\n2'), [
    { a: 1 },
    2,
  ]);
});

Deno.test("asJson() delivers the messages before bytes that are not JSON or not UTF-8", () => {
  for (const wrong of ["", "{", "undefined", "1 2", "'a'", '"\xff"', '"a']) {
    const framing = asJson(delimited("\n"));
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes(`1\n${wrong}\n2\n`)), [1]);
    const { code, offset } = assertThrows(() => decoder.end(), FramingError);
    assertEquals(code, "malformed");
    const stream = `1\n${wrong}\n2`;
    assertEquals(decodeInEverySplit(framing, stream), [1, { code, offset }]);
  }
});

Deno.test("asJson() and jsonSequence() refuse raw JSON with a lone surrogate", () => {
  const rawJson: unknown = Reflect.get(JSON, "rawJSON");
  if (typeof rawJson !== "function") return; // new in the language
  const value = { raw: Reflect.apply(rawJson, JSON, ['"\ud800"']) };
  for (const framing of [asJson(netstrings()), jsonSequence()]) {
    assertRefuses(framing, value, TypeError);
  }
});

Deno.test("asJson() throws the errors of its framing", () => {
  assertEquals(
    decodeInEverySplit(
      asJson(lengthPrefixed({ maxLength: 9 })),
      "\0\0\0\x011\0\0\0\x0a",
    ),
    [1, failure("too-long", 5)],
  );
  assertRefuses(asJson(lengthPrefixed({ maxLength: 3 })), "abc", RangeError);
});

Deno.test("asJson() refuses to encode values that JSON does not have", () => {
  const circular: unknown[] = [];
  circular.push(circular);
  for (const value of [undefined, () => 1, Symbol("a"), 1n, circular]) {
    assertRefuses(asJson(delimited("\n")), value, TypeError);
  }
});

Deno.test("asJson() stringifies a value once", () => {
  let calls = 0;
  const value = { toJSON: () => ++calls };
  const framing = asJson(lengthPrefixed({ fieldSize: 1 }));
  assertEquals(text(new ChunkEncoder(framing).encode(value)), "\x011");
  assertEquals(calls, 1);
});

Deno.test('asJson() with onMalformed "discard" drops messages that are not JSON, and continues', () => {
  const errors: string[] = [];
  const framing = asJson(netstrings(), {
    onMalformed: ({ code, message }) =>
      void errors.push(`${code} ${message.slice(0, 18)}`),
  });
  assertEquals(decodeInEverySplit(framing, '1:1,1:x,3:"\xff",2:[],'), [1, []]);
  assertEquals([...new Set(errors)], ["malformed Cannot decode JSON"]);
  assertThrows(
    () => asJson(netstrings(), { onMalformed: "drop" as never }),
    TypeError,
  );
});
