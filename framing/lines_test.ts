import { assert, assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { fixedLength } from "./fixed_length.ts";
import { InputBuffer } from "./input_buffer.ts";
import { lines, type LinesOptions } from "./lines.ts";
import {
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  bytesUntilError,
  chunksOf,
  decodeChunks,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  type Outcome,
  pick,
  randomLargeStream,
  randomText,
  rounds,
  seededRandom,
  utf8,
} from "./_testing.ts";

/**
 * The contract in its simplest form: the whole stream in one piece, cut at every
 * `"\n"`.
 */
function splitWhole(stream: string, rules: LinesOptions): Outcome {
  const {
    fatal = false,
    trailing = "emit",
    maxLength = 1_048_576,
    oversize = "error",
  } = rules;
  const parts = stream.split("\n");
  const outcome: Outcome = [];
  const discarded: number[] = [];
  let failed: unknown;
  let start = 0;
  for (const [index, part] of parts.entries()) {
    const remains = index === parts.length - 1;
    if (remains && part === "") break;
    const line = remains ? part : part.replace(/\r$/, "");
    const isTooLong = line.length > maxLength;
    // Until the end, a CR above the limit may have started the line end.
    const isTooLongBeforeEnd = isTooLong &&
      !(line.length === maxLength + 1 && line.endsWith("\r"));
    if (
      remains && trailing === "error" &&
      !(oversize === "error" && isTooLongBeforeEnd)
    ) {
      failed = failure("truncated", start);
      break;
    }
    if (isTooLong && oversize === "error") {
      failed = failure("too-long", start);
      break;
    }
    if (remains && trailing === "discard" && !isTooLong) break;
    if (isTooLong) {
      discarded.push(line.length);
    } else {
      try {
        outcome.push(
          new TextDecoder("utf-8", { fatal, ignoreBOM: true }).decode(
            bytes(line),
          ),
        );
      } catch {
        failed = failure("malformed", start);
        break;
      }
    }
    start += part.length + 1;
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) outcome.push(failed);
  return outcome;
}

Deno.test("lines() ends lines at LF and CR LF, and keeps a lone CR", () => {
  const cases: [stream: string, messages: string[]][] = [
    ["", []],
    ["\n", [""]],
    ["\r\n", [""]],
    ["\r", ["\r"]],
    ["a\nb\r\nc", ["a", "b", "c"]],
    ["a\rb\r\n", ["a\rb"]],
    ["a\r\r\nb", ["a\r", "b"]],
    ["a\n\rb\n", ["a", "\rb"]],
    ["a\r", ["a\r"]],
    ["\n\r\n\n", ["", "", ""]],
    ["a line, then\r\nanother\n\r\n", ["a line, then", "another", ""]],
  ];
  for (const [stream, messages] of cases) {
    assertEquals(decodeInEverySplit(lines(), stream), messages);
    assertEquals(splitWhole(stream, {}), messages);
  }
});

Deno.test("lines() decodes UTF-8 that is cut anywhere, and keeps a BOM", () => {
  const texts = [
    "grün",
    "→",
    "😀😀",
    "\ufeffbom",
    "a\ufeffb",
    "\u2028",
    "e\u0301",
  ];
  for (const text of texts) {
    for (const fatal of [false, true]) {
      assertEquals(
        decodeInEverySplit(lines({ fatal }), utf8(`${text}\n${text}`)),
        [text, text],
      );
    }
  }
});

Deno.test("lines() replaces bytes that are not UTF-8, or throws with fatal", () => {
  const cases: [stream: string, messages: string[], fatal: Outcome][] = [
    ["ok\n\xff\nx", ["ok", "\ufffd", "x"], ["ok", failure("malformed", 3)]],
    ["\xe2\x86\nx\n", ["\ufffd", "x"], [failure("malformed", 0)]],
    ["a\nb\nc\xc0", ["a", "b", "c\ufffd"], ["a", "b", failure("malformed", 4)]],
    // The bytes of one character, with a line end between them.
    ["\xe2\n\x86\x92\n", ["\ufffd", "\ufffd\ufffd"], [failure("malformed", 0)]],
  ];
  for (const [stream, messages, fatal] of cases) {
    assertEquals(decodeInEverySplit(lines(), stream), messages);
    assertEquals(decodeInEverySplit(lines({ fatal: true }), stream), fatal);
  }
});

Deno.test("lines() counts bytes up to maxLength, without the line end", () => {
  const cases: [rules: LinesOptions, stream: string, outcome: Outcome][] = [
    [{}, "abc\nabc\r\nabc", ["abc", "abc", "abc"]],
    [{}, "ab\r\r\n", ["ab\r"]],
    [{}, "abc\r\r\n", [failure("too-long", 0)]],
    [{}, "a\nabcd\n", ["a", failure("too-long", 2)]],
    [{}, "a\nabc\r", ["a", failure("too-long", 2)]],
    [{}, "a\r\nab\r", ["a", "ab\r"]],
    [{}, utf8("→\n"), ["→"]],
    [{}, utf8("→→\n"), [failure("too-long", 0)]],
    [{ trailing: "discard" }, "abc\ndef", ["abc"]],
    [{ trailing: "error" }, "abc\ndef", ["abc", failure("truncated", 4)]],
    [{ trailing: "error" }, "abc\r\n", ["abc"]],
    [{ trailing: "error" }, "\r", [failure("truncated", 0)]],
    [
      { oversize: "discard" },
      "abcdef\nab\nabcd\r\nx",
      ["ab", "x", { discarded: [6, 4] }],
    ],
    [{ oversize: "discard" }, "abc\r", [{ discarded: [4] }]],
    [{ oversize: "discard" }, "abc\rd\r\n", [{ discarded: [5] }]],
    [
      { oversize: "discard", fatal: true },
      "\xff\xff\xff\xff\nok\n",
      ["ok", { discarded: [4] }],
    ],
  ];
  for (const [rules, stream, outcome] of cases) {
    const options = { ...rules, maxLength: 3 };
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          lines({ ...options, onDiscard: rules.oversize && onDiscard }),
        stream,
      ),
      outcome,
    );
    assertEquals(splitWhole(stream, options), outcome);
  }
});

Deno.test("lines() gives the same lines as splitting the whole stream", () => {
  const random = seededRandom(11);
  for (let round = 0; round < rounds(1000); round++) {
    const oversize = pick(random, ["error", "discard"] as const);
    const rules: LinesOptions = {
      oversize,
      fatal: random(2) === 0,
      trailing: pick(random, ["emit", "error", "discard"] as const),
      maxLength: pick(random, [1, 2, 3, 6, Infinity]),
    };
    const stream = randomText(random, "ab\r\r\n\n\xe2\x86\x92\xff", 24);
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          lines({
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

Deno.test("lines() gives the same lines as splitting a large stream", () => {
  const random = seededRandom(37);
  for (let round = 0; round < 8; round++) {
    const rules = {
      oversize: "discard",
      maxLength: pick(random, [15, 64, 4095, 65_536]),
    } as const;
    const pieces = pick(random, [["x"], ["x", "\r"], ["x", utf8("→"), "\xff"]]);
    const ends = pick(random, [["\n"], ["\r\n"], ["\n", "\r\n", "\r\r\n"]]);
    const stream = randomLargeStream(random, pieces, ends);
    const expected = JSON.stringify(splitWhole(stream, rules));
    for (const length of [17, 1000, 4096, 65_536, stream.length]) {
      const outcome = decodeChunks(
        (onDiscard) => lines({ ...rules, onDiscard }),
        chunksOf(stream, length, random),
      );
      assert(
        JSON.stringify(outcome) === expected,
        `Wrong for ${JSON.stringify({ rules, pieces, ends, round, length })}`,
      );
    }
  }
});

Deno.test("lines() throws as soon as a line is too long", () => {
  const framing = lines({ maxLength: 3 });
  assertEquals(bytesUntilError(framing, "abcdefgh"), 4);
  assertEquals(bytesUntilError(framing, "abc\rdefg"), 5);
  assertEquals(bytesUntilError(framing, "x\r\nab\rdefg"), 7);
  assertEquals(bytesUntilError(lines({ fatal: true }), "\xff\n"), 2);
});

Deno.test("lines() names the limit in its error, and has the UTF-8 error as its cause", () => {
  const long = assertThrows(
    () => new ChunkDecoder(lines({ maxLength: 3 })).decode(bytes("abcd")),
    FramingError,
  );
  assertEquals([long.code, long.limit, long.offset], ["too-long", 3, 0]);
  const malformed = assertThrows(
    () => new ChunkDecoder(lines({ fatal: true })).decode(bytes("\xff\n")),
    FramingError,
  );
  assertEquals([malformed.code, malformed.offset], ["malformed", 0]);
});

Deno.test("lines() reports whether a line has begun to arrive", () => {
  const decoder = new ChunkDecoder(lines());
  const states = ["", "a", "\r", "\n", "b\nc", "\n"].map((chunk) => {
    decoder.decode(bytes(chunk));
    return decoder.pending;
  });
  assertEquals(states, [false, true, true, false, true, false]);
});

Deno.test("lines() writes each line with eol", () => {
  assertEquals(encode(lines(), "a"), "a\n");
  assertEquals(encode(lines({ eol: undefined }), ""), "\n");
  assertEquals(encode(lines({ eol: "\r\n" }), "→"), utf8("→\r\n"));
  assertEquals(encode(lines({ maxLength: 3 }), "→"), utf8("→\n"));
  assertEquals(encode(lines({ eol: "\r\n", maxLength: 2 }), "ab"), "ab\r\n");
  const texts = ["", "a", "a\rb", "\ra", "😀", "\ufeffa", " "];
  assertRoundTrip(lines(), texts);
  assertRoundTrip(lines({ eol: "\r\n" }), [...texts, "a\r", "\r"]);
});

Deno.test("lines() refuses to encode a line that would not be read back", () => {
  const cases: [
    options: LinesOptions,
    line: string,
    TypeErrorConstructor | RangeErrorConstructor,
  ][] = [
    [{}, "\n", TypeError],
    [{}, "a\nb", TypeError],
    [{}, "a\r\n", TypeError],
    [{}, "a\r", TypeError],
    [{}, "\r", TypeError],
    [{}, "\ud800", TypeError],
    [{ eol: "\r\n" }, "a\nb", TypeError],
    [{ maxLength: 3 }, "abcd", RangeError],
    [{ maxLength: 3 }, "→a", RangeError],
    [{ maxLength: 3, oversize: "discard" }, "abcd", RangeError],
    [{ maxLength: 3, eol: "\r\n" }, "abcd", RangeError],
  ];
  for (const [options, line, errorClass] of cases) {
    assertRefuses(lines(options), line, errorClass);
  }
  assertRefuses(lines(), bytes("a") as never, TypeError);
});

Deno.test("lines() refuses invalid options", () => {
  for (const maxLength of [0, -1, NaN, 1.5]) {
    assertThrows(() => lines({ maxLength }), RangeError);
  }
  for (
    const wrong of [{ eol: "\r" }, { trailing: "keep" }, { oversize: "cut" }]
  ) {
    assertThrows(() => lines(wrong as never), Error);
  }
});

Deno.test("lines() decodes many lines of one chunk", () => {
  const texts = Array.from({ length: 50_000 }, (_, index) => String(index % 7));
  for (const eol of ["\n", "\r\n"]) {
    const stream = bytes(texts.map((text) => text + eol).join(""));
    assertEquals(new ChunkDecoder(lines()).decode(stream), texts);
  }
});

Deno.test("lines() decodes long lines among short ones", () => {
  const texts = ["é".repeat(70_000), "x", "", "→".repeat(30_000)];
  const stream = bytes(utf8(texts.map((text) => text + "\r\n").join("")));
  for (const chunkLength of [999, 4096, 65_536, stream.length]) {
    const decoder = new ChunkDecoder(lines());
    const received: string[] = [];
    for (let start = 0; start < stream.length; start += chunkLength) {
      received.push(
        ...decoder.decode(stream.slice(start, start + chunkLength)),
      );
    }
    assertEquals(received.map((line, index) => line === texts[index]), [
      true,
      true,
      true,
      true,
    ]);
  }
});

Deno.test("lines() does work linear in the bytes of a huge line", () => {
  assertLinear((size) => {
    const stream = bytes("a\r".repeat(size / 2) + "\r\n");
    decodeInTinyChunks(lines({ maxLength: Infinity }), stream, 4, 1);
  }, 16_384);
});

Deno.test("lines() with strict ends lines only at eol", () => {
  const crlf = lines({ eol: "\r\n", strict: true });
  assertEquals(decodeInEverySplit(crlf, "a\r\n\r\nb\r\nc"), [
    "a",
    "",
    "b",
    "c",
  ]);
  const lf = lines({ strict: true });
  assertEquals(decodeInEverySplit(lf, "a\r\n\rb\nc\r\r\nd\r"), [
    "a\r",
    "\rb",
    "c\r\r",
    "d\r",
  ]);
});

Deno.test("lines() with strict CR LF refuses only a lone CR or LF", () => {
  const framing = lines({ eol: "\r\n", strict: true });
  const wrongs = ["b\nc", "b\n", "\nb", "b\rc", "b\r", "\rb", "\n.", "b\n\rc"];
  for (const wrong of wrongs) {
    assertEquals(decodeInEverySplit(framing, `a\r\n${wrong}\r\nd\r\n`), [
      "a",
      failure("malformed", 3),
    ]);
  }
  // Smuggled bytes are not a line, even if a line is dropped.
  const dropped: number[] = [];
  const discarding = lines({
    eol: "\r\n",
    strict: true,
    onMalformed: ({ offset = -1 }) => void dropped.push(offset),
  });
  const stream = "a\r\nx\n.\nRCPT TO:<b>\r\nc\r\n".repeat(30);
  const received = new ChunkDecoder(discarding).decode(bytes(stream));
  assertEquals(received, Array.from({ length: 30 }, () => ["a", "c"]).flat());
  assertEquals(dropped.length, 30);
  assertEquals(dropped.slice(0, 2), [3, 26]);
});

Deno.test("lines() with strict counts a line without its end", () => {
  const framing = lines({ eol: "\r\n", strict: true, maxLength: 3 });
  assertEquals(decodeInEverySplit(framing, "abc\r\nabcd\r\n"), [
    "abc",
    failure("too-long", 5),
  ]);
});

Deno.test("lines() with strict sends lines that strict reads back", () => {
  const crlf = lines({ eol: "\r\n", strict: true });
  for (const line of ["a\rb", "a\r", "\r", "a\nb", "\n", "a\r\nb"]) {
    assertRefuses(crlf, line, TypeError);
  }
  assertRoundTrip(crlf, ["", "a", "é"]);
  assertRoundTrip(lines({ strict: true }), ["a\r", "\r", "a\rb"]);
  assertRefuses(lines({ strict: true }), "a\nb", TypeError);
});

Deno.test('lines() with onMalformed "discard" drops lines that are not UTF-8, and continues', () => {
  const codes: string[] = [];
  const framing = lines({
    fatal: true,
    onMalformed: ({ code, offset }) => void codes.push(`${code} ${offset}`),
  });
  assertEquals(decodeInEverySplit(framing, "a\n\xff\nb\n\xc3\n"), ["a", "b"]);
  assertEquals([...new Set(codes)], ["malformed 2", "malformed 6"]);
  assertEquals(
    decodeInEverySplit(
      lines({ fatal: true, onMalformed: "discard" }),
      `${"a\n\xff\n".repeat(100)}\xef\xbf\xbd`,
      { splits: 50 },
    ).length,
    101,
  );
});

Deno.test("lines() gives each line between dropped ones once", () => {
  const framing = lines({
    fatal: true,
    maxLength: 4,
    oversize: "discard",
    onMalformed: "discard",
  });
  assertEquals(
    decodeInEverySplit(
      framing,
      "too long\n\xff\na\nb\nc\n\xff\nd\ne\ntoo long\nf\n",
    ),
    ["a", "b", "c", "d", "e", "f"],
  );
});

Deno.test('lines() throws "too-long" at the end of the stream too, for every trailing', () => {
  for (const trailing of ["emit", "error", "discard"] as const) {
    const input = new InputBuffer();
    input.append(bytes("abcd"));
    const decoder = lines({ trailing, maxLength: 3 }).decoder();
    const { code } = assertThrows(
      () => input.pull(decoder, true),
      FramingError,
    );
    assertEquals(code, "too-long");
  }
});

Deno.test("lines() refuses invalid onMalformed options", () => {
  for (const wrong of ["drop", null, true]) {
    assertThrows(() => lines({ onMalformed: wrong as never }), TypeError);
  }
  for (const wrong of ["yes", 1, null]) {
    assertThrows(() => lines({ strict: wrong as never }), TypeError);
  }
});

Deno.test("lines() leaves untaken bytes to another framing", () => {
  const input = new InputBuffer();
  const line = lines().decoder();
  const body = fixedLength(3).decoder();
  input.append(bytes("a\n\n\n\nb\nc\n".repeat(50)));
  for (let round = 0; round < 50; round++) {
    assertEquals(input.pull(line), "a");
    assertEquals(input.pull(body), bytes("\n\n\n"));
    assertEquals(input.pull(line), "b");
    assertEquals(input.pull(line), "c");
  }
  assertEquals(input.length, 0);
});

Deno.test("lines() does work linear in the lines, whichever call takes the bytes between them", () => {
  assertLinear((size) => {
    const input = new InputBuffer();
    input.append(bytes("x\n\xff\xff".repeat(size)));
    const line = lines().decoder();
    for (let count = 0; count < size; count++) {
      assertEquals(input.pull(line), "x");
      input.skip(2);
    }
  }, 8192);
});
