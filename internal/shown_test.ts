import { assertEquals, assertThrows } from "@std/assert";
import {
  asJson,
  asText,
  ChunkDecoder,
  contentLength,
  delimited,
  type Framing,
  FramingError,
  headed,
  headerLines,
  jsonSequence,
  mapped,
  textFields,
} from "../framing.ts";
import { quoted, shownValue } from "./shown.ts";

Deno.test("Errors of framings contain no control characters and no line ends", () => {
  const hostile = "\x1b[2J\x7f\x9b31m\u2028\u202e\n2026-01-01 all is well";
  const text = asText(delimited("|"));
  const refusing: Framing<unknown, never>[] = [
    asJson(delimited("|")),
    mapped(text, {
      decode: (message) => textFields(message, /^$/),
      encode: (message: string) => message,
    }),
    headed(text, (message) => message),
  ];
  const cases: [Framing<unknown, never>, string][] = [
    ...refusing.map((framing): [Framing<unknown, never>, string] => [
      framing,
      `${hostile}|`,
    ]),
    [jsonSequence(), `[${hostile}]]`],
    [contentLength(), `${hostile}\r\n\r\n`],
    [contentLength(), `Content-Length: ${hostile}\r\n\r\n`],
    [headerLines(), `${hostile}\r\n\r\n`],
  ];
  for (const [framing, bytes] of cases) {
    const { message } = assertThrows(
      () => new ChunkDecoder(framing).decode(new TextEncoder().encode(bytes)),
      FramingError,
    );
    const steers = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u.test(message);
    assertEquals(steers, false, JSON.stringify(message));
  }
});

Deno.test("quoted() shortens a text, and escapes characters that JSON leaves unescaped", () => {
  assertEquals(quoted('a"\n\x9bcd', 4), '"a\\"\\n\\u009b"');
});

Deno.test("shownValue() shows text in quotes, and values without a string form", () => {
  const values = ["5", 5, 5n, null, Symbol("x"), () => {}, { toJSON: 0n }];
  assertEquals(values.map(shownValue), [
    '"5"',
    "5",
    "5n",
    "null",
    "Symbol(x)",
    "a function",
    "what cannot be shown",
  ]);
});
