import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  assertRefuses,
  bytes,
  decodeInEverySplit,
  failure,
  text,
} from "./_testing.ts";
import { assembled } from "./assembled.ts";
import { byFirstByte } from "./by_first_byte.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Decoder, Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";
import { sequence } from "./sequence.ts";
import { textFields } from "./text_fields.ts";

const switched = sequence(lines(), () => lengthPrefixed());

Deno.test("sequence() switches after the first message, in every split", () => {
  assertEquals(decodeInEverySplit(switched, "SWITCH\n\0\0\0\x03a\nb"), [
    "SWITCH",
    "a\nb",
  ]);
  assertEquals(decodeInEverySplit(switched, "\r\n\0\0\0\0\0\0\0\x01\n"), [
    "",
    "",
    "\n",
  ]);
  assertEquals(decodeInEverySplit(switched, ""), []);
  assertEquals(decodeInEverySplit(switched, "only"), ["only"]);
});

Deno.test("sequence() gives all messages of the first frame, in every split", () => {
  const words = assembled(lines(), () =>
    function* (line) {
      yield* line.split(" ");
    });
  const framing = sequence(words, () => lines());
  const expected = ["a", "b", "c", "d e", "f"];
  assertEquals(decodeInEverySplit(framing, "a b c\nd e\nf\n"), expected);
});

Deno.test("sequence() chooses the next framing from the first message", () => {
  const framing = sequence(
    lines(),
    (line) => line === "net" ? netstrings() : fixedLength(Number(line)),
  );
  assertEquals(decodeInEverySplit(framing, "net\n2:a\n,0:,"), [
    "net",
    "a\n",
    "",
  ]);
  assertEquals(decodeInEverySplit(framing, "2\nabcd"), ["2", "ab", "cd"]);
});

Deno.test("sequence() can be nested", () => {
  const framing = sequence(
    lines(),
    () => sequence(fixedLength(1), () => netstrings()),
  );
  assertEquals(decodeInEverySplit(framing, "a\nb2:cd,"), ["a", "b", "cd"]);
});

Deno.test("sequence() gives the message of fixedLength(0) once, after other bytes", () => {
  const framing = sequence(
    lines(),
    (line) => sequence(fixedLength(Number(line)), () => netstrings()),
  );
  assertEquals(decodeInEverySplit(framing, "0\n2:cd,"), ["0", "", "cd"]);
  assertEquals(decodeInEverySplit(framing, "1\nb2:cd,"), ["1", "b", "cd"]);
});

Deno.test("sequence() and byFirstByte() keep to the offsets that a decoder compares", () => {
  /** Looks at each byte once, and remembers the text of these. */
  function decoder(): Decoder<string> {
    let start = 0;
    let seen = "";
    return {
      decode(input) {
        if (input.offset !== start) [start, seen] = [input.offset, ""];
        seen += input.textAt(seen.length, input.length);
        const end = seen.indexOf(";");
        if (end === -1) return undefined;
        input.skip(end + 1);
        return seen.slice(0, end);
      },
    };
  }
  const framing = { ...lines(), decoder };
  for (
    const each of [
      sequence(framing, () => framing),
      { ...framing, ...byFirstByte(() => framing) },
    ]
  ) {
    assertEquals(decodeInEverySplit(each, "ab;c;;"), ["ab", "c", ""]);
  }
});

Deno.test("sequence() leaves the lines that its first framing has looked ahead at", () => {
  // It drops enough of them to find the next ones together.
  const words = mapped(lines(), {
    decode: (line) => line === "" ? undefined : line,
    encode: (line: string) => line,
  });
  const framing = sequence(words, () => lines());
  const dropped = "\n".repeat(20);
  assertEquals(decodeInEverySplit(framing, `${dropped}a\n\n\nb\n`), [
    "a",
    "",
    "",
    "b",
  ]);
});

Deno.test("sequence() applies each framing's limit, and gives the offset of an error", () => {
  const framing = sequence(
    lines({ maxLength: 20 }),
    () => delimited(";", { maxLength: 2 }),
  );
  assertEquals(decodeInEverySplit(framing, "a long greeting\nab;abc;"), [
    "a long greeting",
    "ab",
    failure("too-long", 19),
  ]);
  assertEquals(decodeInEverySplit(framing, "x".repeat(30)), [
    failure("too-long", 0),
  ]);
  assertEquals(decodeInEverySplit(switched, "a\n\0\0\0\x02b"), [
    "a",
    failure("truncated", 2),
  ]);
  const user = sequence(
    lines({ maxLength: 20 }),
    () => ({
      decoder: () => ({
        maxFrameLength: 3,
        decode: (input) => input.length < 2 ? undefined : input.takeText(2),
      }),
      encoder: () => lines().encoder(),
    }),
  );
  assertEquals(decodeInEverySplit(user, "a long greeting\nabcd"), [
    "a long greeting",
    "ab",
    "cd",
  ]);
});

Deno.test("sequence() throws the error of next", () => {
  const framing = sequence(lines(), (line) => {
    throw new FramingError(`No framing for ${line}`, { code: "malformed" });
  });
  assertEquals(decodeInEverySplit(framing, "a\nb\n"), [
    { code: "malformed", offset: undefined },
  ]);
});

Deno.test("sequence() has separate state for each stream and direction", () => {
  const decoders = [new ChunkDecoder(switched), new ChunkDecoder(switched)];
  for (const decoder of decoders) {
    assertEquals(decoder.decode(bytes("x\n")), ["x"]);
    assertEquals(decoder.decode(bytes("\0\0\0\x01\n")).length, 1);
  }
  for (let stream = 0; stream < 2; stream++) {
    const encoder = new ChunkEncoder(switched);
    assertEquals(text(encoder.encode("first")), "first\n");
    assertEquals(text(encoder.encode("a\nb")), "\0\0\0\x03a\nb");
    assertEquals(text(encoder.encode("")), "\0\0\0\0");
  }
});

Deno.test("sequence() sends the first message in the first framing", () => {
  const asked: unknown[] = [];
  const framing = sequence(fixedLength(2), (message) => {
    asked.push(message);
    return message[0] === 0x6e ? netstrings() : delimited("\n");
  });
  const encoder = new ChunkEncoder(framing);
  assertEquals(text(encoder.encode("n1")), "n1");
  assertEquals(text(encoder.encode("ab")), "2:ab,");
  assertEquals(asked, [bytes("n1")]);
});

Deno.test("sequence() keeps its first framing until the first message was sent", () => {
  const encoder = new ChunkEncoder(switched);
  assertThrows(() => encoder.encode("no\nline"), TypeError);
  assertEquals(text(encoder.encode("line")), "line\n");
  assertRefuses(switched, "a\nb", TypeError);
  // The reader would get no message, and could not choose the next framing.
  const dropping = mapped(lines(), {
    decode: (line) => line === "" ? undefined : line,
    encode: String,
  });
  assertRefuses(sequence(dropping, () => lines()), "", TypeError);
});

Deno.test("sequence() throws a TypeError if the sender's first message is wrong", () => {
  const version = mapped(lines(), {
    decode: (line) => textFields(line, /^v(\d)$/)[0],
    encode: (digit: string) => `v${digit}`,
  });
  const framing = sequence(version, (digit) => {
    if (digit !== "1") throw new FramingError(`No version ${digit}`);
    return netstrings();
  });
  const encoder = new ChunkEncoder(framing);
  for (const [refused, reason] of [["12", "v12"], ["2", "No version"]]) {
    const error = assertThrows(() => encoder.encode(refused ?? ""), TypeError);
    assert(!(error instanceof FramingError));
    assert(error.cause instanceof FramingError);
    assertStringIncludes(error.cause.message, reason ?? "");
  }
  assertEquals(text(encoder.encode("1")), "v1\n");
  assertEquals(text(encoder.encode("a")), "1:a,");
});

Deno.test("sequence() works in one direction only", () => {
  const framing = {
    decoder: switched.decoder,
    encoder: lengthPrefixed().encoder,
  };
  assertEquals(text(new ChunkEncoder(framing).encode("a")), "\0\0\0\x01a");
  assert(new ChunkDecoder(framing).decode(bytes("a\n")).length === 1);
});

Deno.test("sequence() refuses an argument that is not a function", () => {
  assertThrows(() => sequence(lines(), lines() as never), TypeError, "next");
});

Deno.test("sequence() can continue in another sequence() for each of many messages", () => {
  const step = (): Framing<string> => sequence(lines(), step);
  const count = 5000;
  const messages = new ChunkDecoder(step()).decode(bytes("a\n".repeat(count)));
  assertEquals(messages.length, count);
  const encoder = new ChunkEncoder(step());
  for (let i = 0; i < count; i++) assertEquals(encoder.encode("a").length, 2);
});
