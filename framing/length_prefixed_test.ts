import { assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import {
  lengthPrefixed,
  type LengthPrefixedOptions,
} from "./length_prefixed.ts";
import {
  assertKeepsNoLargeBuffer,
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  bytesUntilError,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  type Outcome,
  pick,
  rounds,
  seededRandom,
  text,
} from "./_testing.ts";

const FIXED_FIELD_SIZES = [1, 2, 3, 4, 6, 8] as const;

/** The contract in its simplest form: one frame after another from the whole stream. */
function splitWhole(stream: string, rules: LengthPrefixedOptions): Outcome {
  const {
    fieldSize = 4,
    littleEndian = false,
    fieldOffset = 0,
    adjustment = 0,
    maxLength = 1_048_576,
    oversize = "error",
  } = rules;
  const outcome: Outcome = [];
  const discarded: number[] = [];
  let failed: unknown;
  for (let start = 0; start < stream.length && !failed;) {
    const rest = stream.slice(start);
    let field: string;
    let value = 0n;
    if (fieldSize === "varint") {
      const candidate = rest.slice(fieldOffset, fieldOffset + 10);
      const last = [...candidate].findIndex((digit) => digit < "\x80");
      if (last === -1) {
        const code = candidate.length < 10 ? "truncated" : "malformed";
        failed = failure(code, start);
        break;
      }
      field = candidate.slice(0, last + 1);
      [...field].forEach((digit, index) => {
        value |= BigInt(digit.charCodeAt(0) & 0x7f) << BigInt(7 * index);
      });
    } else {
      field = rest.slice(fieldOffset, fieldOffset + fieldSize);
      if (field.length < fieldSize) {
        failed = failure("truncated", start);
        break;
      }
      const digits = littleEndian ? [...field].reverse() : [...field];
      for (const digit of digits) {
        value = value * 256n + BigInt(digit.charCodeAt(0));
      }
    }
    const fieldEnd = fieldOffset + field.length;
    const { strip = fieldEnd } = rules;
    const body = value + BigInt(adjustment);
    const length = body + BigInt(fieldEnd - strip);
    if (body > BigInt(Number.MAX_SAFE_INTEGER)) {
      failed = failure("too-long", start);
    } else if (body < 0n || length < 0n) failed = failure("malformed", start);
    else if (length > maxLength && oversize === "error") {
      failed = failure("too-long", start);
    } else {
      const end = fieldEnd + Number(body);
      if (rest.length < end) failed = failure("truncated", start);
      else if (length > maxLength) discarded.push(Number(length));
      else outcome.push(rest.slice(strip, end));
      start += end;
    }
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) outcome.push(failed);
  return outcome;
}

Deno.test("lengthPrefixed() reads a big-endian 32-bit length by default", () => {
  assertEquals(
    decodeInEverySplit(lengthPrefixed(), "\0\0\0\x05hello\0\0\0\0\0\0\0\x01!"),
    ["hello", "", "!"],
  );
  assertEquals(decodeInEverySplit(lengthPrefixed(), ""), []);
});

Deno.test("lengthPrefixed() reads and writes each field size in both byte orders", () => {
  const message = "x".repeat(258);
  for (const fieldSize of FIXED_FIELD_SIZES.filter((size) => size > 1)) {
    for (const littleEndian of [false, true]) {
      const field = littleEndian
        ? "\x02\x01".padEnd(fieldSize, "\0")
        : "\x01\x02".padStart(fieldSize, "\0");
      const framing = lengthPrefixed({ fieldSize, littleEndian });
      assertEquals(encode(framing, message), field + message);
      assertEquals(
        decodeInEverySplit(framing, field + message + field + message, {
          splits: 50,
        }),
        [message, message],
      );
    }
  }
  assertEquals(encode(lengthPrefixed({ fieldSize: 1 }), "abc"), "\x03abc");
  assertEquals(
    decodeInEverySplit(lengthPrefixed({ fieldSize: 1 }), "\x03abc"),
    ["abc"],
  );
});

Deno.test("lengthPrefixed() reads every bit of the field", () => {
  const cases: [
    fieldSize: LengthPrefixedOptions["fieldSize"],
    field: string,
    length: number,
  ][] = [
    [1, "\xff", 255],
    [2, "\xff\xff", 65_535],
    [3, "\xff\xff\xff", 2 ** 24 - 1],
    [4, "\xff\xff\xff\xff", 2 ** 32 - 1],
    [4, "\x80\0\0\0", 2 ** 31],
    [6, "\xff\xff\xff\xff\xff\xff", 2 ** 48 - 1],
    [8, "\0\x1f\xff\xff\xff\xff\xff\xf7", 2 ** 53 - 9],
    [8, "\0\x01\x02\x03\x04\x05\x06\x07", 0x01020304050607],
    ["varint", "\xf7\xff\xff\xff\xff\xff\xff\x0f", 2 ** 53 - 9],
    ["varint", "\x80\x80\x80\x80\x08", 2 ** 31],
    ["varint", "\xff\xff\xff\xff\x0f", 2 ** 32 - 1],
  ];
  for (const [fieldSize, field, length] of cases) {
    for (
      const littleEndian of fieldSize === "varint" ? [false] : [false, true]
    ) {
      const stream = littleEndian ? [...field].reverse().join("") : field;
      const exact = lengthPrefixed({
        fieldSize,
        littleEndian,
        maxLength: length,
      });
      // Allowed, and waiting for its first byte.
      assertEquals(decodeInEverySplit(exact, stream), [
        failure("truncated", 0),
      ]);
      const less = lengthPrefixed({
        fieldSize,
        littleEndian,
        maxLength: length - 1,
      });
      assertEquals(decodeInEverySplit(less, stream), [failure("too-long", 0)]);
    }
  }
});

Deno.test("lengthPrefixed() refuses a length above the safe integers, whatever the limit", () => {
  const cases: [fieldSize: 8 | "varint", field: string][] = [
    [8, "\x80\0\0\0\0\0\0\0"],
    [8, "\xff\xff\xff\xff\xff\xff\xff\xff"],
    [8, "\0\x20\0\0\0\0\0\0"],
    [8, "\0\x20\0\0\0\0\0\x01"],
    ["varint", "\x80\x80\x80\x80\x80\x80\x80\x10"],
    ["varint", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"],
    ["varint", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
  ];
  for (const [fieldSize, field] of cases) {
    for (
      const limit of [
        {},
        { maxLength: Infinity },
        { oversize: "discard" },
        { oversize: "discard", maxLength: Infinity },
        { adjustment: -100, maxLength: Infinity },
      ] as const
    ) {
      const framing = lengthPrefixed({ fieldSize, ...limit });
      const ok = fieldSize === 8 ? "\0\0\0\0\0\0\0\x69" : "\x69";
      const body = "x".repeat("adjustment" in limit ? 5 : 105);
      assertEquals(
        decodeInEverySplit(framing, ok + body + field + "abc", { splits: 50 }),
        [body, failure("too-long", ok.length + body.length)],
      );
    }
  }
  const counted = lengthPrefixed({
    fieldSize: 8,
    adjustment: 1,
    maxLength: Infinity,
  });
  assertEquals(
    decodeInEverySplit(counted, "\0\x1f\xff\xff\xff\xff\xff\xff", {
      splits: 50,
    }),
    [failure("too-long", 0)],
  );
});

Deno.test("lengthPrefixed() reads varints of up to ten bytes, also padded ones", () => {
  const framing = lengthPrefixed({ fieldSize: "varint" });
  const cases: [stream: string, outcome: Outcome][] = [
    ["\0\x01a", ["", "a"]],
    ["\x81\0a", ["a"]],
    ["\x82\x80\x80\0ab", ["ab"]],
    ["\x81\x80\x80\x80\x80\x80\x80\x80\x80\0a", ["a"]],
    ["\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\x01b", ["", "b"]],
    ["\x01a" + "\x80".repeat(10) + "\0", ["a", failure("malformed", 2)]],
    ["\x81" + "\x80".repeat(9), [failure("malformed", 0)]],
    ["\x81" + "\x80".repeat(8), [failure("truncated", 0)]],
    ["\x80\x01" + "x".repeat(128), ["x".repeat(128)]],
    ["\xac\x02" + "x".repeat(300), ["x".repeat(300)]],
  ];
  for (const [stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(framing, stream, { splits: 100 }), outcome);
    assertEquals(splitWhole(stream, { fieldSize: "varint" }), outcome);
  }
  for (
    const [length, field] of [[0, "\0"], [127, "\x7f"], [128, "\x80\x01"], [
      16_383,
      "\xff\x7f",
    ], [16_384, "\x80\x80\x01"]] as const
  ) {
    assertEquals(
      encode(framing, "x".repeat(length)),
      field + "x".repeat(length),
    );
  }
});

Deno.test("lengthPrefixed() finds the field, the body and the message by its options", () => {
  const cases: [
    rules: LengthPrefixedOptions,
    stream: string,
    outcome: Outcome,
  ][] = [
    // The length counts itself.
    [{ adjustment: -4 }, "\0\0\0\x07abc\0\0\0\x04", ["abc", ""]],
    [{ adjustment: -4 }, "\0\0\0\x03", [failure("malformed", 0)]],
    [{ fieldSize: 1, adjustment: -1 }, "\x02a\0x", [
      "a",
      failure("malformed", 2),
    ]],
    // The length leaves out two bytes, such as a checksum.
    [{ fieldSize: 2, adjustment: 2 }, "\0\x03abccs", ["abccs"]],
    // A type before the length; the body only, the length and on, or all of it.
    [{ fieldSize: 1, fieldOffset: 1 }, "T\x02abU\x01c", ["ab", "c"]],
    [{ fieldSize: 1, fieldOffset: 1, strip: 1 }, "T\x02ab", ["\x02ab"]],
    [{ fieldSize: 1, fieldOffset: 1, strip: 0 }, "T\x02abU\0", [
      "T\x02ab",
      "U\0",
    ]],
    [{ fieldSize: 1, strip: 0 }, "\x02ab\0", ["\x02ab", "\0"]],
    // Header bytes after the field, not counted by it.
    [{ fieldSize: 1, adjustment: 2, strip: 3 }, "\x01HHa\0HH", ["a", ""]],
    // Header bytes after the field, counted by it.
    [{ fieldSize: 1, strip: 3 }, "\x03HHa\x02HH", ["a", ""]],
    [{ fieldSize: 1, strip: 3 }, "\x03HHa\x01H", [
      "a",
      failure("malformed", 4),
    ]],
    [{ fieldSize: 1, fieldOffset: 2, adjustment: -3 }, "HH\x05ab", ["ab"]],
    [{ fieldSize: 1, fieldOffset: 2, adjustment: -3 }, "HH\x02", [
      failure("malformed", 0),
    ]],
    [{ fieldSize: "varint", fieldOffset: 1 }, "T\x82\0ab", ["ab"]],
    [{ fieldSize: "varint", fieldOffset: 1, strip: 0 }, "T\x82\0ab", [
      "T\x82\0ab",
    ]],
    [{ fieldSize: "varint", strip: 1 }, "\x82\0abc\0", [
      "\0ab",
      failure("truncated", 4),
    ]],
    [{ fieldSize: "varint", strip: 2 }, "\x82\0ab\x01a\0", [
      "ab",
      "",
      failure("malformed", 6),
    ]],
    [{ fieldSize: "varint", adjustment: -1 }, "\x02a\0", [
      "a",
      failure("malformed", 2),
    ]],
  ];
  for (const [rules, stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(lengthPrefixed(rules), stream), outcome);
    assertEquals(splitWhole(stream, rules), outcome);
  }
});

Deno.test("lengthPrefixed() carries Modbus TCP's header", () => {
  // Transaction, protocol, length of what follows, unit; then the request.
  const modbus = lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0 });
  const request = "\0\x01\0\0\0\x06\x11\x03\0\x6b\0\x03";
  const response = "\0\x01\0\0\0\x09\x11\x03\x06\xae\x41\x56\x52\x43\x40";
  assertEquals(decodeInEverySplit(modbus, request + response), [
    request,
    response,
  ]);
  const unfilled = request.slice(0, 4) + "\0\0" + request.slice(6);
  assertEquals(encode(modbus, bytes(unfilled)), request);
  assertEquals(encode(modbus, bytes(request)), request);
});

Deno.test('lengthPrefixed() throws "truncated" inside a header or a body', () => {
  const stream = "\0\0\0\x02ab\0\0\0\x01c";
  for (let length = 0; length <= stream.length; length++) {
    const outcome: Outcome = length < 6
      ? []
      : length < 11
      ? ["ab"]
      : ["ab", "c"];
    const whole = [0, 6, 11].includes(length);
    assertEquals(
      decodeInEverySplit(lengthPrefixed(), stream.slice(0, length), {
        splits: 20,
      }),
      whole ? outcome : [...outcome, failure("truncated", length < 6 ? 0 : 6)],
    );
  }
});

Deno.test("lengthPrefixed() counts the message as received up to maxLength", () => {
  const cases: [
    rules: LengthPrefixedOptions,
    stream: string,
    outcome: Outcome,
  ][] = [
    [{}, "\x05abcde\x04abcd", ["abcde", "abcd"]],
    [{}, "\x01a\x06", ["a", failure("too-long", 2)]],
    [{ adjustment: 1 }, "\x04abcde", ["abcde"]],
    [{ adjustment: 1 }, "\x05", [failure("too-long", 0)]],
    [{ adjustment: -1 }, "\x06abcde", ["abcde"]],
    [{ adjustment: -1 }, "\x07", [failure("too-long", 0)]],
    [{ strip: 0 }, "\x04abcd", ["\x04abcd"]],
    [{ strip: 0 }, "\x05", [failure("too-long", 0)]],
    [{ strip: 3 }, "\x07HHabcde", ["abcde"]],
    [{ strip: 3 }, "\x08", [failure("too-long", 0)]],
    [{ oversize: "discard" }, "\x06abcdef\x01a", ["a", { discarded: [6] }]],
    [{ oversize: "discard", strip: 0 }, "\x05abcde\x01a", ["\x01a", {
      discarded: [6],
    }]],
    [{ oversize: "discard", strip: 3 }, "\x08HHabcdef\x02HH", ["", {
      discarded: [6],
    }]],
    [{ oversize: "discard" }, "\x01a\x09abc", ["a", failure("truncated", 2)]],
    [{ oversize: "discard", adjustment: -2 }, "\x01", [
      failure("malformed", 0),
    ]],
  ];
  for (const [rules, stream, outcome] of cases) {
    const options = { fieldSize: 1, maxLength: 5, ...rules } as const;
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          lengthPrefixed({
            ...options,
            onDiscard: rules.oversize && onDiscard,
          }),
        stream,
      ),
      outcome,
    );
    assertEquals(splitWhole(stream, options), outcome);
  }
});

Deno.test("lengthPrefixed() gives the same messages as reading the whole stream", () => {
  const random = seededRandom(13);
  for (let round = 0; round < rounds(2000); round++) {
    const oversize = pick(random, ["error", "discard"] as const);
    const fieldSize = pick(random, [...FIXED_FIELD_SIZES, "varint"] as const);
    const rules: LengthPrefixedOptions = {
      oversize,
      fieldSize,
      littleEndian: fieldSize !== "varint" && random(2) === 0,
      fieldOffset: random(4),
      adjustment: random(9) - 4,
      maxLength: pick(random, [1, 3, 6, 9, Infinity]),
      ...(random(2) === 0 && { strip: random(10) }),
    };
    let stream = "";
    for (let frames = random(5); frames > 0; frames--) {
      const length = random(9);
      let field: string;
      if (fieldSize === "varint") {
        const padding = random(3);
        field = String.fromCharCode(padding ? length | 0x80 : length) +
          "\x80\x80".slice(0, Math.max(padding - 1, 0)) + (padding ? "\0" : "");
      } else {
        field = rules.littleEndian
          ? String.fromCharCode(length).padEnd(fieldSize, "\0")
          : String.fromCharCode(length).padStart(fieldSize, "\0");
      }
      stream += "H".repeat(rules.fieldOffset ?? 0) + field +
        "abcdefghijklm".slice(0, Math.max(0, length + (rules.adjustment ?? 0)));
    }
    stream = stream.slice(0, stream.length - pick(random, [0, 0, 1, 3]));
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          lengthPrefixed({
            ...rules,
            onDiscard: oversize === "discard" ? onDiscard : undefined,
          }),
        stream,
        { splits: 8, seed: round },
      ),
      splitWhole(stream, rules),
      `Wrong for ${JSON.stringify({ rules, stream, round })}`,
    );
  }
});

Deno.test("lengthPrefixed() throws at the length field, before any body", () => {
  const cases: [rules: LengthPrefixedOptions, stream: string, count: number][] =
    [
      [{ maxLength: 2 }, "\0\0\0\x03abc", 4],
      [{ maxLength: 2, fieldSize: "varint" }, "\x83\0abc", 2],
      [{ maxLength: 2, fieldSize: 1, fieldOffset: 2 }, "HH\x03abc", 3],
      [{ adjustment: -4 }, "\0\0\0\x03abc", 4],
      [{ fieldSize: "varint" }, "\x80".repeat(20), 10],
    ];
  for (const [rules, stream, count] of cases) {
    assertEquals(bytesUntilError(lengthPrefixed(rules), stream), count);
  }
});

Deno.test("lengthPrefixed() names the limit and the offset in an error, after the messages before it", () => {
  const decoder = new ChunkDecoder(
    lengthPrefixed({ fieldSize: 1, maxLength: 3 }),
  );
  assertEquals(decoder.decode(bytes("\x01a\x02bc\x04defg")).map(text), [
    "a",
    "bc",
  ]);
  const error = assertThrows(() => decoder.end(), FramingError);
  assertEquals([error.code, error.limit, error.offset], ["too-long", 3, 5]);
});

Deno.test("lengthPrefixed() calls onDiscard after a discarded message", () => {
  const discarded: number[] = [];
  const decoder = new ChunkDecoder(lengthPrefixed({
    fieldSize: 1,
    maxLength: 2,
    oversize: "discard",
    onDiscard: (byteLength) => discarded.push(byteLength),
  }));
  const reports = ["\x03", "ab", "c\x01d", "\x04abcd\x04", "abcd"].map(
    (chunk) => {
      decoder.decode(bytes(chunk));
      return discarded.length;
    },
  );
  assertEquals(reports, [0, 0, 1, 2, 3]);
  assertEquals(decoder.end(), []);
});

Deno.test("lengthPrefixed() reports whether a message has begun to arrive", () => {
  const decoder = new ChunkDecoder(lengthPrefixed({ fieldSize: 2 }));
  const states = ["", "\0", "\x01", "a", "\0\x01a\0\x01", "b", "\0\0"].map(
    (chunk) => {
      decoder.decode(bytes(chunk));
      return decoder.pending;
    },
  );
  assertEquals(states, [false, true, true, false, true, false, false]);
});

Deno.test("lengthPrefixed() limits messages to 1 MiB by default", () => {
  const exact = new ChunkDecoder(lengthPrefixed());
  exact.decode(bytes("\0\x10\0\0"));
  assertEquals(
    exact.decode(new Uint8Array(1_048_576)).map(({ length }) => length),
    [1_048_576],
  );
  assertThrows(
    () => new ChunkDecoder(lengthPrefixed()).decode(bytes("\0\x10\0\x01")),
    FramingError,
  );
});

Deno.test("lengthPrefixed() encodes what it decodes", () => {
  const messages = ["", "a", "hello", "x".repeat(200)];
  for (const fieldSize of [...FIXED_FIELD_SIZES, "varint"] as const) {
    for (
      const littleEndian of fieldSize === "varint" ? [false] : [false, true]
    ) {
      for (const adjustment of [0, -1, -4]) {
        assertRoundTrip(
          lengthPrefixed({ fieldSize, littleEndian, adjustment }),
          messages,
        );
        assertRoundTrip(
          lengthPrefixed({ fieldSize, littleEndian, adjustment }),
          messages.map(bytes),
        );
      }
    }
  }
  assertRoundTrip(lengthPrefixed({ adjustment: 3 }), ["abc", "abcd"]);
  for (const fieldSize of [8, "varint"] as const) {
    const adjustment = 3 - Number.MAX_SAFE_INTEGER;
    assertRoundTrip(
      lengthPrefixed({ fieldSize, adjustment }),
      ["", "a", "ab", "abc"],
    );
  }
  assertRoundTrip(lengthPrefixed({ fieldSize: 1, strip: 1 }), messages);
  assertEquals(
    encode(lengthPrefixed({ adjustment: -4 }), "abc"),
    "\0\0\0\x07abc",
  );
  assertEquals(
    encode(lengthPrefixed({ fieldSize: 1 }), "→"),
    "\x03\xe2\x86\x92",
  );
  // A varint is written with the fewest bytes, whatever the message had in its place.
  const varint = { fieldSize: "varint", fieldOffset: 1, strip: 0 } as const;
  assertEquals(encode(lengthPrefixed(varint), bytes("T\x80\0ab")), "T\x02ab");
  assertEquals(encode(lengthPrefixed(varint), bytes("T\x82\0ab")), "T\x02ab");
  assertEquals(encode(lengthPrefixed(varint), "T\0ab"), "T\x02ab");
  const long = "x".repeat(200);
  assertEquals(
    encode(lengthPrefixed(varint), `T\0${long}`),
    `T\xc8\x01${long}`,
  );
  // A field with another length is invalid, or belongs to another frame.
  assertRefuses(lengthPrefixed(varint), bytes("0\xc8abc"), TypeError);
  const amqp = lengthPrefixed({ fieldOffset: 3, fieldSize: 4, strip: 0 });
  assertRefuses(amqp, bytes("AMQP\0\0\x09\x01"), TypeError);
  const whole = lengthPrefixed({
    fieldSize: 2,
    fieldOffset: 1,
    adjustment: -3,
    strip: 0,
  });
  assertEquals(encode(whole, "H\0\0abc"), "H\0\x06abc");
  assertEquals(decodeInEverySplit(whole, "H\0\x06abcI\0\x03"), [
    "H\0\x06abc",
    "I\0\x03",
  ]);
});

Deno.test("lengthPrefixed() measures text in UTF-8", () => {
  for (const fieldSize of [...FIXED_FIELD_SIZES, "varint"] as const) {
    const framing = lengthPrefixed({ fieldSize, maxLength: 250 });
    for (const message of ["", "a", "grün →", "→".repeat(50)]) {
      assertEquals(
        encode(framing, message),
        encode(framing, new TextEncoder().encode(message)),
      );
    }
    assertThrows(
      () => encode(framing, "→".repeat(84)),
      RangeError,
      "longer than maxLength",
    );
  }
});

Deno.test("lengthPrefixed() refuses to encode a message that would not be read back", () => {
  const cases: [
    rules: LengthPrefixedOptions,
    message: string,
    errorClass: TypeErrorConstructor | RangeErrorConstructor,
  ][] = [
    [{ maxLength: 3 }, "abcd", RangeError],
    [{ maxLength: 3 }, "→a", RangeError],
    [{ maxLength: 3, oversize: "discard" }, "abcd", RangeError],
    [{ maxLength: 3, strip: 0, fieldSize: 1 }, "\0abc", RangeError],
    [{ fieldSize: 1 }, "x".repeat(256), RangeError],
    [{ fieldSize: 1, adjustment: -1 }, "x".repeat(255), RangeError],
    [{ fieldSize: 2 }, "x".repeat(65_536), RangeError],
    [{ fieldSize: 1, strip: 0 }, "x".repeat(257), RangeError],
    // The field would need a value below 0.
    [{ adjustment: 3 }, "ab", RangeError],
    // It would need a value above the safe integers.
    [
      { fieldSize: 8, adjustment: -Number.MAX_SAFE_INTEGER },
      "a",
      RangeError,
    ],
    [
      { fieldSize: "varint", adjustment: -Number.MAX_SAFE_INTEGER },
      "a",
      RangeError,
    ],
    [
      { fieldSize: 8, adjustment: -Number.MAX_SAFE_INTEGER, strip: 0 },
      "01234567a",
      RangeError,
    ],
    // Shorter than its own header.
    [{ strip: 0 }, "abc", RangeError],
    // Header bytes that the encoder cannot know.
    [{ fieldOffset: 1 }, "a", TypeError],
    [{ fieldOffset: 2, strip: 1 }, "a", TypeError],
    [{ fieldSize: 1, strip: 3 }, "a", TypeError],
    [{ fieldSize: 4, strip: 2 }, "abcd", TypeError],
    [{ fieldSize: "varint", fieldOffset: 1 }, "a", TypeError],
  ];
  for (const [rules, message, errorClass] of cases) {
    assertRefuses(lengthPrefixed(rules), message, errorClass);
    assertRefuses(
      lengthPrefixed(rules),
      bytes(text(new TextEncoder().encode(message))),
      errorClass,
    );
  }
  const longest = lengthPrefixed({ fieldSize: 1, adjustment: 1 });
  assertEquals(encode(longest, "x".repeat(256)).length, 257);
  assertRefuses(longest, "x".repeat(257), RangeError);
  const widest = lengthPrefixed({ fieldSize: 3, maxLength: Infinity });
  const encoder = new ChunkEncoder(widest);
  assertEquals(encoder.encode(new Uint8Array(2 ** 24 - 1)).length, 2 ** 24 + 2);
  assertThrows(() => encoder.encode(new Uint8Array(2 ** 24)), RangeError);
});

Deno.test("lengthPrefixed() refuses invalid options", () => {
  for (const maxLength of [0, -1, NaN, 1.5]) {
    assertThrows(() => lengthPrefixed({ maxLength }), RangeError);
  }
  for (const fieldOffset of [-1, NaN, 1.5, Infinity]) {
    assertThrows(() => lengthPrefixed({ fieldOffset }), RangeError);
  }
  for (const strip of [-1, NaN, 1.5, Infinity]) {
    assertThrows(() => lengthPrefixed({ strip }), RangeError);
  }
  for (const adjustment of [NaN, 1.5, Infinity, -Infinity]) {
    assertThrows(() => lengthPrefixed({ adjustment }), RangeError);
  }
  for (
    const wrong of [
      { fieldSize: 9 },
      { fieldSize: 0 },
      { fieldSize: "varuint" },
      { oversize: "cut" },
      // A varint has one byte order.
      { fieldSize: "varint", littleEndian: true },
    ]
  ) {
    assertThrows(() => lengthPrefixed(wrong as never), Error);
  }
});

Deno.test("lengthPrefixed() keeps no large buffer alive for a small message", () => {
  const message = "x".repeat(100);
  assertKeepsNoLargeBuffer(lengthPrefixed(), bytes("\0\0\0\x64" + message));
  assertKeepsNoLargeBuffer(
    lengthPrefixed({ strip: 0 }),
    bytes("\0\0\0\x64" + message),
  );
});

Deno.test("lengthPrefixed() does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    const framing = lengthPrefixed({ maxLength: Infinity });
    const stream = new Uint8Array(size + 4);
    new DataView(stream.buffer).setUint32(0, size);
    decodeInTinyChunks(framing, stream, 4, 1);
  }, 32_768);
});

Deno.test("lengthPrefixed() reserves no memory for a body that has not arrived", () => {
  const before = Deno.memoryUsage();
  const decoders = Array.from({ length: 100 }, () => {
    const decoder = new ChunkDecoder(lengthPrefixed({ maxLength: 2 ** 31 }));
    decoder.decode(bytes("\x40\0\0\0x"));
    return decoder;
  });
  const after = Deno.memoryUsage();
  // 100 times the announced gibibyte, compared with a few bytes.
  assertEquals(after.external - before.external < 100 * 2 ** 20, true);
  for (const decoder of decoders) {
    assertThrows(() => decoder.end(), FramingError);
  }
});

Deno.test("lengthPrefixed() reads and writes lengths in text", () => {
  const decimal = lengthPrefixed({ fieldSize: 4, fieldFormat: "decimal" });
  assertEquals(decodeInEverySplit(decimal, "0002hi00000012twelve bytes0"), [
    "hi",
    "",
    "twelve bytes",
    failure("truncated", 26),
  ]);
  assertEquals(encode(decimal, "hi"), "0002hi");
  assertRoundTrip(decimal, [bytes("a"), bytes(""), new Uint8Array(1234)]);
  const hex = lengthPrefixed({
    fieldSize: 4,
    fieldFormat: "hex",
    adjustment: -4,
  });
  assertEquals(
    decodeInEverySplit(hex, "0006a\n0004001Eabcdefghijklmnopqrstuvwxyz"),
    ["a\n", "", "abcdefghijklmnopqrstuvwxyz"],
  );
  assertEquals(encode(hex, "a".repeat(27)), "001f" + "a".repeat(27));
  const kept = lengthPrefixed({
    fieldSize: 2,
    fieldFormat: "decimal",
    fieldOffset: 1,
    strip: 0,
  });
  assertEquals(encode(kept, "x00ab"), "x02ab");
  assertRefuses(kept, "x\0\0ab", TypeError);
  assertEquals(decodeInEverySplit(kept, "x02abx00"), ["x02ab", "x00"]);
});

Deno.test("lengthPrefixed() refuses text that is not a length", () => {
  const fields = ["12a4", " 123", "-001", "+001", "1.50", "0x10", "\0\0\0\x01"];
  for (const field of fields) {
    assertEquals(
      decodeInEverySplit(
        lengthPrefixed({ fieldSize: 4, fieldFormat: "decimal" }),
        `0001a${field}bcdef`,
      ),
      ["a", failure("malformed", 5)],
      field,
    );
  }
  const hex = lengthPrefixed({ fieldSize: 2, fieldFormat: "hex" });
  for (const field of ["0g", "G0", "0`", "0@", " 1"]) {
    assertEquals(decodeInEverySplit(hex, `${field}abc`), [
      failure("malformed", 0),
    ]);
  }
});

Deno.test("lengthPrefixed() refuses messages too long for a text field", () => {
  const framing = lengthPrefixed({ fieldSize: 2, fieldFormat: "decimal" });
  assertEquals(encode(framing, "x".repeat(99)), "99" + "x".repeat(99));
  assertRefuses(framing, "x".repeat(100), RangeError);
});

Deno.test("lengthPrefixed() allows varints of maxFieldBytes, padded or not", () => {
  const framing = lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 2 });
  assertEquals(decodeInEverySplit(framing, "\x01a\x81\0b\x80\0\x80\x80\0"), [
    "a",
    "b",
    "",
    failure("malformed", 7),
  ]);
  assertEquals(encode(framing, "a"), "\x01a");
  assertEquals(encode(framing, "x".repeat(16_383)).slice(0, 2), "\xff\x7f");
  assertRefuses(framing, "x".repeat(16_384), RangeError);
  // At the second byte.
  assertEquals(bytesUntilError(framing, "\x80\x80\0"), 2);
});

Deno.test("lengthPrefixed() refuses invalid options for its field", () => {
  const text = { fieldFormat: "decimal" } as const;
  for (
    const [options, errorClass] of [
      [{ fieldFormat: "octal" }, TypeError],
      [{ ...text, littleEndian: true }, TypeError],
      [{ ...text, fieldSize: "varint" }, TypeError],
      [{ maxFieldBytes: 4 }, TypeError],
      [{ fieldSize: "varint", maxFieldBytes: 0 }, RangeError],
      [{ fieldSize: "varint", maxFieldBytes: 11 }, RangeError],
      [{ fieldSize: "varint", maxFieldBytes: 1.5 }, RangeError],
    ] as const
  ) {
    assertThrows(() => lengthPrefixed(options as never), errorClass);
  }
});
