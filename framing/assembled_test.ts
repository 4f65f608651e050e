import { assertEquals, assertThrows } from "@std/assert";
import {
  assertLinear,
  bytes,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
} from "./_testing.ts";
import { assembled, type Assembler } from "./assembled.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { InputBuffer } from "./input_buffer.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";

/** Joins words up to one that ends with ".": "a", "b." as "a b"; "!" is an error. */
function sentences(): Assembler<string, string> {
  let words: string[] = [];
  return function* (line) {
    for (const word of line.split(" ")) {
      if (word === "!") {
        throw new FramingError("Not a word", { code: "malformed" });
      }
      if (word !== "") words.push(word.replace(".", ""));
      if (!word.endsWith(".")) continue;
      yield words.join(" ");
      words = [];
    }
    return words.length > 0;
  };
}

const framing = assembled(lines(), sentences);

Deno.test("assembled() builds messages from frames, in every split", () => {
  assertEquals(decodeInEverySplit(framing, "a\nb.\nc. d. e\nf.\n\n"), [
    "a b",
    "c",
    "d",
    "e f",
  ]);
  assertEquals(decodeInEverySplit(framing, ""), []);
  // All of them are in the last frame, which ends with the stream.
  assertEquals(decodeInEverySplit(framing, "a. b. c."), ["a", "b", "c"]);
});

Deno.test("assembled() gives the messages of a frame one at a time, on request", () => {
  const input = new InputBuffer();
  const decoder = framing.decoder();
  input.append(bytes("a. b. !\nc.\n"));
  assertEquals(input.pull(decoder), "a");
  assertEquals(input.length, 3);
  assertEquals(input.pull(decoder), "b");
  assertThrows(() => input.pull(decoder), FramingError);
});

Deno.test('assembled() throws "truncated" if the stream ends inside a message', () => {
  assertEquals(decodeInEverySplit(framing, "a.\nb\n"), [
    "a",
    failure("truncated", 3),
  ]);
  const decoder = new ChunkDecoder(framing);
  assertEquals(decoder.pending, false);
  decoder.decode(bytes("a\n"));
  assertEquals(decoder.pending, true);
  decoder.decode(bytes("b.\n"));
  assertEquals(decoder.pending, false);
});

Deno.test("assembled() throws errors after the messages before them", () => {
  assertEquals(decodeInEverySplit(framing, "a.\nb. !\nc.\n"), [
    "a",
    "b",
    { code: "malformed", offset: undefined },
  ]);
  const short = assembled(lines({ maxLength: 3 }), sentences);
  assertEquals(decodeInEverySplit(short, "a.\nb\nlong.\n"), [
    "a",
    failure("too-long", 5),
  ]);
});

Deno.test("assembled() has separate state for each stream", () => {
  const [one, other] = [new ChunkDecoder(framing), new ChunkDecoder(framing)];
  one.decode(bytes("a\n"));
  assertEquals(other.decode(bytes("b.\n")), ["b"]);
  assertEquals(one.decode(bytes("c.\n")), ["a c"]);
});

Deno.test("assembled() drops undefined, and accepts a framing that drops frames", () => {
  const even = assembled(
    mapped(lines(), {
      decode: (line) => line === "" ? undefined : Number(line),
      encode: String,
    }),
    () =>
      function* (number) {
        yield number % 2 === 0 ? number : undefined;
      },
  );
  assertEquals(decodeInEverySplit(even, "1\n\n2\n3\n4\n"), [2, 4]);
});

Deno.test("assembled() encodes like its framing", () => {
  assertEquals(encode(framing, "a b."), "a b.\n");
});

Deno.test("assembled() refuses arguments that are not functions", () => {
  assertThrows(() => assembled(lines(), {} as never), TypeError, "assembler");
});

Deno.test("assembled() does work linear in the messages of a frame", () => {
  const letters = assembled(
    lines({ maxLength: Infinity }),
    () =>
      function* (line) {
        for (const letter of line) yield letter;
      },
  );
  assertLinear((size) => {
    const stream = bytes("x".repeat(size) + "\n");
    decodeInTinyChunks(letters, stream, 1000, size);
  }, 16_384);
});

Deno.test("assembled() keeps the limit of its framing, also for frames that complete no message", () => {
  const limited: Framing<string> = {
    decoder: () => ({
      maxFrameLength: 3,
      decode(input) {
        const end = input.indexOf(0x3b);
        return end === -1 ? undefined : input.takeText(end + 1);
      },
    }),
    encoder: lines().encoder,
  };
  const framing = assembled(limited, () => {
    let begun = "";
    return function* (frame) {
      begun += frame;
      if (!frame.startsWith("!")) return true;
      yield begun;
      begun = "";
      return false;
    };
  });
  assertEquals(decodeInEverySplit(framing, "ab;!;abc;!;"), [
    "ab;!;",
    failure("too-long", 5),
  ]);
});

Deno.test("assembled() refuses an assembler that gives no iterator", () => {
  async function* letters(line: string) {
    yield* line;
  }
  for (
    const assembler of [
      letters, // its messages would never come
      () => Promise.reject(new Error("no unhandled rejection")),
      () => undefined,
      () => [],
    ]
  ) {
    const framing = assembled(lines(), () => assembler as never);
    const decoder = new ChunkDecoder(framing);
    assertThrows(() => decoder.decode(bytes("ab\n")), TypeError, "assembler");
  }
});

Deno.test("assembled() continues with the next frame if it is called after an error", () => {
  const framing = assembled(lines(), () =>
    function* (line) {
      yield line;
      if (line === "bad") throw new Error("Refused");
    });
  const input = new InputBuffer();
  input.append(bytes("bad\ngood\n"));
  const decoder = framing.decoder();
  assertEquals(input.pull(decoder), "bad");
  assertThrows(() => input.pull(decoder), Error, "Refused");
  assertEquals(input.pull(decoder), "good");
  assertEquals(input.pull(decoder), undefined);
});
