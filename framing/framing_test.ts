/** Custom framings, written against the documented contract only. */
import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
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
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { assembled } from "./assembled.ts";
import { byFirstByte } from "./by_first_byte.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import { dotStuffed } from "./dot_stuffed.ts";
import { fixedLength } from "./fixed_length.ts";
import { FramingError } from "./framing_error.ts";
import { grouped } from "./grouped.ts";
import { headed } from "./headed.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";
import { sequence } from "./sequence.ts";
import { FrameDecoderStream, FrameEncoderStream } from "./streams.ts";

const noEncoder = () => ({
  encode() {
    throw new TypeError("Receives only");
  },
});

/** Runs of one letter, `"aaab"` as `"a3"`, `"b1"`: a run ends where the next one starts. */
function runs(maxFrameLength?: number): Framing<string> {
  return {
    decoder: () => ({
      maxFrameLength,
      decode(input, ended) {
        const first = input.byteAt(0);
        if (first === undefined) return undefined;
        let length = 1;
        while (input.byteAt(length) === first) length++;
        if (length === input.length && !ended) return undefined;
        return input.takeText(length).charAt(0) + length;
      },
    }),
    encoder: () => ({
      encode: (run, output) =>
        output.writeText(run.charAt(0).repeat(Number(run.slice(1)))),
    }),
  };
}

/** A length of one digit, then that many bytes. */
function digits(maxFrameLength?: number): Framing<Bytes, Uint8Array> {
  return {
    decoder: () => ({
      maxFrameLength,
      decode(input) {
        const digit = input.byteAt(0);
        if (digit === undefined) return undefined;
        const length = 1 + digit - 0x30;
        if (input.length < length) return input.need(length);
        input.skip(1);
        return input.take(length - 1);
      },
    }),
    encoder: () => ({
      encode(message, output) {
        if (message.length >= (maxFrameLength ?? 10)) {
          throw new RangeError("Cannot encode message: too long");
        }
        output.writeText(String(message.length));
        output.writeBytes(message);
      },
    }),
  };
}

Deno.test("A custom framing gives the same messages in every split of the stream", () => {
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

Deno.test("A custom framing may give views, whose bytes are never overwritten", () => {
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

Deno.test('A custom framing throws "truncated" if it needs more bytes at the end', () => {
  assertEquals(decodeInEverySplit(digits(), "1a3bc"), [
    "a",
    failure("truncated", 2),
  ]);
  assertEquals(decodeInEverySplit(digits(), "1"), [failure("truncated", 0)]);
});

Deno.test("A custom framing sees the end after all bytes before it were taken", () => {
  const calls: [there: string, ended: boolean][] = [];
  const decoder = new ChunkDecoder<string>({
    decoder: () => ({
      decode(input, ended) {
        const there = input.textAt(0, input.length);
        calls.push([there, ended]);
        if (there.length > 1 || (ended && there !== "")) {
          input.skip(1);
          return there;
        }
        return undefined;
      },
    }),
  });
  assertEquals(decoder.decode(bytes("abc")), ["abc", "bc"]);
  assertEquals(calls, [["abc", false], ["bc", false], ["c", false]]);
  assertEquals(decoder.pending, true);
  assertEquals(decoder.decode(bytes("")), []);
  assertEquals(calls.length, 3);
  assertEquals(decoder.end(), ["c"]);
  assertEquals(calls.slice(3), [["c", true], ["", true]]);
});

Deno.test("A custom framing whose maxFrameLength is NaN decodes nothing", () => {
  const framing = runs(NaN); // without an error it would have no limit
  const whole = assembled(framing, () =>
    function* (run) {
      yield run;
    });
  for (const each of [framing, whole]) {
    const decoder = new ChunkDecoder(each);
    assertThrows(() => decoder.decode(bytes("aab")), RangeError, "NaN");
  }
});

Deno.test("A custom framing allows frames of exactly maxFrameLength bytes", () => {
  const cases: [stream: string, outcome: Outcome][] = [
    ["3abc3abc", ["abc", "abc"]],
    ["4abcd", [failure("too-long", 0)]],
    ["1a4abcd1b", ["a", failure("too-long", 2)]],
    ["9abcdefghi", [failure("too-long", 0)]],
  ];
  for (const [stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(digits(4), stream), outcome);
  }
  // Without `need` the limit applies to the bytes that are there, and to a frame that
  // arrived whole.
  assertEquals(decodeInEverySplit(runs(3), "aaabb"), ["a3", "b2"]);
  assertEquals(decodeInEverySplit(runs(3), "baaaabb"), [
    "b1",
    failure("too-long", 1),
  ]);
  const decoder = new ChunkDecoder(digits(4));
  assertEquals(decoder.decode(bytes("1a")).length, 1);
  // At its header, before its bytes.
  const error = assertThrows(() => decoder.decode(bytes("4")), FramingError);
  assertEquals([error.code, error.limit, error.offset], ["too-long", 4, 2]);
  assertRefuses(digits(4), bytes("abcd"), RangeError);
});

Deno.test("A custom framing is limited to 1 MiB by default", () => {
  const all: Pick<Framing<number, never>, "decoder"> = {
    decoder: () => ({
      decode(input, ended) {
        const { length } = input;
        if (!ended || length === 0) return undefined;
        input.skip(length);
        return length;
      },
    }),
  };
  const decoder = new ChunkDecoder(all);
  assertEquals(decoder.decode(new Uint8Array(1_048_576)), []);
  assertEquals(decoder.end(), [1_048_576]);
  const over = new ChunkDecoder(all);
  over.decode(new Uint8Array(1_048_576));
  assertThrows(() => over.decode(bytes("x")), FramingError);
});

/** Four bytes of length, then that many bytes; counts how often it is called. */
function counted(maxFrameLength?: number) {
  const state = { calls: 0 };
  const framing: Framing<Bytes, never> = {
    decoder: () => ({
      maxFrameLength,
      decode(input) {
        state.calls++;
        const length = input.uintAt(0, 4);
        if (length === undefined) return input.need(4);
        if (input.length < 4 + length) return input.need(4 + length);
        input.skip(4);
        return input.take(length);
      },
    }),
    encoder: noEncoder,
  };
  return { state, framing };
}

Deno.test("A custom framing's frame is refused at its header if the length is above the limit", () => {
  const gigabyte = new Uint8Array([0x40, 0, 0, 0]);
  const { framing } = counted();
  const error = assertThrows(
    () => new ChunkDecoder(framing).decode(gigabyte),
    FramingError,
  );
  assertEquals(
    [error.code, error.limit, error.offset],
    ["too-long", 1_048_576, 0],
  );
  assertEquals(
    decodeInEverySplit(counted(100).framing, "\0\0\0\x01a\0\0\0\x61x"),
    ["a", failure("too-long", 5)],
  );
});

Deno.test("A custom framing is not called again before the bytes that it needs are there", () => {
  const { framing, state } = counted();
  const decoder = new ChunkDecoder(framing);
  const length = 1_000_000;
  const stream = new Uint8Array(4 + length);
  new DataView(stream.buffer).setUint32(0, length);
  let messages = 0;
  for (let start = 0; start < stream.length; start += 1000) {
    messages += decoder.decode(stream.slice(start, start + 1000)).length;
  }
  assertEquals(messages, 1);
  // At the header, when the message is there, and for what comes after it.
  assert(state.calls <= 3, `${state.calls} calls`);
});

Deno.test("A custom framing's error comes after the messages before it", () => {
  const mistake = new FramingError("Not a digit", { code: "malformed" });
  const framing: Framing<string, never> = {
    decoder: () => ({
      decode(input) {
        if (input.byteAt(0) === 0x21) throw mistake;
        return input.length > 0 ? input.takeText(1) : undefined;
      },
    }),
    encoder: noEncoder,
  };
  const decoder = new ChunkDecoder(framing);
  assertEquals(decoder.decode(bytes("ab!c")), ["a", "b"]);
  for (let times = 0; times < 3; times++) {
    assertStrictEquals(assertThrows(() => decoder.decode(bytes("x"))), mistake);
  }
  assertStrictEquals(assertThrows(() => decoder.end()), mistake);
  assertStrictEquals(
    assertThrows(() => new ChunkDecoder(framing).decode(bytes("!"))),
    mistake,
  );
  const outcome = decodeChunks(framing, [bytes("a"), bytes("b!")]).slice(0, 2);
  assertEquals(outcome, ["a", "b"]);
});

Deno.test("A custom framing cannot take more bytes than there are", () => {
  const wrongs: ((input: ByteInput) => unknown)[] = [
    (input) => input.take(4),
    (input) => input.takeText(4),
    (input) => input.skip(4),
    (input) => input.skip(-1),
    (input) => input.skip(NaN),
    (input) => input.bytesAt(2, 4),
  ];
  for (const wrong of wrongs) {
    const decoder: Decoder<unknown> = { decode: wrong };
    const chunks = new ChunkDecoder({ decoder: () => decoder });
    assertThrows(() => chunks.decode(bytes("abc")), RangeError);
  }
});

Deno.test("A custom framing may write any bytes, and its errors are passed on", () => {
  assertEquals(encode(runs(), "a3"), "aaa");
  assertRoundTrip(runs(), ["a3", "b2", "a1"]);
  assertRoundTrip(digits(), [bytes("abc"), bytes("")]);
  const mistake = new TypeError("Not today");
  const never = new ChunkEncoder<string>({
    encoder: () => ({
      encode(_message, output) {
        output.writeText("half");
        throw mistake;
      },
    }),
  });
  assertStrictEquals(assertThrows(() => never.encode("a")), mistake);
});

Deno.test("A custom framing may be an object with state", () => {
  class Fixed implements Framing<string> {
    readonly #length = 2;
    decoder() {
      const length = this.#length;
      return {
        decode: (input: ByteInput) =>
          input.length < length ? input.need(length) : input.takeText(length),
      };
    }
    encoder() {
      const length = this.#length;
      return {
        encode: (
          message: string,
          output: Parameters<ReturnType<Framing<string>["encoder"]>["encode"]>[
            1
          ],
        ) => output.writeText(message.padEnd(length)),
      };
    }
  }
  const framing = new Fixed();
  assertEquals(encode(framing, "a"), "a ");
  assertRoundTrip(framing, ["ab", "cd"]);
});

Deno.test("Framing may combine the decoder of one framing and the encoder of another", () => {
  const framing: Framing<string> = {
    ...lines(),
    encoder: () => ({
      encode: (line, output) => output.writeText(`${line.toUpperCase()}!\n`),
    }),
  };
  assertEquals(encode(framing, "hello"), "HELLO!\n");
  assertEquals(decodeInEverySplit(framing, "a\nb\n"), ["a", "b"]);
});

Deno.test("A custom framing has separate state for each stream and direction", () => {
  const numbered: Framing<string> = {
    decoder() {
      let count = 0;
      const line = lines().decoder();
      return {
        decode(input, ended) {
          const text = line.decode(input, ended);
          return text === undefined ? undefined : `${++count} ${text}`;
        },
      };
    },
    encoder() {
      let count = 0;
      return {
        encode: (text, output) => output.writeText(`${++count} ${text}\n`),
      };
    },
  };
  for (let stream = 0; stream < 2; stream++) {
    const encoder = new ChunkEncoder(numbered);
    assertEquals(text(encoder.encode("a")), "1 a\n");
    assertEquals(text(encoder.encode("b")), "2 b\n");
  }
  assertEquals(decodeInEverySplit(numbered, "a\nb\n"), ["1 a", "2 b"]);
  // Also through `mapped`, which shares encoders without state.
  const framing = mapped(numbered, { decode: (a) => a, encode: String });
  const encoders = [new ChunkEncoder(framing), new ChunkEncoder(framing)];
  for (const encoder of encoders) encoder.encode("a");
  assertEquals(encoders.map((each) => text(each.encode("b"))), [
    "2 b\n",
    "2 b\n",
  ]);
});

Deno.test("A custom framing does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    const framing: Framing<number, never> = {
      decoder: () => ({
        maxFrameLength: Infinity,
        decode(input) {
          if (input.length < size) return input.need(size);
          input.skip(size);
          return size;
        },
      }),
      encoder: noEncoder,
    };
    decodeInTinyChunks(framing, new Uint8Array(size), 4, 1);
  }, 32_768);
});

Deno.test("A custom framing with a delimiter does work linear in the bytes", () => {
  const end = bytes("\r\n");
  const framing: Framing<number, never> = {
    decoder: () => ({
      maxFrameLength: Infinity,
      decode(input) {
        const at = input.indexOf(end);
        if (at === -1) return undefined;
        input.skip(at + 2);
        return at;
      },
    }),
    encoder: noEncoder,
  };
  assertLinear((size) => {
    const stream = new Uint8Array(size);
    stream.set(end, size - 2);
    decodeInTinyChunks(framing, stream, 8, 1);
  }, 1024 * 1024);
});

Deno.test("A custom framing that searches twice does work linear in the bytes", () => {
  const framing: Framing<string, never> = {
    decoder: () => ({
      maxFrameLength: Infinity,
      decode(input) {
        const first = input.indexOf(0x0a);
        const second = first === -1 ? -1 : input.indexOf(0x0a, first + 1);
        if (second === -1) return undefined;
        input.skip(second + 1);
        return "";
      },
    }),
    encoder: noEncoder,
  };
  assertLinear((size) => {
    const stream = new Uint8Array(size);
    stream[0] = stream[size - 1] = 0x0a;
    decodeInTinyChunks(framing, stream, 8, 1);
  }, 128 * 1024);
});

Deno.test("A custom framing does work linear in the messages of a chunk", () => {
  assertLinear((size) => {
    decodeInTinyChunks(digits(), new Uint8Array(size).fill(0x30), size, size);
  }, 16_384);
});

Deno.test("Framings that wrap another one refuse an invalid framing", () => {
  const wrongs: unknown[] = [undefined, null, 5, {}, lines];
  for (const wrong of wrongs) {
    const framing = wrong as Framing<Bytes, Sendable>;
    const ways: Record<string, () => unknown> = {
      asText: () => asText(framing),
      asJson: () => asJson(framing),
      mapped: () =>
        mapped(framing, { decode: String, encode: (text: string) => text }),
      sequence: () => sequence(framing, () => lines()),
      assembled: () => assembled(framing, () => function* () {}),
      grouped: () => grouped(framing, () => true),
      headed: () => headed(framing, () => 0),
      dotStuffed: () => dotStuffed(wrong as Framing<string>),
    };
    for (const [name, make] of Object.entries(ways)) {
      assertThrows(
        make,
        TypeError,
        `Cannot make ${name} framing as it needs a framing`,
      );
    }
  }
});

Deno.test("Functions that need a framing refuse an invalid one, also from a callback", () => {
  const wrongs: unknown[] = [undefined, null, 5, {}, lines];
  for (const wrong of wrongs) {
    const framing = wrong as Framing<Bytes, Sendable>;
    const chosen = { ...byFirstByte(() => framing), encoder: lines().encoder };
    const ways: (() => unknown)[] = [
      () => new ChunkDecoder(framing),
      () => new ChunkEncoder(framing),
      () => new FrameDecoderStream(framing),
      () => new FrameEncoderStream(framing),
      () => new ChunkDecoder(chosen).decode(bytes("a\n")),
      () =>
        new ChunkDecoder(sequence(lines(), () => framing)).decode(bytes("a\n")),
      () => encode(sequence(lines(), () => framing), "a"),
    ];
    if (wrong !== undefined && wrong !== 5) {
      const messages = headed(lines(), () => framing);
      ways.push(
        () => new ChunkDecoder(messages).decode(bytes("a\nb")),
        () => encode(messages, { header: "a", body: "b" }),
      );
    }
    for (const way of ways) {
      const { message } = assertThrows(way, TypeError);
      assertStringIncludes(message, "needs a framing, with the method");
    }
  }
});

Deno.test("Encoders of text work with an output that keeps the bytes and encodes other text in between", () => {
  const others = new ChunkEncoder(netstrings());
  const whole = lengthPrefixed({ fieldSize: 1, fieldOffset: 4, strip: 0 });
  for (
    const framing of [netstrings(), lengthPrefixed(), fixedLength(5), whole]
  ) {
    const kept: Uint8Array[] = [];
    const encodeOther = () => void others.encode("between");
    const output: ByteOutput = {
      length: 0,
      writeByte: encodeOther,
      writeBytes: (bytes) => void kept.push(bytes),
      writeText: encodeOther,
      writeUint: encodeOther,
      indexOf: () => -1,
      reserve: () => 0,
      setUint: () => {},
    };
    const encoder = framing.encoder();
    encoder.encode("abcd\0", output);
    encoder.encode("ABCD\0", output);
    const written = kept.map(text).join("");
    assertEquals(
      written,
      framing === whole ? "abcdABCD" : "abcd\0ABCD\0",
    );
  }
});

Deno.test("Decoder.decode() must not be async: its promises would be messages without end", () => {
  const inPairs: Framing<unknown> = {
    decoder: () => ({
      // deno-lint-ignore require-await
      async decode(input) {
        return input.length < 2 ? undefined : input.take(2);
      },
    }),
    encoder: noEncoder,
  };
  const framings: Pick<Framing<unknown>, "decoder">[] = [
    inPairs,
    headed(inPairs, () => fixedLength(0)),
    headed(fixedLength(0), () => inPairs),
    sequence(inPairs, () => lines()),
    sequence(fixedLength(1), () => inPairs),
    byFirstByte(() => inPairs),
    grouped(inPairs, () => true),
    assembled(inPairs, () =>
      function* (frame) {
        yield frame;
      }),
    mapped(inPairs, { decode: (frame) => [frame], encode: (frame) => frame }),
  ];
  for (const framing of framings) {
    const decoder = new ChunkDecoder(framing);
    assertThrows(
      () => {
        decoder.decode(bytes("abc"));
        decoder.end(); // after the messages before the error
      },
      TypeError,
      "async",
    );
  }
});

/** Type-checked, not run: an encoder takes all messages that its framing says. */
function encodersOf(): void {
  const ofText = {
    encode(message: string, output: ByteOutput) {
      output.writeText(message);
    },
  };
  const ofAll: Encoder<string> = lengthPrefixed().encoder();
  // @ts-expect-error: bytes may be sent too
  const ofBytes: Encoder<Sendable> = ofText;
  const framing: Framing<Bytes, Sendable> = {
    ...lengthPrefixed(),
    // @ts-expect-error: the same within a framing
    encoder: () => ofText,
  };
  class TextEncoding implements Encoder<string> {
    encode(message: string, output: ByteOutput): void {
      output.writeText(message);
    }
  }
  const ofClass: Encoder<string> = new TextEncoding();
  void [ofAll, ofBytes, framing, ofClass];
}

void encodersOf;
