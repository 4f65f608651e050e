import { assertEquals, assertThrows } from "@std/assert";
import { verifyFraming } from "../testing.ts";
import {
  assertLinear,
  assertRefuses,
  bytes,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  type Outcome,
  text,
} from "./_testing.ts";
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { assembled } from "./assembled.ts";
import type { ByteInput } from "./byte_input.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { dotStuffed } from "./dot_stuffed.ts";
import { fixedLength } from "./fixed_length.ts";
import { FramingError } from "./framing_error.ts";
import type { Framing } from "./framing.ts";
import { grouped } from "./grouped.ts";
import { headed } from "./headed.ts";
import { jsonSequence } from "./json_sequence.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";

const trailing = "error";
const crlf = lines({ eol: "\r\n", strict: true, maxLength: 20, trailing });

/** As in memcached and NATS. */
const counted = headed(crlf, (line) => {
  const [, length] = /^V .*?(\S+)$/.exec(line) ?? [];
  return length === undefined ? undefined : Number(length);
}, { terminator: "\r\n", maxLength: 10 });

/** As in STOMP. */
const marked = headed(
  asText(delimited("\n\n", { trailing })),
  (header) =>
    /^length:(\d+)$/m.exec(header)?.[1] ?? delimited("\0", { trailing }),
  { terminator: "\0" },
);

/** As in MQTT. */
const packets = headed(
  fixedLength(1),
  () => lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 4 }),
);

function message(header: string, body?: string) {
  return body === undefined ? { header } : { header, body };
}

/** What `decodeInEverySplit` makes of a message, with its bytes as text. */
function read(
  stream: string,
  framing: Pick<typeof counted, "decoder"> = counted,
) {
  return decodeInEverySplit({
    decoder: () => {
      const decoder = framing.decoder();
      return {
        get maxFrameLength() {
          return decoder.maxFrameLength;
        },
        get pending() {
          return decoder.pending;
        },
        decode(input, ended) {
          const read = decoder.decode(input, ended);
          return read && message(read.header, read.body && text(read.body));
        },
      };
    },
    encoder: () => counted.encoder(),
  }, stream);
}

Deno.test("headed() reads a body if the header announces one, in every split", () => {
  assertEquals(read(""), []);
  assertEquals(read("A\r\nV 3\r\n\r\n!\r\nB\r\nV 0\r\n\r\nV 1\r\n\n\r\n"), [
    message("A"),
    message("V 3", "\r\n!"),
    message("B"),
    message("V 0", ""),
    message("V 1", "\n"),
  ]);
  assertEquals(
    read("length:3\n\na\0b\0x\n\nc\0\n\n\0length:0\n\n\0", marked),
    [
      message("length:3", "a\0b"),
      message("x", "c"),
      message("", ""),
      message("length:0", ""),
    ],
  );
});

Deno.test("headed() reads a text length only in decimal digits", () => {
  const said = headed(crlf, (line) => /^V(.*)$/.exec(line)?.[1], {
    terminator: "\r\n",
    maxLength: 10,
  });
  verifyFraming(said, [
    { header: "PING" },
    { header: "V2", body: bytes("\r\n") },
    { header: "V010", body: bytes("0123456789") },
  ], {
    refused: [
      ...["V", "V ", "V 2", "V+2", "V-0", "V0x2", "V2e0", "V2.0", "V\u0662"],
      ...["V11", "V99999999999999999", "V2\r\nabc\r\n"],
    ].map((line) => bytes(`${line}\r\nab\r\n`)),
  });
  assertThrows(
    () => new ChunkDecoder(said).decode(bytes("V1e3\r\n")),
    FramingError,
    'header says a length of "1e3"',
  );
  const encoder = new ChunkEncoder(said);
  for (const header of ["V3", "V", "V2e0"]) {
    assertThrows(() => encoder.encode({ header, body: "ab" }), RangeError);
  }
  assertThrows(() => encoder.encode({ header: "V2" }), TypeError, "missing");
});

Deno.test("headed() passes verifyFraming() with each kind of header and body", () => {
  verifyFraming(counted, [
    { header: "PING" },
    { header: "V a 2", body: bytes("\r\n") },
    { header: "V 0", body: bytes("") },
    { header: "V 10", body: bytes("0123456789") },
  ], {
    refused: [
      "V 2\r\nab\n\r",
      "V 2\r\nabc\r\n",
      "V 11\r\n",
      "V 99999999999999999\r\n",
      "V x\r\n",
      "V -1\r\n",
      "V 1.5\r\n",
      "V 1\r\n",
      "V 1\r\na",
      "V 1\r\na\r",
      "A\n",
      "x".repeat(21),
    ].map(bytes),
    rounds: 50,
  });
  verifyFraming(marked, [
    { header: "", body: bytes("") },
    { header: "length:3", body: bytes("a\0b") },
    { header: "id:1", body: bytes("abc") },
  ], { refused: ["length:1\n\nab", "x\n\nab"].map(bytes), rounds: 50 });
  verifyFraming(packets, [
    { header: Uint8Array.of(0xc0), body: new Uint8Array() },
    { header: Uint8Array.of(0x30), body: new Uint8Array(200) },
  ], {
    refused: [Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff, 1)],
    rounds: 50,
  });
  verifyFraming(
    headed(
      lines(),
      (kind) => kind === "json" ? asJson(netstrings()) : undefined,
    ),
    [{ header: "json", body: [1] }, { header: "none" }],
    { refused: [bytes("json\n1:x,")], rounds: 50 },
  );
  verifyFraming(
    // A body with its own header.
    headed(lines({ trailing }), () => marked),
    [{ header: "a", body: { header: "length:1", body: bytes("x") } }],
    { rounds: 50 },
  );
});

Deno.test("headed() applies each part's limit, and gives the offset of an error", () => {
  assertEquals(read("V 10\r\n0123456789\r\nV 11\r\n"), [
    message("V 10", "0123456789"),
    failure("too-long", 18),
  ]);
  assertEquals(read(`A\r\n${"x".repeat(30)}`), [
    message("A"),
    failure("too-long", 3),
  ]);
  assertEquals(read("A\r\nV 99999999999999999999\r\n").at(-1), {
    code: "too-long",
    offset: 3,
  });
  assertEquals(read("A\r\nV x\r\n"), [message("A"), failure("malformed", 3)]);
  const wrongBodies = [
    ["abcd", "malformed"],
    ["ab", "truncated"],
    ["", "truncated"],
  ] as const;
  for (const [body, code] of wrongBodies) {
    assertEquals(read(`V 2\r\n${body}`), [failure(code, 0)]);
    assertEquals(read(`A\r\nV 2\r\n${body}`), [message("A"), failure(code, 3)]);
  }
  assertEquals(read("A\r\nV 2\r"), [message("A"), failure("truncated", 3)]);
  const small = headed(lines(), () => netstrings({ maxLength: 2 }));
  assertEquals(read("a long header\n2:ab,b\n3:abc,", small), [
    message("a long header", "ab"),
    failure("too-long", 21),
  ]);
  const unlimited = headed(lines(), Number, { maxLength: Infinity });
  assertEquals(read(`${2 ** 53}\n`, unlimited), [failure("too-long", 0)]);
});

Deno.test("headed() applies the limits of custom framings, each to its part", () => {
  const part = (maxFrameLength: number) => ({
    decoder: () => ({
      maxFrameLength,
      decode(input: ByteInput) {
        const end = input.indexOf(0x3b);
        return end === -1 ? undefined : input.takeText(end + 1);
      },
    }),
    encoder: lines().encoder,
  });
  const framing = headed(part(2), () => part(5));
  assertEquals(decodeInEverySplit(framing, "a;hell;b;;abc;"), [
    { header: "a;", body: "hell;" },
    { header: "b;", body: ";" },
    failure("too-long", 10),
  ]);
  assertEquals(decodeInEverySplit(framing, "a;hello;"), [
    failure("too-long", 2),
  ]);
});

Deno.test("headed() drops a header with its body, and takes the next header after it, in every split", () => {
  const discard = "discard";
  const words = lines({ maxLength: 3, oversize: discard });
  const values = (length: number) =>
    asJson(fixedLength(length), { onMalformed: discard });
  const framing = headed<string, unknown, never>(
    lines(),
    (header): Framing<unknown, never> | undefined => {
      if (header === "word") return words;
      if (header === "text") return dotStuffed(words);
      if (header === "inner") return headed(lines(), () => values(1));
      if (header === "even") {
        return mapped(netstrings(), {
          decode: ({ length }) => length % 2 === 0 ? length : undefined,
          encode: (bytes: Uint8Array) => bytes,
        });
      }
      const length = /^json (\d)$/.exec(header)?.[1];
      return length === undefined ? undefined : values(Number(length));
    },
  );
  for (
    const dropped of [
      "word\nlong\n",
      "word\nmuch longer\n",
      "json 2\n{]",
      "json 0\n", // an empty body is not JSON, and takes no bytes
      "even\n3:abc,",
      "inner\nx\n?",
    ]
  ) {
    assertEquals(
      decodeInEverySplit(framing, `${dropped}none\n${dropped}word\nabc\n`),
      [{ header: "none" }, { header: "word", body: "abc" }],
    );
    assertEquals(decodeInEverySplit(framing, dropped), []);
  }
  // A line that is dropped inside a body is missing in the body.
  assertEquals(decodeInEverySplit(framing, "text\nlong\nabc\n.\nnone\n"), [
    { header: "text", body: ["abc"] },
    { header: "none" },
  ]);
  // White space before a value is not a dropped value.
  const spaced = headed(lines(), () => jsonSequence());
  assertEquals(decodeInEverySplit(spaced, "a\n \n [1]b\n[2]"), [
    { header: "a", body: [1] },
    { header: "b", body: [2] },
  ]);
});

Deno.test("headed() does not decode the header again while it waits for a body", () => {
  const framing = headed(lines(), Number, { maxLength: Infinity });
  assertLinear((size) => {
    const stream = bytes(`${size}\n${"\n".repeat(size)}`);
    decodeInTinyChunks(framing, stream, 16, 1);
  }, 100_000);
});

Deno.test("headed() reads many messages of one chunk in linear time", () => {
  for (const framing of [counted, packets]) {
    assertLinear((size) => {
      const frame = framing === counted ? "V 2\r\nab\r\n" : "a\x02\r\n";
      const stream = bytes(frame.repeat(size));
      decodeInTinyChunks(framing, stream, stream.length, size);
    }, 2000);
  }
});

Deno.test("headed() passes the error of body to the decoder or the encoder that called it", () => {
  const framing = headed(lines(), (line) => {
    if (line !== "") {
      throw new FramingError(`No body for ${line}`);
    }
    return undefined;
  });
  assertEquals(decodeInEverySplit(framing, "\na\n\n"), [
    { header: "" },
    { code: "malformed", offset: undefined },
  ]);
  assertRefuses(framing, { header: "a" }, TypeError);
  assertEquals(encode(framing, { header: "" }), "\n");
});

Deno.test("headed() sends only a body that matches its header", () => {
  assertEquals(
    encode(counted, { header: "V 2", body: "é" }),
    "V 2\r\n\xc3\xa9\r\n",
  );
  assertRefuses(counted, { header: "V 2" }, TypeError);
  assertRefuses(counted, { header: "A", body: "" }, TypeError);
  assertRefuses(counted, { header: "V 2", body: "abc" }, RangeError);
  assertRefuses(counted, { header: "V x", body: "abc" }, RangeError);
  assertRefuses(counted, { header: "V 11", body: "01234567890" }, RangeError);
  assertRefuses(counted, { header: "A\n" }, TypeError);
  assertRefuses(marked, { header: "x", body: "a\0b" }, TypeError);
  assertEquals(
    encode(packets, { header: bytes("a"), body: "é" }),
    "a\x02\xc3\xa9",
  );
});

Deno.test("headed() has separate state for each stream and each body", () => {
  function numbered() {
    return {
      decoder: () => {
        let count = 0;
        const decoder = lines().decoder();
        return {
          decode(input: Parameters<typeof decoder.decode>[0], ended: boolean) {
            const line = decoder.decode(input, ended);
            return line === undefined ? undefined : `${++count}${line}`;
          },
        };
      },
      encoder: lines().encoder,
    };
  }
  const framing = headed(numbered(), () => numbered());
  for (let stream = 0; stream < 2; stream++) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes("a\nb\nc\n")), [
      { header: "1a", body: "1b" },
    ]);
    assertEquals(decoder.pending, true);
    assertEquals(decoder.decode(bytes("d\n")), [{ header: "2c", body: "1d" }]);
    assertEquals(decoder.pending, false);
  }
});

/** Bytes whose `slice()` is a view, like that of Node's Buffer. */
class Viewed extends Uint8Array<ArrayBuffer> {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, length } = this;
    return new Uint8Array(buffer, byteOffset, length).subarray(start, end);
  }
}

Deno.test("headed() copies its terminator", () => {
  const message = { header: Uint8Array.of(1), body: "a" };
  for (const terminator of [bytes(";"), Viewed.of(0x3b)]) {
    const framing = headed(fixedLength(1), () => 1, { terminator });
    terminator.fill(0);
    assertEquals(encode(framing, message), "\x01a;");
  }
});

Deno.test("headed() applies the body's limit after a header that takes no bytes at its end, in every split", () => {
  const words = assembled(lines({ maxLength: 3 }), () =>
    function* (line) {
      yield* line.split(" ");
    });
  const inner = headed(lines(), () => 0);
  const body = asText(delimited(";", { maxLength: 4 }));
  const after = "long;";
  const cases: [framing: Framing<unknown, never>, stream: string, Outcome][] = [
    [headed(inner, () => body), `a\n${after}`, [
      { header: { header: "a", body: new Uint8Array() }, body: "long" },
    ]],
    [
      headed(words, (word) => word === "b" ? body : undefined),
      `a b\n${after}`,
      [
        { header: "a" },
        { header: "b", body: "long" },
      ],
    ],
    [headed(inner, () => body), "a\nlonger;", [failure("too-long", 2)]],
    [grouped(inner, ({ header }) => header === "bcd"), "a\nbcd\n", [
      ["a", "bcd"].map((header) => ({ header, body: new Uint8Array() })),
    ]],
  ];
  for (const [framing, stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(framing, stream), outcome);
  }
});

Deno.test("headed() refuses invalid options", () => {
  assertThrows(() => headed(lines(), 5 as never), TypeError, "body");
  for (const maxLength of [0, -1, 1.5, NaN]) {
    assertThrows(() => headed(lines(), Number, { maxLength }), RangeError);
  }
  for (const value of [13, null, ["\r\n"]]) {
    const terminator = value as never;
    assertThrows(
      () => headed(lines(), Number, { terminator }),
      TypeError,
      `terminator must be a string or a Uint8Array: current value is ${
        JSON.stringify(value)
      }`,
    );
  }
});

/** Type-checked, not run: the return type of `body` says whether a body is required. */
function bodiesOf(): void {
  const always = new ChunkDecoder(packets).decode(new Uint8Array());
  const perhaps = new ChunkDecoder(counted).decode(new Uint8Array());
  const bodies: Uint8Array[] = always.map(({ body }) => body);
  // @ts-expect-error: there may be none
  const none: Uint8Array[] = perhaps.map(({ body }) => body);
  new ChunkEncoder(counted).encode({ header: "PING" });
  // @ts-expect-error: there must be one
  new ChunkEncoder(packets).encode({ header: new Uint8Array(1) });
  void [bodies, none];
}

/**
 * Type-checked, not run: bodies with their own framings have the limits of these
 * framings.
 */
function optionsOf(): void {
  const values = asJson(delimited("\n"));
  headed(lines(), Number, { maxLength: 5, terminator: "\n" });
  headed(lines(), () => values);
  // @ts-expect-error: it would be ignored
  headed(lines(), () => values, { maxLength: 5 });
  // @ts-expect-error: nor is there a terminator after some
  headed(lines(), (line) => line ? values : undefined, { terminator: "\n" });
}

void [bodiesOf, optionsOf];
