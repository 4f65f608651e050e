import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { takeBatch } from "./batch.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { InputBuffer } from "./input_buffer.ts";
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { delimited } from "./delimited.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { netstrings } from "./netstrings.ts";
import {
  assertRefuses,
  assertRoundTrip,
  bytes,
  decodeInEverySplit,
  encode,
  failure,
  utf8,
} from "./_testing.ts";

Deno.test("asText() reads and writes messages as UTF-8", () => {
  const texts = ["", "a", "grün →", "😀", "\ufeffbom", "a\ufeff"];
  assertRoundTrip(asText(netstrings()), texts);
  assertRoundTrip(asText(lengthPrefixed()), texts);
  assertRoundTrip(asText(delimited("\0")), texts);
  assertEquals(encode(asText(netstrings()), "→"), utf8("3:→,"));
});

Deno.test("asText() replaces bytes that are not UTF-8, or throws with fatal", () => {
  const cases: [wrong: string, replaced: string][] = [
    ["\xff", "\ufffd"],
    ["\xe2\x86", "\ufffd"],
    ["a\xc0b", "a\ufffdb"],
  ];
  for (const [wrong, replaced] of cases) {
    const stream = `a,b,${wrong},c`;
    assertEquals(
      decodeInEverySplit(asText(delimited(",")), stream),
      ["a", "b", replaced, "c"],
    );
    const fatal = asText(delimited(","), { fatal: true });
    const decoder = new ChunkDecoder(fatal);
    assertEquals(decoder.decode(bytes(stream)), ["a", "b"]);
    const { code, offset } = assertThrows(() => decoder.end(), FramingError);
    assertEquals(code, "malformed");
    assertEquals(decodeInEverySplit(fatal, stream), ["a", "b", {
      code,
      offset,
    }]);
  }
});

Deno.test("asText() reads messages together with lengths that are not ASCII", () => {
  const texts = [127, 128, 200, 255, 384, 1000, 3].flatMap((length) => [
    "x".repeat(length),
    "한".repeat(length / 3),
  ]);
  for (const framing of [lengthPrefixed(), lengthPrefixed({ fieldSize: 2 })]) {
    for (const fatal of [false, true]) {
      const framingOfText = asText(framing, { fatal });
      const encoder = new ChunkEncoder(framingOfText);
      const stream = concat(texts.map((text) => encoder.encode(text)));
      assertEquals(new ChunkDecoder(framingOfText).decode(stream), texts);
      const input = new InputBuffer();
      input.append(stream);
      const batch = takeBatch(input, framingOfText.decoder());
      assertEquals(batch?.allTexts(), texts);
    }
  }
});

Deno.test("asText() throws the errors of its framing", () => {
  assertEquals(
    decodeInEverySplit(asText(fixedLength(2)), "abc"),
    ["ab", failure("truncated", 2)],
  );
  assertRefuses(asText(fixedLength(2)), "abc", RangeError);
  assertRefuses(asText(delimited(",")), "a,b", TypeError);
  // It would come back as U+FFFD.
  assertRefuses(asText(netstrings()), "\ud800", TypeError);
});

Deno.test("asText() refuses invalid options", () => {
  assertThrows(
    () => asText(netstrings(), { fatal: "no" as never }),
    TypeError,
    'Cannot make asText framing as fatal must be one of true, false: current value is "no"',
  );
});

Deno.test('asText() with onMalformed "discard" drops messages that are not UTF-8, and continues', () => {
  for (const framing of [netstrings(), { ...netstrings() }]) {
    const options = { fatal: true, onMalformed: "discard" } as const;
    assertEquals(
      decodeInEverySplit(asText(framing, options), "1:a,1:\xff,2:\xc3\xa9,"),
      ["a", "é"],
    );
  }
  assertThrows(
    () => asText(netstrings(), { onMalformed: 1 as never }),
    TypeError,
  );
});

Deno.test("asText() finds invalid UTF-8 that would be valid together with the length before it", () => {
  // The length byte and the first byte of the message together are valid UTF-8.
  const framing = asText(lengthPrefixed({ fieldSize: 1 }), { fatal: true });
  const stream = `\x01y\xc3\xa9${"x".repeat(0xc2)}`;
  assertEquals(decodeInEverySplit(framing, stream, { splits: 10 }), [
    "y",
    failure("malformed", 2),
  ]);
});

Deno.test("asText() and asJson() throw for a framing that gives no bytes", () => {
  for (const wrapper of [asText, asJson]) {
    // @ts-expect-error A framing of text.
    const decoder = new ChunkDecoder<unknown>(wrapper(lines()));
    assertThrows(
      () => decoder.decode(bytes("[1]\n")),
      TypeError,
      "must give bytes: it gave a value of type string",
    );
  }
});

Deno.test("asText() reads a custom framing", () => {
  const halves: Framing<Bytes, Sendable> = {
    decoder: () => ({
      decode: (input) => input.length < 2 ? undefined : input.take(2),
    }),
    encoder: fixedLength(2).encoder,
  };
  assertEquals(
    decodeInEverySplit(asText(halves, { fatal: true }), "ab\xc3\xa9\xff.cd"),
    ["ab", "é", { code: "malformed", offset: undefined }],
  );
});
