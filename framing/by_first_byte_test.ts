import { assertEquals, assertThrows } from "@std/assert";
import { verifyFraming } from "../testing.ts";
import {
  assertLinear,
  bytes,
  decodeInEverySplit,
  decodeInTinyChunks,
  failure,
} from "./_testing.ts";
import { asText } from "./as_text.ts";
import { assembled } from "./assembled.ts";
import { byFirstByte } from "./by_first_byte.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Encoder, Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { headed } from "./headed.ts";
import { InputBuffer } from "./input_buffer.ts";
import { jsonSequence } from "./json_sequence.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";
import { sequence } from "./sequence.ts";

const trailing = "error";
const line = lines({ trailing });
const net = asText(netstrings());
/** Takes its header first; then its body may start with any byte. */
const counted = mapped(
  headed(asText(delimited(" ", { trailing })), (text) => Number(text.slice(1))),
  {
    decode: ({ body }) => new TextDecoder().decode(body),
    encode: (body: string) => ({ header: `#${body.length}`, body }),
  },
);

/** Encodes messages that start with the same byte. */
const encoder: Encoder<string> = {
  encode(text, output) {
    const isLine = text.startsWith("-");
    (isLine ? line : text.startsWith("\n") ? counted : net).encoder()
      .encode(text, output);
  },
};

const framing: Framing<string> = {
  ...byFirstByte((byte) =>
    byte === 0x23 ? counted : byte === 0x2d ? line : net
  ),
  encoder: () => encoder,
};

Deno.test("byFirstByte() reads each message with the framing for its first byte, in every split", () => {
  assertEquals(
    decodeInEverySplit(framing, "-a\n#3 -1:2:b\n,#0 -\n0:,#1 #-#\n"),
    ["-a", "-1:", "b\n", "", "-", "", "#", "-#"],
  );
  assertEquals(decodeInEverySplit(framing, ""), []);
});

Deno.test("byFirstByte() and headed() choose anew after a frame that mapped() drops", () => {
  const kept = (text: string) => text.includes("k") ? text : undefined;
  const emptied = [
    headed(line, () => 0),
    headed(line, () => fixedLength(0)),
    headed(line, () => asText(fixedLength(0))),
  ].map((
    framing: Framing<{ header: string }, { header: string; body: string }>,
  ) =>
    mapped(framing, {
      decode: ({ header }) => kept(header),
      encode: (header: string) => ({ header, body: "" }),
    })
  );
  const words = assembled(line, () => (text) => text.split(",").values());
  const keptWords = mapped(words, {
    decode: kept,
    encode: (text: string) => text,
  });
  for (const some of [...emptied, keptWords]) {
    const chosen = byFirstByte((byte) => byte === 0x2d ? some : net);
    assertEquals(
      decodeInEverySplit({ ...framing, ...chosen }, "-a,b\n2:-a,-k\n0:,"),
      ["-a", "-k", ""],
    );
    const bodies = headed(line, (text) => text === "-" ? some : undefined);
    assertEquals(decodeInEverySplit(bodies, "-\na,b\nc\n-\nk\nd\n"), [
      { header: "c" },
      { header: "-", body: "k" },
      { header: "d" },
    ]);
  }
  // The body is what is left of its frame.
  const chosenWords = mapped({ ...framing, ...byFirstByte(() => words) }, {
    decode: kept,
    encode: (text: string) => text,
  });
  assertEquals(
    decodeInEverySplit(headed(line, () => chosenWords), "-\na,k\n"),
    [{ header: "-", body: "k" }],
  );
});

Deno.test("byFirstByte() gives all messages of one frame, in every split", () => {
  const words = assembled(lines(), () =>
    function* (line) {
      yield* line.split(" ");
    });
  const wanted = mapped(words, {
    decode: (word) => word === "" ? undefined : word,
    encode: (word: string) => word,
  });
  const framing = byFirstByte((byte) =>
    byte >= 0x30 && byte <= 0x39 ? lines() : wanted
  );
  const expected = ["a", "b", "c", "1 2", "d", "e"];
  assertEquals(
    decodeInEverySplit({ ...words, ...framing }, "a b  c\n1 2\n d  e\n"),
    expected,
  );
});

Deno.test("byFirstByte() and sequence() keep a message that begins in the frame of another, in every split", () => {
  // Each word ends with a dot, in its own line or in a later one.
  const words = assembled(line, () => {
    let begun = "";
    return function* (text) {
      const [last = "", ...others] = `${begun}${text}`.split(".").reverse();
      yield* others.reverse();
      begun = last;
      return begun !== "";
    };
  });
  const chosen = byFirstByte((byte) => byte === 0x31 ? net : words);
  for (
    const each of [{ ...framing, ...chosen }, sequence(words, () => net)]
  ) {
    assertEquals(decodeInEverySplit(each, "a.b\n1\nc.d.\n1:e,1:f,"), [
      "a",
      "b1c",
      "d",
      "e",
      "f",
    ]);
    assertEquals(decodeInEverySplit(each, "a.b\n"), [
      "a",
      failure("truncated", 4),
    ]);
  }
});

Deno.test("byFirstByte() passes verifyFraming()", () => {
  verifyFraming(framing, ["-line", "net\n", "\n-#5:", "", "-"], {
    refused: ["5:abc,", "#x ", "#3 ab", "#", "7", "x"].map(bytes),
    rounds: 50,
  });
});

Deno.test("byFirstByte() gives the offset of an error, and applies the limits of each framing", () => {
  assertEquals(decodeInEverySplit(framing, "-a\nx"), [
    "-a",
    failure("malformed", 3),
  ]);
  assertEquals(decodeInEverySplit(framing, "-a\n#3 ab"), [
    "-a",
    failure("truncated", 3),
  ]);
  const limited = byFirstByte<string>((byte) =>
    byte === 0x61
      ? {
        decoder: () => ({
          maxFrameLength: 3,
          decode(input) {
            const end = input.indexOf(0x3b);
            return end === -1 ? undefined : input.takeText(end + 1);
          },
        }),
      }
      : line
  );
  const source = { ...limited, encoder: () => encoder };
  assertEquals(decodeInEverySplit(source, "-long\na1;a22;"), [
    "-long",
    "a1;",
    failure("too-long", 9),
  ]);
});

Deno.test("byFirstByte() skips messages that its framings drop", () => {
  const dropping = lines({ maxLength: 2, oversize: "discard" });
  const source = {
    ...byFirstByte((byte) => byte === 0x23 ? counted : dropping),
    encoder: () => encoder,
  };
  assertEquals(
    decodeInEverySplit(source, "long\n#1 xab\nlonger\n#0 c\n"),
    ["x", "ab", "", "c"],
  );
});

Deno.test("byFirstByte() chooses again after a message that ends at the start of the next one", () => {
  const dropping = { maxLength: 2, oversize: "discard" } as const;
  const stars = asText(delimited("*!", { disposition: "prefix", ...dropping }));
  const choosing: Framing<unknown, string> = {
    ...byFirstByte<unknown>((byte) =>
      byte === 0x2a
        ? stars
        : byte === 0x31 || byte === 0x0a
        ? jsonSequence(dropping)
        : line
    ),
    encoder: () => encoder,
  };
  assertEquals(
    decodeInEverySplit(choosing, "*!abcd*!ab*!abcde1111xf\n*!a"),
    ["*!ab", "*!a"],
  );
  // A line feed starts JSON here, and a space starts a line.
  assertEquals(decodeInEverySplit(choosing, "1111xf\n\n y\n1"), [
    "xf",
    " y",
    1,
  ]);
});

Deno.test("byFirstByte() chooses again after a dropped message of several frames", () => {
  const pairs = assembled(lines(), () => {
    let key: string | undefined;
    return function* (line) {
      if (key === undefined) key = line;
      else {
        const pair = `${key}=${line}`;
        key = undefined;
        yield pair;
      }
      return key !== undefined;
    };
  });
  const wanted = mapped(pairs, {
    decode: (pair) => pair === "a=" ? undefined : pair,
    encode: (pair: string) => pair,
  });
  const { decoder } = byFirstByte((byte) => byte === 0x31 ? line : wanted);
  const source = { decoder, encoder: () => encoder };
  assertEquals(
    decodeInEverySplit(source, "a\n\n1\nb\nc\n1\n"),
    ["1", "b=c", "1"],
  );
});

Deno.test("byFirstByte() reads large and many messages in linear time", () => {
  const large = byFirstByte(() => netstrings({ maxLength: Infinity }));
  const source = { ...large, encoder: () => encoder };
  const body = "x".repeat(3_000_000);
  const stream = bytes(`${body.length}:${body},`);
  assertEquals(new ChunkDecoder(source).decode(stream).length, 1);
  assertLinear((size) => {
    decodeInTinyChunks(framing, bytes("-a\n1:b,".repeat(size)), 1024, 2 * size);
  }, 2000);
});

Deno.test("byFirstByte() has separate state for each stream, and throws the error of choose", () => {
  for (let stream = 0; stream < 2; stream++) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes("#2 ")), []);
    assertEquals(decoder.pending, true);
    assertEquals(decoder.decode(bytes("-\n-")), ["-\n"]);
  }
  const throwing = byFirstByte((byte) => {
    if (byte === 0x2d) return line;
    throw new FramingError(`No message begins with byte ${byte}`);
  });
  const decoder = new ChunkDecoder(throwing);
  assertEquals(decoder.decode(bytes("-a\nb")), ["-a"]);
  assertThrows(() => decoder.end(), FramingError, "byte 98");
  assertThrows(() => byFirstByte(line as never), TypeError, "choose");
});

Deno.test("byFirstByte() chooses again after another framing has taken the bytes that it waited for", () => {
  const input = new InputBuffer();
  const decoder = framing.decoder();
  input.append(bytes("5:x"));
  assertEquals(input.pull(decoder), undefined);
  assertEquals(input.pull(fixedLength(3).decoder()), bytes("5:x"));
  input.append(bytes("-a\n"));
  assertEquals(input.pull(decoder), "-a");
});
