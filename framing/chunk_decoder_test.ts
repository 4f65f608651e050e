import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  bytes,
  chunksOf,
  decodeChunks,
  encode,
  pick,
  pullChunks,
  randomLargeStream,
  rounds,
  seededRandom,
  text,
} from "./_testing.ts";
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { assembled } from "./assembled.ts";
import type { Bytes } from "./bytes.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Decoder, Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";

/** `message` in frames of each kind, with decoders that find many messages at a time. */
const KINDS: {
  framing: Framing<unknown, never>;
  frame: (message: string) => string;
}[] = [
  {
    framing: delimited("\n", { maxLength: 1e6 }),
    frame: (message) => `${message}\n`,
  },
  {
    framing: delimited("\r\n", { disposition: "suffix" }),
    frame: (message) => `${message}\r\n`,
  },
  {
    framing: asText(delimited(["\n", "\r\n"])),
    frame: (message) => `${message}\n`,
  },
  { framing: lines(), frame: (message) => `${message}\r\n` },
  { framing: lines({ fatal: true }), frame: (message) => `${message}\n` },
  {
    framing: lengthPrefixed({ fieldSize: 3 }),
    frame: (message) =>
      encode(lengthPrefixed({ fieldSize: 3 }), bytes(message)),
  },
  {
    framing: lengthPrefixed({ fieldSize: "varint" }),
    frame: (message) =>
      encode(lengthPrefixed({ fieldSize: "varint" }), bytes(message)),
  },
  {
    framing: netstrings(),
    frame: (message) => `${message.length}:${message},`,
  },
  {
    framing: mapped(lines(), {
      decode: (line) => line.startsWith("b") ? undefined : line.length,
      encode: String,
    }),
    frame: (message) => `${message}\n`,
  },
];

Deno.test("ChunkDecoder gives the same messages as a decoder called for each, in every chunk length", () => {
  const random = seededRandom(3);
  const pieces = ["a", "b", "bc", "\xc3\xa9", "\xec\x95\x88"];
  for (let round = 0; round < rounds(20); round++) {
    const messages = randomLargeStream(random, pieces, ["|"]).split("|");
    for (const { framing, frame } of KINDS) {
      const stream = messages
        // If cut inside a character, it would not be UTF-8.
        .map((message) => frame(message.replace(/[\x80-\xff]+$/, "")))
        .join("");
      const length = pick(random, [7, 100, 5000, 65_536, stream.length]);
      const chunks = chunksOf(stream, length, random);
      const outcome = decodeChunks(framing, chunks);
      assertEquals(pullChunks(framing, chunks, 1 + random(70_000)), outcome);
    }
  }
});

Deno.test("ChunkDecoder returns views of a chunk, and copies only messages that are cut", () => {
  const decoder = new ChunkDecoder(delimited("\n"));
  const chunks = [bytes("one\ntwo\nth"), bytes(`ree\n${"x\n".repeat(500)}`)];
  const [first = [], second = []] = chunks.map((chunk) =>
    decoder.decode(chunk)
  );
  assert(first.every(({ buffer }) => buffer === chunks[0]?.buffer));
  const [joined, ...others] = second;
  assertEquals(text(joined!), "three");
  assert(joined?.buffer !== chunks[1]?.buffer);
  const shared = others.filter(({ buffer }) => buffer === chunks[1]?.buffer);
  assert(shared.length > 300, `${shared.length} of ${others.length}`);
});

Deno.test("ChunkDecoder throws an error after it has returned the messages before it", () => {
  for (const many of [0, 1, 100]) {
    const decoder = new ChunkDecoder(netstrings());
    const stream = "1:a,".repeat(many) + "1:b;1:c,";
    const messages = many > 0 ? decoder.decode(bytes(stream)) : [];
    assertEquals(messages.length, many);
    for (const chunk of ["1:d,", ""]) {
      const error = assertThrows(
        () => decoder.decode(bytes(many > 0 ? chunk : stream)),
        FramingError,
      );
      assertEquals([error.code, error.offset], ["malformed", 4 * many]);
    }
    assertThrows(() => decoder.end(), FramingError);
  }
});

Deno.test("ChunkDecoder.end() returns the messages before an error, and the next call throws it", () => {
  const pairs = assembled(lines(), () => {
    let isOpen = false;
    return function* (word) {
      yield word;
      return isOpen = !isOpen;
    };
  });
  const decoder = new ChunkDecoder(pairs);
  assertEquals(decoder.decode(bytes("a\nb\nc")), ["a", "b"]);
  assertEquals(decoder.end(), ["c"]);
  const { code } = assertThrows(() => decoder.end(), FramingError);
  assertEquals(code, "truncated");
});

Deno.test("ChunkDecoder throws the error of a mapping after the messages before it", () => {
  const mistake = new TypeError("Not a number");
  const framing = mapped(lines(), {
    decode(line) {
      if (line === "x") throw mistake;
      return Number(line);
    },
    encode: String,
  });
  const stream = bytes("1\n".repeat(100) + "x\n" + "2\n".repeat(100));
  const decoder = new ChunkDecoder(framing);
  assertEquals(decoder.decode(stream).length, 100);
  assertThrows(() => decoder.decode(new Uint8Array()), TypeError, "Not a");
});

Deno.test("ChunkDecoder calls onDiscard with the offset of a message among many", () => {
  const told: string[] = [];
  const framing = mapped(
    lines({
      maxLength: 3,
      oversize: "discard",
      onDiscard: (length) => void told.push(`dropped ${length}`),
    }),
    { decode: (line) => void told.push(line), encode: String },
  );
  const stream = bytes("a\nb\nlong\nc\nlonger\n".repeat(20));
  assertEquals(new ChunkDecoder(framing).decode(stream), []);
  const once = ["a", "b", "dropped 4", "c", "dropped 6"];
  assertEquals(told, Array.from({ length: 20 }, () => once).flat());
});

Deno.test("ChunkDecoder decodes text that is damaged in some places", () => {
  const stream = "ok\n".repeat(50) + "\xff\n" + "\xef\xbf\xbd\n" +
    "\xec\x95\x88\n".repeat(50);
  const texts = new ChunkDecoder(lines()).decode(bytes(stream));
  assertEquals(texts.slice(49, 53), ["ok", "\ufffd", "\ufffd", "안"]);
  const fatal = new ChunkDecoder(lines({ fatal: true }));
  assertEquals(fatal.decode(bytes(stream)).length, 50);
  const error = assertThrows(() => fatal.end(), FramingError);
  assertEquals([error.code, error.offset], ["malformed", 150]);
  const sent = "ok\n".repeat(50) + "\xef\xbf\xbd\n".repeat(50);
  assertEquals(
    new ChunkDecoder(lines({ fatal: true })).decode(bytes(sent)).length,
    100,
  );
});

Deno.test("ChunkDecoder gives JSON values with every framing of bytes", () => {
  const values = [1, "é", null, { a: [true] }, "\ufffd"];
  for (
    const framing of [
      delimited("\n"),
      delimited("→"),
      netstrings(),
      lengthPrefixed(),
      lengthPrefixed({ fieldSize: "varint" }),
    ]
  ) {
    const encoder = new ChunkEncoder(asJson(framing));
    const frames = values.map((value) => text(encoder.encode(value))).join("");
    const decoder = new ChunkDecoder(asJson(framing));
    assertEquals(
      decoder.decode(bytes(frames.repeat(100))),
      Array.from({ length: 100 }, () => values).flat(),
    );
  }
});

Deno.test("ChunkDecoder refuses an invalid chunk, also inside a message", () => {
  for (const wrong of ["x".repeat(1000), undefined, [1], new ArrayBuffer(1)]) {
    for (const before of ["", "begun"]) {
      const decoder = new ChunkDecoder(lines());
      decoder.decode(bytes(before));
      assertThrows(() => decoder.decode(wrong as never), TypeError, "chunk");
    }
  }
});

Deno.test("ChunkDecoder reads chunks of shared memory", () => {
  const chunk = new Uint8Array(new SharedArrayBuffer(8));
  chunk.set(bytes("ab\ncd\nef"));
  const decoder = new ChunkDecoder(delimited("\n"));
  const messages: Bytes[] = decoder.decode(chunk);
  chunk.fill(0);
  assertEquals(messages.map(text), ["ab", "cd"]);
  assertEquals(decoder.end().map(text), ["ef"]);
});

Deno.test("ChunkDecoder continues in an array that is passed in parts", () => {
  for (const Memory of [ArrayBuffer, SharedArrayBuffer]) {
    const array = new Uint8Array(new Memory(300_000)).fill(0x61);
    array[99_999] = array[149_999] = array[299_999] = 0x0a;
    for (const length of [1460, 40_000]) {
      const decoder = new ChunkDecoder(delimited("\n"));
      const messages: Bytes[] = [];
      for (let at = 0; at < array.length; at += length) {
        messages.push(...decoder.decode(array.subarray(at, at + length)));
      }
      const { buffer } = array;
      assertEquals(
        messages.map((each) => [each.length, each.buffer === buffer]),
        [99_999, 49_999, 149_999].map((size) => [size, Memory === ArrayBuffer]),
      );
      assertEquals(new Set(messages.flatMap((each) => [...each])).size, 1);
    }
  }
});

Deno.test("ChunkDecoder puts many messages that are cut into one buffer", () => {
  const message = (index: number) => `${index}`.padEnd(1000, ".");
  const stream = Array.from(
    { length: 100 },
    (_, index) => message(index) + "\n",
  )
    .join("");
  const random = seededRandom(71);
  for (const length of [700, 1460, 16_384]) {
    const decoder = new ChunkDecoder(delimited("\n"));
    const chunks = chunksOf(stream, length, random);
    const messages = chunks.flatMap((chunk) => decoder.decode(chunk));
    assertEquals(
      messages.map(text),
      messages.map((_, index) => message(index)),
    );
    assertEquals(messages.length, 100);
    const given = new Set(chunks.map(({ buffer }) => buffer));
    const cut = messages.filter(({ buffer }) => !given.has(buffer));
    const buffers = new Set(cut.map(({ buffer }) => buffer));
    assert(buffers.size <= 4 + cut.length / 5, `${buffers.size}: ${length}`);
  }
});

Deno.test("ChunkDecoder finds a cut message although the search found no more places", () => {
  // A line, or as many bytes as a line may have.
  const MOST = 600;
  const framing = {
    decoder: (): Decoder<string> => ({
      decode(input) {
        const end = input.indexOf(0x0a);
        if (end !== -1 && end < MOST) return input.takeText(end + 1);
        return input.length < MOST ? undefined : input.takeText(MOST);
      },
    }),
  };
  const stream = "x".repeat(2000) + "\n" + "short\n" + "y".repeat(1300) + "\n";
  const random = seededRandom(72);
  const decodeIn = (length: number) => {
    const decoder = new ChunkDecoder(framing);
    return chunksOf(stream, length, random)
      .flatMap((chunk) => decoder.decode(chunk));
  };
  const whole = decodeIn(2 * stream.length);
  assertEquals(whole.map((each) => each.length), [
    600,
    600,
    600,
    201,
    6,
    600,
    600,
    101,
  ]);
  for (let length = 1; length < stream.length; length += 41) {
    assertEquals(decodeIn(length), whole);
  }
});

Deno.test("ChunkDecoder gives one empty message of fixedLength(0)", () => {
  const decoder = new ChunkDecoder(fixedLength(0));
  assertEquals(decoder.decode(new Uint8Array()).length, 1);
  assertEquals(decoder.decode(new Uint8Array()).length, 0);
  assertThrows(
    () =>
      new ChunkDecoder(fixedLength(0)).decode(bytes("x")) &&
      decoder.decode(bytes("x")) && decoder.end(),
    FramingError,
  );
});

Deno.test("ChunkEncoder returns frames that its caller owns", () => {
  const encoder = new ChunkEncoder(lines());
  const frame = encoder.encode("one");
  frame.fill(0);
  assertEquals(text(encoder.encode("two")), "two\n");
  assertThrows(() => encoder.encode("no\n"), TypeError);
  assertEquals(text(encoder.encode("three")), "three\n");
});

Deno.test("ChunkDecoder throws if the framing's own function calls decode() or end()", () => {
  const errors: unknown[] = [];
  const callBack = () => {
    for (
      const action of [() => decoder.decode(bytes("x\n")), () => decoder.end()]
    ) {
      errors.push(assertThrows(action, DOMException).name);
    }
  };
  const decoder: ChunkDecoder<string> = new ChunkDecoder(mapped(
    lines({ maxLength: 3, oversize: "discard", onDiscard: callBack }),
    {
      decode(line) {
        if (line === "b") callBack();
        return line;
      },
      encode: (line: string) => line,
    },
  ));
  assertEquals(decoder.decode(bytes("a\nb\ntoo long\nc\n")), ["a", "b", "c"]);
  assertEquals(errors, Array(4).fill("InvalidStateError"));
  assertEquals(decoder.decode(bytes("d\n")), ["d"]);
});
