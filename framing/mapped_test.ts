import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { delimited } from "./delimited.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";
import { orMalformed } from "./or_malformed.ts";
import { replacing } from "../dev/testdata/replacing.ts";
import {
  assertRefuses,
  assertRoundTrip,
  bytes,
  decodeInEverySplit,
  encode,
  failure,
  text,
} from "./_testing.ts";

/** Decimal numbers, one a line. */
const numbers = mapped(lines({ maxLength: 5 }), {
  decode(line: string): number {
    if (line === "") throw new FramingError("Empty", { code: "malformed" });
    return Number(line);
  },
  encode: (number: number) => String(number),
});

Deno.test("mapped() reads and writes a framing as another type", () => {
  assertEquals(decodeInEverySplit(numbers, "1\n23\n-4"), [1, 23, -4]);
  assertEquals(encode(numbers, 42), "42\n");
  assertRoundTrip(numbers, [0, 12345, -1]);
  const points = mapped(lengthPrefixed({ fieldSize: 1 }), {
    decode: ([x = 0, y = 0]) => ({ x, y }),
    encode: ({ x, y }: { x: number; y: number }) => Uint8Array.of(x, y),
  });
  assertRoundTrip(points, [{ x: 1, y: 2 }, { x: 255, y: 0 }]);
});

Deno.test("mapped() reads one type and writes another", () => {
  const framing = mapped(delimited(";"), {
    decode: (message) => text(message).length,
    encode: (words: string[]) => words.join(" "),
  });
  assertEquals(encode(framing, ["a", "b"]), "a b;");
  assertEquals(decodeInEverySplit(framing, "a b;c"), [3, 1]);
});

Deno.test("mapped() throws the errors of its framing", () => {
  assertEquals(
    decodeInEverySplit(numbers, "1\n2\n123456\n"),
    [1, 2, failure("too-long", 4)],
  );
  assertRefuses(numbers, 123456, RangeError);
  const strict = mapped(lengthPrefixed(), { decode: text, encode: bytes });
  assertEquals(decodeInEverySplit(strict, "\0\0\0\x01a\0"), [
    "a",
    failure("truncated", 5),
  ]);
});

Deno.test("mapped() delivers the messages before one that decode refuses", () => {
  const decoder = new ChunkDecoder(numbers);
  assertEquals(decoder.decode(bytes("1\n2\n\n3\n")), [1, 2]);
  const error = assertThrows(
    () => decoder.decode(bytes("4\n")),
    FramingError,
    "Empty",
  );
  assertEquals(error.code, "malformed");
  assertThrows(() => decoder.decode(bytes("5\n")), FramingError, "Empty");
  assertThrows(() => decoder.end(), FramingError, "Empty");
  assertThrows(
    () => new ChunkDecoder(numbers).decode(bytes("\n1\n")),
    FramingError,
    "Empty",
  );
});

Deno.test("mapped() throws decode's error before a later error of its framing", () => {
  const decoder = new ChunkDecoder(numbers);
  assertEquals(decoder.decode(bytes("1\n\n123456\n")), [1]);
  for (let times = 0; times < 2; times++) {
    assertThrows(() => decoder.decode(bytes("")), FramingError, "Empty");
  }
});

Deno.test("mapped() throws an error after messages when decode() gets an empty chunk", () => {
  const same = { decode: (text: string) => text, encode: String };
  const once = asText(netstrings());
  for (const framing of [once, mapped(once, same)]) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes("1:a,x")), ["a"]);
    for (let times = 0; times < 2; times++) {
      const error = assertThrows(() => decoder.decode(bytes("")), FramingError);
      assertEquals([error.code, error.offset], ["malformed", 4]);
    }
  }
});

Deno.test("mapped() passes on the error of decode for the remainder", () => {
  const mistake = new SyntaxError("Not a number");
  const framing = mapped(delimited(","), {
    decode(message) {
      if (text(message) === "x") throw mistake;
      return text(message);
    },
    encode: (message: string) => message,
  });
  for (const stream of ["a,x", "a,x,"]) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes(stream)), ["a"]);
    for (let times = 0; times < 2; times++) {
      const error = assertThrows(() => decoder.end(), Error);
      assert(error === mistake || error.cause === mistake);
    }
  }
});

Deno.test("mapped() passes on the error of encode, and writes nothing", () => {
  const mistake = new TypeError("Not this one");
  const framing = mapped(lines(), {
    decode: (line) => line,
    encode(): string {
      throw mistake;
    },
  });
  assertStrictEquals(
    assertThrows(() => new ChunkEncoder(framing).encode("a")),
    mistake,
  );
});

Deno.test("mapped() encodes each message once", () => {
  const framings: Framing<Bytes, Sendable>[] = [
    delimited("\n"),
    delimited(bytes("\xff")),
    lengthPrefixed(),
    lengthPrefixed({ fieldSize: 2, strip: 0 }),
    netstrings(),
  ];
  for (const inner of framings) {
    for (const toSendable of [bytes, String]) {
      let number = 0;
      const numbered = mapped(inner, {
        decode: text,
        encode: (message: string | number) =>
          toSendable(`\0\0${number++} ${message}`),
      });
      const twice = mapped(numbered, {
        decode: (message) => message,
        encode: (message: string) => message,
      });
      let sent = 0;
      const encoder = new ChunkEncoder(inner);
      for (const message of ["same", "same", "other"]) {
        const expected = encoder.encode(`\0\0${sent++} ${message}`);
        assertEquals(new ChunkEncoder(twice).encode(message), expected);
      }
      for (const message of [NaN, NaN, 0]) {
        const expected = encoder.encode(`\0\0${sent++} ${message}`);
        assertEquals(new ChunkEncoder(numbered).encode(message), expected);
      }
    }
  }
});

Deno.test("mapped() encodes a message again after another was encoded", () => {
  const framing = mapped(delimited(";"), {
    decode: text,
    encode: ({ value }: { value: string }) => bytes(value),
  });
  const message = { value: "first" };
  const encoder = new ChunkEncoder(framing);
  assertEquals(text(encoder.encode(message)), "first;");
  assertEquals(text(encoder.encode({ value: "other" })), "other;");
  message.value = "second";
  assertEquals(text(encoder.encode(message)), "second;");
});

Deno.test("mapped() calls decode and encode as methods of their object", () => {
  class Tagged {
    readonly #tag: string;
    constructor(tag: string) {
      this.#tag = tag;
    }
    decode(line: string): string {
      return line.slice(this.#tag.length);
    }
    encode(message: string): string {
      return this.#tag + message;
    }
  }
  const framing = mapped(lines(), new Tagged("> "));
  assertEquals(encode(framing, "hello"), "> hello\n");
  assertRoundTrip(framing, ["hello", ""]);
});

Deno.test("mapped() refuses arguments that are not functions", () => {
  const wrongs: [mapping: unknown, name: string, type: string][] = [
    [{}, "decode", "undefined"],
    [{ decode: String, encode: "utf-8" }, "encode", "string"],
  ];
  for (const [mapping, name, type] of wrongs) {
    assertThrows(
      () => mapped(lines(), mapping as never),
      TypeError,
      `Cannot make mapped framing as ${name} must be a function: current value is of type ${type}`,
    );
  }
});

Deno.test("mapped() reports like its framing whether a message has begun to arrive", () => {
  const decoder = new ChunkDecoder(numbers);
  const states = ["", "1", "\n"].map((chunk) => {
    decoder.decode(bytes(chunk));
    return decoder.pending;
  });
  assertEquals(states, [false, true, false]);
});

const checksums = {
  // Like NMEA: a message ends with a checksum of the bytes before it.
  decode(line: string) {
    const [value = "", sum] = line.split("*");
    if (sum !== String(value.length)) {
      throw new FramingError(`Wrong sum of ${value}`, { code: "malformed" });
    }
    return value === "" ? undefined : value;
  },
  encode: (value: string) => `${value}*${value.length}`,
};

Deno.test("mapped() throws for a malformed message, or drops it", () => {
  const stream = "a*1\nbb*1\n*0\nccc*3\n";
  assertEquals(decodeInEverySplit(mapped(lines(), checksums), stream), [
    "a",
    { code: "malformed", offset: undefined },
  ]);
  const errors: string[] = [];
  const framing = mapped(lines(), {
    ...checksums,
    onMalformed: ({ message }) => void errors.push(message),
  });
  assertEquals(decodeInEverySplit(framing, stream), ["a", "ccc"]);
  assertEquals([...new Set(errors)], ["Wrong sum of bb"]);
  assertEquals(
    decodeInEverySplit(
      mapped(lines(), { ...checksums, onMalformed: "discard" }),
      stream.repeat(20),
      { splits: 50 },
    ).length,
    40,
  );
});

Deno.test("mapped() drops messages only for a FramingError", () => {
  const mistake = new TypeError("A mistake");
  const framing = mapped(lines(), {
    decode(): string {
      throw mistake;
    },
    encode: String,
    onMalformed: "discard",
  });
  assertStrictEquals(
    assertThrows(() => new ChunkDecoder(framing).decode(bytes("a\n"))),
    mistake,
  );
  // A message that breaks the inner framing's rules has no known end.
  assertEquals(
    decodeInEverySplit(
      mapped(netstrings(), {
        decode: text,
        encode: (a: string) => a,
        onMalformed: "discard",
      }),
      "1:a,x",
    ),
    ["a", failure("malformed", 4)],
  );
});

Deno.test("mapped() drops a message if decode returns undefined, in every split", () => {
  const framing = mapped(lines({ maxLength: 2 }), {
    decode: (line) => line === "x" ? undefined : line,
    encode: String,
  });
  // Together they are longer than one line may be.
  assertEquals(decodeInEverySplit(framing, "x\nx\nx\nx\nx\nx\nx\na\nx\n"), [
    "a",
  ]);
  assertEquals(decodeInEverySplit(framing, "x\nx"), []);
});

Deno.test("mapped() refuses an invalid onMalformed", () => {
  assertThrows(
    () => mapped(lines(), { ...checksums, onMalformed: "drop" as never }),
    TypeError,
    "onMalformed",
  );
});

Deno.test("mapped() applies the limit of its framing, also to messages that it drops", () => {
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
  const framing = mapped(limited, {
    decode: (text) => text.startsWith("#") ? undefined : text,
    encode: String,
  });
  assertEquals(decodeInEverySplit(framing, "#a;ab;#ab;c;"), [
    "ab;",
    failure("too-long", 6),
  ]);
});

Deno.test("mapped() calls decode and onDiscard in the order of the messages", () => {
  const log: unknown[] = [];
  const framing = mapped(
    lines({ fatal: true, onMalformed: ({ offset }) => void log.push(offset) }),
    {
      decode(line) {
        log.push(line);
        if (line === "end") throw new FramingError("Nothing comes after it");
        return line;
      },
      encode: String,
    },
  );
  const decoder = new ChunkDecoder(framing);
  assertEquals(decoder.decode(bytes("a\n\xff\nb\nend\n\xff\nc\n")), ["a", "b"]);
  assertEquals(log, ["a", 2, "b", "end"]);
  assertThrows(() => decoder.end(), FramingError, "after it");
});

Deno.test("mapped() refuses an async encode, which JSON would send as {}", () => {
  const framing = mapped<unknown, unknown, unknown>(asJson(lengthPrefixed()), {
    decode: (value) => value,
    encode: () => Promise.reject(new Error("no unhandled rejection")),
  });
  assertThrows(() => encode(framing, "a"), TypeError, "async");
});

Deno.test("onMalformed and onDiscard may be async, and their errors are logged", async () => {
  const logged: unknown[] = [];
  const report = (of: unknown) => Promise.reject(of);
  const discarding = lines({
    maxLength: 3,
    oversize: "discard",
    onDiscard: report,
  });
  const framing = mapped(discarding, {
    decode: orMalformed((line) => Number(JSON.parse(line))),
    encode: String,
    onMalformed: report,
  });
  const decoder = new ChunkDecoder(framing);
  const restore = replacing(console, {
    error: (error) => void logged.push(error),
  });
  try { // without `using`, which one runtime of these tests does not have
    assertEquals(decoder.decode(bytes("1\ntoo long\n{\n2\n")), [1, 2]);
    await Promise.resolve();
  } finally {
    restore[Symbol.dispose]();
  }
  assertEquals(logged.length, 2);
  assertEquals(logged[0], "too long".length);
  assertInstanceOf(logged[1], FramingError);
});

Deno.test("mapped() refuses an async decode, whose promise nothing would await", () => {
  const framing = mapped(lines(), {
    decode: (line) => Promise.reject(new Error(line)),
    encode: (line: string) => line,
  });
  const decoder = new ChunkDecoder(framing);
  const chunk = new TextEncoder().encode("a\n");
  assertThrows(() => decoder.decode(chunk), TypeError, "async");
});
