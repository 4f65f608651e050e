import { assert, assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { FramingError } from "./framing_error.ts";
import { OutputBuffer } from "./output_buffer.ts";
import {
  assertKeepsNoLargeBuffer,
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  assertTimes,
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
  text,
  utf8,
} from "./_testing.ts";

interface Rules {
  disposition?: "discard" | "suffix" | "prefix";
  trailing?: "emit" | "error" | "discard";
  maxLength?: number;
  oversize?: "error" | "discard";
}

/** The integers from `first` to `last`. */
function rangeOf(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/**
 * The contract in its simplest form: the whole stream in one piece, cut at every
 * delimiter.
 */
function splitWhole(
  stream: string,
  delimiters: string[],
  rules: Rules,
): Outcome {
  const {
    disposition = "discard",
    trailing = "emit",
    maxLength = 1_048_576,
    oversize = "error",
  } = rules;
  const longestFirst = delimiters.toSorted((a, b) => b.length - a.length);
  let last = { start: 0, delimiter: "", content: "" };
  const pieces = [last];
  for (let at = 0; at < stream.length;) {
    const delimiter = longestFirst.find((it) => stream.startsWith(it, at));
    if (delimiter === undefined) {
      last.content += stream[at++];
    } else if (disposition === "prefix") {
      pieces.push(last = { start: at, delimiter, content: "" });
      at += delimiter.length;
    } else {
      last.delimiter = delimiter;
      at += delimiter.length;
      pieces.push(last = { start: at, delimiter: "", content: "" });
    }
  }
  const outcome: Outcome = [];
  const discarded: number[] = [];
  let failed: unknown;
  for (const [index, { start, delimiter, content }] of pieces.entries()) {
    if (delimiter === "" && content === "") continue;
    const remains = disposition !== "prefix" && index === pieces.length - 1;
    const isTooLong = content.length > maxLength;
    // Until the end, the first byte above the limit may have started a delimiter.
    const isTooLongBeforeEnd = isTooLong &&
      !rangeOf(start, start + maxLength).some((at) =>
        delimiters.some((it) => it.startsWith(stream.slice(at)))
      );
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
    if (isTooLong) discarded.push(content.length);
    else if (remains && trailing === "discard") continue;
    else if (disposition === "prefix") outcome.push(delimiter + content);
    else if (disposition === "suffix") outcome.push(content + delimiter);
    else outcome.push(content);
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) outcome.push(failed);
  return outcome;
}

Deno.test("delimited() finds all delimiters in every split", () => {
  const cases: [delimiters: string[], stream: string, messages: string[]][] = [
    [["\n"], "", []],
    [["\n"], "\n", [""]],
    [["\n"], "a\nb\n", ["a", "b"]],
    [["\n"], "\n\na", ["", "", "a"]],
    [["\n"], "one\ntwo\nthree\n\nfive", ["one", "two", "three", "", "five"]],
    [["\0"], "a\0\xff\0", ["a", "\xff"]],
    [["abc"], "xabcy", ["x", "y"]],
    [["\r\n"], "a\r\nb\rc\nd\r\n", ["a", "b\rc\nd"]],
    [["\r\n"], "a\r\r\nb\r", ["a\r", "b\r"]],
    [["\r\n\r\n"], "a\r\n\r\r\n\r\nb", ["a\r\n\r", "b"]],
    [["aa"], "aaa", ["", "a"]],
    [["aa"], "xaaaay", ["x", "", "y"]],
    [["aab"], "aaaab", ["aa"]],
    [["aba"], "ababa", ["", "ba"]],
    [["abab"], "abaababab", ["aba", "ab"]],
    [["\r", "\n", "\r\n"], "a\rb\nc\r\nd\n\re", ["a", "b", "c", "d", "", "e"]],
    [["\r", "\r\n"], "a\r", ["a"]],
    [["\r", "\r\n"], "a\r\r\n\nb", ["a", "", "\nb"]],
    [["abcd", "bc"], "abcx", ["a", "x"]],
    [["abcd", "bc"], "abcd", [""]],
    [["abcd", "bc"], "xabc", ["xa"]],
    [["abcd", "bc"], "xab", ["xab"]],
    [["a", "aaab"], "aaab", [""]],
    [["a", "aaab"], "aaac", ["", "", "", "c"]],
    [["abcde", "bcdx", "cd"], "abcdy", ["ab", "y"]],
    [["abcde", "bcdx", "cd"], "abcdxy", ["a", "y"]],
    [["abcde", "bcdx", "cd"], "abcd", ["ab"]],
    [["abcde", "bc", "bcd"], "abcdx", ["a", "x"]],
    [["abcde", "bcd", "bc"], "abcx", ["a", "x"]],
    [["abcde", "bcd", "bc"], "abcd", ["a"]],
  ];
  for (const [delimiters, stream, messages] of cases) {
    const framing = delimited(delimiters.map(bytes));
    assertEquals(decodeInEverySplit(framing, stream), messages);
    assertEquals(splitWhole(stream, delimiters, {}), messages);
  }
});

Deno.test("delimited() takes one delimiter or several, as strings or bytes", () => {
  const cases: [framing: ReturnType<typeof delimited>, stream: string][] = [
    [delimited("→"), "a\xe2\x86\x92b"],
    [delimited(bytes("\xff\xfe")), "a\xff\xfeb"],
    [delimited(["→", bytes("\xff")]), "a\xffb"],
    [delimited([bytes("\xff"), "→"]), "a\xe2\x86\x92b"],
  ];
  for (const [framing, stream] of cases) {
    assertEquals(decodeInEverySplit(framing, stream), ["a", "b"]);
  }
});

/** Bytes whose `slice()` is a view, like that of Node's Buffer. */
class Viewed extends Uint8Array<ArrayBuffer> {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, length } = this;
    return new Uint8Array(buffer, byteOffset, length).subarray(start, end);
  }
}

Deno.test("delimited() copies its delimiter", () => {
  for (const delimiter of [bytes(","), Viewed.of(0x2c)]) {
    const framing = delimited(delimiter);
    delimiter[0] = 0;
    assertEquals(decodeInEverySplit(framing, "a,b"), ["a", "b"]);
    assertEquals(encode(framing, "a"), "a,");
  }
});

Deno.test("delimited() applies the disposition of the delimiter", () => {
  const cases: [rules: Rules, stream: string, outcome: Outcome][] = [
    [{ disposition: "discard" }, ",a,,b", ["", "a", "", "b"]],
    [{ disposition: "suffix" }, ",a,,b", [",", "a,", ",", "b"]],
    [{ disposition: "suffix" }, "a,b,", ["a,", "b,"]],
    [{ disposition: "prefix" }, "", []],
    [{ disposition: "prefix" }, "a", ["a"]],
    [{ disposition: "prefix" }, ",", [","]],
    [{ disposition: "prefix" }, "a,b", ["a", ",b"]],
    [{ disposition: "prefix" }, ",a,", [",a", ","]],
    [{ disposition: "prefix" }, ",,b", [",", ",b"]],
    [{ disposition: "prefix", trailing: "emit" }, ",a", [",a"]],
  ];
  for (const [rules, stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(delimited(",", rules), stream), outcome);
    assertEquals(splitWhole(stream, [","], rules), outcome);
  }
});

Deno.test("delimited() applies trailing to the bytes after the last delimiter", () => {
  const cases: [rules: Rules, stream: string, outcome: Outcome][] = [
    [{ trailing: "emit" }, "a\r\nb\r", ["a", "b\r"]],
    [{ trailing: "emit" }, "a\r\n", ["a"]],
    [{ trailing: "discard" }, "a\r\nb\r", ["a"]],
    [{ trailing: "discard" }, "\r", []],
    [{ trailing: "error" }, "a\r\nb\r\n", ["a", "b"]],
    [{ trailing: "error" }, "", []],
    [{ trailing: "error" }, "a\r\nb", ["a", failure("truncated", 3)]],
    [{ trailing: "error" }, "\r", [failure("truncated", 0)]],
    [
      { trailing: "error", disposition: "suffix" },
      "a\r\nb",
      ["a\r\n", failure("truncated", 3)],
    ],
    [{ trailing: "discard", disposition: "suffix" }, "a\r\nb", ["a\r\n"]],
  ];
  for (const [rules, stream, outcome] of cases) {
    assertEquals(decodeInEverySplit(delimited("\r\n", rules), stream), outcome);
    assertEquals(splitWhole(stream, ["\r\n"], rules), outcome);
  }
});

Deno.test("delimited() allows exactly maxLength bytes without the delimiter", () => {
  const tooLong = (offset: number) => failure("too-long", offset);
  const cases: [
    delimiters: string[],
    rules: Rules,
    stream: string,
    outcome: Outcome,
  ][] = [
    [[","], {}, "abc,ab,", ["abc", "ab"]],
    [[","], {}, "abc", ["abc"]],
    [[","], {}, "a,abcd,b", ["a", tooLong(2)]],
    [[","], {}, "abcd", [tooLong(0)]],
    [[","], { trailing: "discard" }, "abcd", [tooLong(0)]],
    [[","], { disposition: "suffix" }, "abc,def", ["abc,", "def"]],
    [[","], { disposition: "suffix" }, "abc,defg", ["abc,", tooLong(4)]],
    [[","], { disposition: "prefix" }, "abc,def", ["abc", ",def"]],
    [[","], { disposition: "prefix" }, "abc,defg", ["abc", tooLong(3)]],
    [["\r\n"], {}, "abc\r\nabc\r\n", ["abc", "abc"]],
    [["\r\n"], {}, "ab\r\r\n", ["ab\r"]],
    [["\r\n"], {}, "abc\r\r\n", [tooLong(0)]],
    [["\r\n"], {}, "abc\r", [tooLong(0)]],
    [["\r\n"], {}, "x\r\nab\r", ["x", "ab\r"]],
    [["aaaaab"], {}, "aaaaaab", ["a"]],
    [["aaaaab"], {}, "aaaaa", [tooLong(0)]],
    [["aaaaab"], {}, "aaaaaaaaab", [tooLong(0)]],
    [["aaaaab"], {}, "aaaaaaaab", ["aaa"]],
    [["xyzabc", "zx"], {}, "abxyzx", [tooLong(0)]],
    [["xyzabc", "zx"], {}, "axyzx", ["axy"]],
    [["xyzabc", "zx"], {}, "abcxyzabc", ["abc"]],
    [
      ["xyzabc", "zx"],
      { oversize: "discard" },
      "abxyzx1zx",
      ["1", { discarded: [4] }],
    ],
    [[","], { oversize: "discard" }, "abcd,abc,", ["abc", { discarded: [4] }]],
    [[","], { oversize: "discard" }, "abcde", [{ discarded: [5] }]],
    [
      [","],
      { oversize: "discard", trailing: "error" },
      "a,bcdef",
      ["a", failure("truncated", 2)],
    ],
    [
      ["\r\n"],
      { oversize: "discard" },
      "abcd\r\r\nab\r\nabc\r\r\nx",
      ["ab", "x", { discarded: [5, 4] }],
    ],
    [
      [","],
      { oversize: "discard", disposition: "suffix" },
      "abcdef,ab,",
      ["ab,", { discarded: [6] }],
    ],
    [
      [","],
      { oversize: "discard", disposition: "prefix" },
      "abcd,ab,cdefg,",
      [",ab", ",", { discarded: [4, 5] }],
    ],
  ];
  for (const [delimiters, rules, stream, outcome] of cases) {
    const options = { ...rules, maxLength: 3 };
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          delimited(delimiters, {
            ...options,
            onDiscard: rules.oversize && onDiscard,
          }),
        stream,
      ),
      outcome,
    );
    assertEquals(splitWhole(stream, delimiters, options), outcome);
  }
});

Deno.test("delimited() gives the same messages as splitting the whole stream", () => {
  const random = seededRandom(20_260_101);
  for (let round = 0; round < rounds(1500); round++) {
    const alphabet = pick(random, ["ab", "abc", "abcd", "a\r\n"]);
    const delimiters = Array.from(
      { length: pick(random, [1, 1, 2, 3, 4]) },
      () => pick(random, [...alphabet]) + randomText(random, alphabet, 4),
    );
    const disposition = pick(
      random,
      ["discard", "suffix", "prefix"] as const,
    );
    const oversize = pick(random, ["error", "discard"] as const);
    const rules: Rules = {
      disposition,
      oversize,
      trailing: disposition === "prefix"
        ? "emit"
        : pick(random, ["emit", "error", "discard"] as const),
      maxLength: pick(random, [1, 2, 3, 5, 8, Infinity]),
    };
    const stream = randomText(random, alphabet, 30);
    assertEquals(
      decodeInEverySplit(
        (onDiscard) =>
          delimited(delimiters, {
            ...rules,
            onDiscard: oversize === "discard" ? onDiscard : undefined,
          }),
        stream,
        { splits: 8, seed: round },
      ),
      splitWhole(stream, delimiters, rules),
      `Wrong for ${JSON.stringify({ delimiters, rules, stream, round })}`,
    );
  }
});

Deno.test("delimited() gives the same messages as splitting a large stream", () => {
  const random = seededRandom(31);
  const cases: [delimiters: string[], pieces: string[]][] = [
    [["\n"], ["x", "\0", "\xff"]],
    [["\xff"], ["x", "\x7f", "\xfe"]],
    [["\r\n"], ["x", "\r", "\n", "xx"]],
    [["\r\n", "\n"], ["x", "\r", "xx"]],
    [["abcab"], ["ab", "abc", "abca", "x"]],
    [["aaab", "b"], ["a", "x", "aaa"]],
    [["x".repeat(20) + "y"], ["x", "xxxx", "z"]],
    [["\0", "\x01", "\x02", "\x03", "\x04"], ["x", "\x05"]],
  ];
  for (const [delimiters, pieces] of cases) {
    for (let round = 0; round < rounds(4); round++) {
      const rules: Rules = {
        disposition: pick(random, ["discard", "suffix", "prefix"] as const),
        oversize: "discard",
        maxLength: pick(random, [15, 64, 4095, 65_536]),
      };
      const stream = randomLargeStream(random, pieces, delimiters);
      const expected = JSON.stringify(splitWhole(stream, delimiters, rules));
      for (const length of [17, 1000, 4096, 65_536, stream.length]) {
        const outcome = decodeChunks(
          (onDiscard) =>
            delimited(delimiters.map(bytes), { ...rules, onDiscard }),
          chunksOf(stream, length, random),
          length % 2 === 0,
        );
        assert(
          JSON.stringify(outcome) === expected,
          `Wrong for ${JSON.stringify({ delimiters, rules, round, length })}`,
        );
      }
    }
  }
});

Deno.test("delimited() throws as soon as a message is too long", () => {
  const cases: [delimiter: string, stream: string, count: number][] = [
    [",", "abcdefgh", 4],
    ["\r\n", "abc\rdefgh", 5],
    ["\r\n", "ab\rdefgh", 4],
    ["\r\n", "abc\r\r\n", 5],
    ["aaaaab", "aaaaaaaaaaaa", 9],
  ];
  for (const [delimiter, stream, count] of cases) {
    const framing = delimited(delimiter, { maxLength: 3 });
    assertEquals(bytesUntilError(framing, stream), count);
  }
});

Deno.test("delimited() names the limit and the offset of a message that is too long", () => {
  const decoder = new ChunkDecoder(delimited(",", { maxLength: 3 }));
  assertEquals(decoder.decode(bytes("ab,cd,efgh")).map(text), ["ab", "cd"]);
  const error = assertThrows(() => decoder.decode(bytes("")), FramingError);
  assertEquals([error.code, error.limit, error.offset], ["too-long", 3, 6]);
});

Deno.test("delimited() throws immediately if no message comes before the error", () => {
  const decoder = new ChunkDecoder(delimited(",", { maxLength: 3 }));
  assertEquals(decoder.decode(bytes("a,b")).map(text), ["a"]);
  const error = assertThrows(() => decoder.decode(bytes("cde")), FramingError);
  assertEquals(error.offset, 2);
});

Deno.test("delimited() calls onDiscard after a discarded message", () => {
  const discarded: number[] = [];
  const decoder = new ChunkDecoder(delimited(",", {
    maxLength: 3,
    oversize: "discard",
    onDiscard: (byteLength) => discarded.push(byteLength),
  }));
  decoder.decode(bytes("abcdef"));
  assertEquals(discarded, []);
  decoder.decode(bytes("gh"));
  assertEquals(discarded, []);
  assertEquals(decoder.decode(bytes(",x,")).map(text), ["x"]);
  assertEquals(discarded, [8]);
});

Deno.test("delimited() limits messages to 1 MiB by default", () => {
  const mebibyte = new Uint8Array(1_048_576);
  const decoder = new ChunkDecoder(delimited("\n"));
  assertEquals(decoder.decode(mebibyte), []);
  assertEquals(decoder.decode(bytes("\n")).length, 1);
  assertEquals(decoder.decode(mebibyte), []);
  assertThrows(() => decoder.decode(bytes("a")), FramingError);
  const unlimited = new ChunkDecoder(delimited("\n", { maxLength: Infinity }));
  unlimited.decode(mebibyte);
  unlimited.decode(mebibyte);
  assertEquals(unlimited.end().map(({ length }) => length), [2_097_152]);
});

Deno.test("delimited() reports whether a message has begun to arrive", () => {
  const decoder = new ChunkDecoder(delimited("\r\n"));
  const states = ["", "a", "\r", "\n", "b\r\n", "c\r\nd", "\r\n"].map(
    (chunk) => {
      decoder.decode(bytes(chunk));
      return decoder.pending;
    },
  );
  assertEquals(states, [false, true, true, false, false, true, false]);
});

Deno.test("delimited() treats options that are undefined as left out", () => {
  const framing = delimited(",", {
    disposition: undefined,
    trailing: undefined,
    maxLength: undefined,
    oversize: undefined,
    onDiscard: undefined,
  });
  assertEquals(decodeInEverySplit(framing, "a,b"), ["a", "b"]);
});

Deno.test("delimited() refuses invalid delimiters and options", () => {
  for (
    const delimiter of ["", [], new Uint8Array(), ["a", ""], [new Uint8Array()]]
  ) {
    assertThrows(() => delimited(delimiter), RangeError);
  }
  for (
    const [delimiter, type] of [[1, "number"], [["a", 1], "[string, number]"]]
  ) {
    assertThrows(
      () => delimited(delimiter as never),
      TypeError,
      `current value is of type ${type}`,
    );
  }
  for (const maxLength of [0, -1, NaN, 1.5, -Infinity]) {
    assertThrows(() => delimited(",", { maxLength }), RangeError);
  }
  for (const trailing of ["error", "discard"] as const) {
    assertThrows(
      () => delimited(",", { disposition: "prefix", trailing }),
      TypeError,
    );
  }
  for (
    const unknown of [
      { disposition: "infix" },
      { trailing: "keep" },
      { oversize: "truncate" },
      { maxLength: "3" },
    ]
  ) {
    assertThrows(() => delimited(",", unknown as never), Error);
  }
  assertThrows(
    () => delimited(",", { oversize: "discard", onDiscard: 1 as never }),
    TypeError,
    "Cannot make delimited framing as onDiscard must be a function: current value is of type number",
  );
});

Deno.test("delimited() encodes messages with the first delimiter", () => {
  const cases: [
    delimiters: string[],
    rules: Rules,
    message: string,
    frame: string,
  ][] = [
    [["\n"], {}, "a", "a\n"],
    [["\n"], {}, "", "\n"],
    [["\n"], {}, "→", "\xe2\x86\x92\n"],
    [["\r\n", "\n"], {}, "a\r", "a\r\r\n"],
    [["aab"], {}, "a", "aaab"],
    [["ab"], {}, "xa", "xaab"],
    [[",", ";"], { disposition: "suffix" }, "a;", "a;"],
    [[",", ";"], { disposition: "prefix" }, ";a", ";a"],
    [[","], { disposition: "suffix" }, ",", ","],
    [[","], { disposition: "prefix" }, ",", ","],
    [[","], { maxLength: 3 }, "abc", "abc,"],
    [["\r\n"], { maxLength: 3, disposition: "suffix" }, "abc\r\n", "abc\r\n"],
    [["\r\n"], { maxLength: 3, disposition: "prefix" }, "\r\nabc", "\r\nabc"],
  ];
  for (const [delimiters, rules, message, frame] of cases) {
    const framing = delimited(delimiters, rules);
    assertEquals(encode(framing, message), frame);
    assertEquals(encode(framing, new TextEncoder().encode(message)), frame);
  }
});

Deno.test("delimited() refuses to encode a message that would not be read back", () => {
  const cases: [
    delimiters: string[],
    rules: Rules,
    message: string,
    errorClass: ErrorConstructor | TypeErrorConstructor | RangeErrorConstructor,
  ][] = [
    [["\n"], {}, "a\n", TypeError],
    [["\n"], {}, "\n", TypeError],
    [["\n", ";"], {}, "a;b", TypeError],
    [["aa"], {}, "xa", TypeError],
    [["aa"], {}, "a", TypeError],
    [["aba"], {}, "xab", TypeError],
    [["abcab"], {}, "abc", TypeError],
    [["\n", "\r\n"], {}, "a\r", TypeError],
    [["\r", "\r\n"], {}, "\na", TypeError],
    [[","], { disposition: "suffix" }, "a", TypeError],
    [[","], { disposition: "suffix" }, "", TypeError],
    [[","], { disposition: "suffix" }, "a,b,", TypeError],
    [[","], { disposition: "suffix" }, "a,,", TypeError],
    [["aa"], { disposition: "suffix" }, "xaaa", TypeError],
    [[","], { disposition: "prefix" }, "a", TypeError],
    [[","], { disposition: "prefix" }, "", TypeError],
    [[","], { disposition: "prefix" }, ",a,", TypeError],
    [["aa"], { disposition: "prefix" }, "aaxa", TypeError],
    [["\r\n"], { disposition: "prefix" }, "\r\nab\r\n", TypeError],
    [[","], { maxLength: 3 }, "abcd", RangeError],
    [[","], { maxLength: 3 }, "→a", RangeError],
    [[","], { maxLength: 3, disposition: "suffix" }, "abcd,", RangeError],
    [[","], { maxLength: 3, disposition: "prefix" }, ",abcd", RangeError],
    [[","], { maxLength: 3, oversize: "discard" }, "abcd", RangeError],
  ];
  for (const [delimiters, rules, message, errorClass] of cases) {
    const framing = delimited(delimiters, rules);
    assertRefuses(framing, message, errorClass);
    assertRefuses(framing, new TextEncoder().encode(message), errorClass);
  }
});

Deno.test("delimited() encodes joined texts, also with lone surrogates", () => {
  const cases: [
    delimiter: string,
    disposition: Rules["disposition"],
    messages: string[],
  ][] = [
    ["\ufffdX", "prefix", ["\ufffdXab\ud83d", "\ude00Xcd"]],
    ["X\ufffd", "suffix", ["abX\ud83d", "\ude00cdX\ufffd"]],
    ["\n", "suffix", ["a\ud83d\n", "\ude00\n"]],
    ["\n", "discard", ["a\ud83d", "\ude00"]],
    ["\n", "prefix", ["\na😀", "\nb"]],
  ];
  for (const [delimiter, disposition, messages] of cases) {
    const framing = delimited(delimiter, { disposition });
    const frames = messages.map((message) => encode(framing, message)).join("");
    // Together, like a connection.
    const output = new OutputBuffer();
    for (const message of messages) output.push(framing.encoder(), message);
    assertEquals(text(output.takeBytes()), frames);
  }
});

Deno.test("delimited() encodes well-formed text as text", () => {
  const cases: [disposition: Rules["disposition"], message: string][] = [
    ["discard", "a😀"],
    ["suffix", "a😀\n"],
    ["prefix", "\na😀"],
  ];
  for (const [disposition, message] of cases) {
    const framing = delimited("\n", { disposition });
    assertEquals(
      encode(framing, message),
      utf8(disposition === "discard" ? `${message}\n` : message),
    );
  }
});

Deno.test("delimited() checks messages of any length before it encodes them", () => {
  const length = 200_000;
  // Around the size of one scan, and at both ends.
  const all = [65_535, 0, 10, 65_533, 65_534, 65_536, 131_071, length - 2];
  const places = all.slice(0, rounds(all.length));
  const cases: [delimiters: string[], before: string, after: string][] = [
    [["\r\n"], "", ""],
    [["\n"], "", ""],
    [["\r\n", ";"], "", ""],
    [["\r\n"], "", "\r\n"],
    [["\r\n"], "\r\n", ""],
  ];
  for (const [delimiters, before, after] of cases) {
    const [first = ""] = delimiters;
    const framing = delimited(delimiters, {
      disposition: before !== ""
        ? "prefix"
        : after !== ""
        ? "suffix"
        : "discard",
    });
    // Half a delimiter is not one; it shows that the search skips nothing.
    const half = first.length > 1 ? first.slice(0, 1) : "y";
    for (const place of places) {
      const withAt = (there: string) =>
        bytes(
          before + "x".repeat(place) + there +
            "x".repeat(length - place - there.length) + after,
        );
      const frame = new ChunkEncoder(framing).encode(withAt(half));
      assertEquals(
        frame.length,
        before.length + length + (after || before ? after : first).length,
      );
      assertEquals(
        new ChunkDecoder(framing).decode(frame).length,
        before === "" ? 1 : 0,
      );
      assertRefuses(framing, withAt(first), TypeError);
    }
  }
});

Deno.test("delimited() encodes any bytes in linear time", () => {
  for (const content of ["a", "aa,", ","]) {
    const framing = delimited(",,,", { maxLength: Infinity });
    assertLinear((size) => {
      const message = bytes(content.repeat(size / content.length) + "a");
      try {
        new ChunkEncoder(framing).encode(message);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
    }, 65_536);
  }
});

/** Whether a frame is not read back as its message, alone or among others. */
function isUnreadable(
  message: string,
  frame: string,
  delimiters: string[],
  disposition: "discard" | "suffix" | "prefix",
  alphabet: string,
): boolean {
  const [first = ""] = delimiters;
  let contents = [""];
  for (let length = 0; length < 4; length++) {
    const longer = contents.flatMap((it) =>
      [...alphabet].map((next) => it + next)
    );
    contents = [...new Set([...contents, ...longer])];
  }
  const likes = contents.flatMap(
    (content): [message: string, frame: string][] => {
      if (disposition === "discard") return [[content, content + first]];
      return delimiters.map((own) => {
        const like = disposition === "suffix" ? content + own : own + content;
        return [like, like];
      });
    },
  );
  function isReadBack(frames: [message: string, frame: string][]): boolean {
    const stream = frames.map(([_, frame]) => frame).join("");
    const outcome = splitWhole(stream, delimiters, { disposition });
    const messages = frames.map(([message]) => message);
    return JSON.stringify(outcome) === JSON.stringify(messages);
  }
  if (!isReadBack([[message, frame]])) return true;
  return likes.filter((like) => isReadBack([like])).some((like) =>
    !isReadBack([like, [message, frame]]) ||
    !isReadBack([[message, frame], like])
  );
}

Deno.test("delimited() reads back every sequence of messages that it encodes", () => {
  const random = seededRandom(7);
  for (let round = 0; round < rounds(2000); round++) {
    const alphabet = pick(random, ["ab", "abc", "abcd"]);
    const delimiters = Array.from(
      { length: pick(random, [1, 1, 2, 3]) },
      () => pick(random, [...alphabet]) + randomText(random, alphabet, 3),
    );
    const first = delimiters[0] as string;
    const disposition = pick(
      random,
      ["discard", "suffix", "prefix"] as const,
    );
    const framing = delimited(delimiters, { disposition });
    const sent: string[] = [];
    const frames: string[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      const content = randomText(random, alphabet, 4);
      const own = pick(random, delimiters);
      const message = disposition === "suffix"
        ? content + own
        : disposition === "prefix"
        ? own + content
        : content;
      try {
        frames.push(encode(framing, message));
        sent.push(message);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        // Among several delimiters, an unreadable message may show only after many
        // messages.
        const frame = disposition === "discard" ? message + first : message;
        assert(
          delimiters.length > 1 ||
            isUnreadable(message, frame, delimiters, disposition, alphabet),
          `Refused without need: ${
            JSON.stringify({ delimiters, disposition, message })
          }`,
        );
      }
    }
    assertEquals(
      splitWhole(frames.join(""), delimiters, { disposition }),
      sent,
      `Not read back: ${JSON.stringify({ delimiters, disposition, frames })}`,
    );
  }
});

Deno.test("delimited() decodes large messages among small ones", () => {
  const messages = [0, 1, 65_535, 65_536, 65_537, 200_000, 3].map((length) =>
    "x".repeat(length)
  );
  assertRoundTrip(delimited("\r\n"), messages.slice(0, 2));
  const stream = bytes(messages.map((message) => message + "\r\n").join(""));
  for (const chunkLength of [1000, 4096, 65_536, stream.length]) {
    const decoder = new ChunkDecoder(delimited("\r\n"));
    const received: number[] = [];
    for (let start = 0; start < stream.length; start += chunkLength) {
      const chunk = stream.slice(start, start + chunkLength);
      received.push(...decoder.decode(chunk).map(({ length }) => length));
    }
    assertEquals(received, messages.map(({ length }) => length));
  }
});

Deno.test("delimited() decodes many messages of one chunk", () => {
  const messages = Array.from(
    { length: 50_000 },
    (_, index) => String(index % 7),
  );
  for (const delimiters of [["\n"], ["\r\n"], ["\r\n", "\n"]]) {
    const stream = bytes(
      messages.map((message) => message + delimiters[0]).join(""),
    );
    assertEquals(
      new ChunkDecoder(delimited(delimiters)).decode(stream).map(text),
      messages,
    );
  }
});

Deno.test("delimited() keeps no large buffer alive for a small message", () => {
  for (const disposition of ["discard", "suffix"] as const) {
    assertKeepsNoLargeBuffer(
      delimited("\r\n", { disposition }),
      bytes("x".repeat(100) + "\r\n"),
    );
  }
});

Deno.test("delimited() keeps no large buffer alive for the beginning of a message", () => {
  const decoder = new ChunkDecoder(delimited(","));
  decoder.decode(bytes("x,".repeat(32_000) + "remainder"));
  const [remainder] = decoder.end();
  assertEquals(remainder?.length, 9);
  assert((remainder?.buffer.byteLength ?? Infinity) <= 4096);
});

Deno.test("delimited() does work linear in the bytes of a huge message", () => {
  for (const disposition of ["discard", "suffix", "prefix"] as const) {
    const framing = delimited("aab", { disposition, maxLength: Infinity });
    assertLinear((size) => {
      decodeInTinyChunks(framing, bytes("a".repeat(size) + "c"), 4, 1);
    }, 16_384);
  }
  const several = delimited(["aab", "aaac", "b"], { maxLength: Infinity });
  assertLinear((size) => {
    decodeInTinyChunks(several, bytes("a".repeat(size) + "c"), 65_536, 1);
  }, 32_768);
});

Deno.test("delimited() does little more work for a long delimiter that almost matches", () => {
  const stream = bytes("a".repeat(131_072));
  function decode(repeats: number): void {
    const framing = delimited("a".repeat(repeats) + "b");
    decodeInTinyChunks(framing, stream, 65_536, 1);
  }
  decode(128);
  assertTimes(10, () => decode(128), () => decode(4096));
});

Deno.test("delimited() does little more work for a long delimiter whose beginning repeats", () => {
  const stream = bytes("a".repeat(4096));
  function decode(repeats: number, maxLength: number): void {
    const half = "a".repeat(repeats);
    const framing = delimited(`${half}b${half}`, {
      maxLength,
      oversize: "discard",
      trailing: "discard",
    });
    decodeInTinyChunks(framing, stream, 1, 0);
  }
  for (const maxLength of [8192, 1]) { // nothing, and almost everything is too long
    decode(32, maxLength);
    assertTimes(
      100,
      () => decode(32, maxLength),
      () => decode(1024, maxLength),
    );
  }
});

Deno.test("delimited() does work linear in the number of delimiters", () => {
  const count = 1000;
  const stream = bytes(`${"a".repeat(200)}<0>`.repeat(count));
  function decode(delimiters: number): void {
    const framing = delimited(
      Array.from({ length: delimiters }, (_, i) => `<${i}>`),
    );
    decodeInTinyChunks(framing, stream, stream.length, count);
  }
  decode(256);
  assertTimes(60, () => decode(16), () => decode(256));
});

Deno.test("delimited() can decode another stream in onDiscard", () => {
  const inner = delimited(",");
  const framing = delimited(",", {
    maxLength: 2,
    oversize: "discard",
    onDiscard(byteLength) {
      assertEquals(byteLength, 4);
      const stream = bytes("x,".repeat(3000));
      assertEquals(new ChunkDecoder(inner).decode(stream).length, 3000);
    },
  });
  const stream = "a,long,b,long,,long,c";
  assertEquals(decodeInEverySplit(framing, stream, { splits: 20 }), [
    "a",
    "b",
    "",
    "c",
  ]);
});
