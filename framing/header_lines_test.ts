import { assertEquals, assertThrows } from "@std/assert";
import { verifyFraming } from "../testing.ts";
import { bytes, text } from "./_testing.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { headed } from "./headed.ts";
import { headerLines } from "./header_lines.ts";
import { mapped } from "./mapped.ts";

/** Decodes `stream`, with headers as pairs. */
function read(stream: string): [first: string, headers: [string, string][]][] {
  return new ChunkDecoder(headerLines()).decode(bytes(stream))
    .map(({ first, headers }) => [first, [...headers]]);
}

Deno.test("headerLines() reads a first line and headers, and leaves the bytes after them", () => {
  assertEquals(
    read("GET / HTTP/1.1\r\nHost: a\r\nX:\t1 \r\nx: 2\r\nY:\r\n\r\nOK\r\n\r\n"),
    [
      ["GET / HTTP/1.1", [["host", "a"], ["x", "1, 2"], ["y", ""]]],
      ["OK", []],
    ],
  );
});

Deno.test("headerLines() skips line ends between messages", () => {
  verifyFraming(
    mapped(headerLines({ maxLength: 8 }), {
      decode: ({ first }) => first,
      encode: (first: string) => ({ first, headers: new Headers() }),
    }),
    ["a", "b"],
    { refused: ["\n", "\r\r\n"].map(bytes) },
  );
  // Keep-alives of SIP, and the line ends that old HTTP clients send after a body.
  for (const ends of ["\r\n", "\r\n\r\n", "\r\n".repeat(3), "\r\n".repeat(9)]) {
    const stream = `${ends}a\r\nb: 1\r\n\r\n${ends}c\r\n\r\n${ends}`;
    const expected = [["a", [["b", "1"]]], ["c", []]];
    assertEquals(read(stream), expected);
    const decoder = new ChunkDecoder(headerLines({ maxLength: 8 }));
    const cut = [...bytes(stream)].flatMap((byte) =>
      decoder.decode(Uint8Array.of(byte))
    );
    assertEquals(
      cut.map(({ first, headers }) => [first, [...headers]]),
      expected,
    );
    assertEquals(decoder.end(), []);
  }
});

Deno.test("headerLines() passes verifyFraming()", () => {
  verifyFraming(headerLines({ maxLength: 60 }), [
    { first: "GET / HTTP/1.1", headers: new Headers() },
    { first: "-", headers: new Headers({ a: "" }) },
    { first: "\xe9\t\xff", headers: new Headers({ Host: "a", "X-Y": "\xe9" }) },
    { first: "x".repeat(60), headers: new Headers() },
  ], {
    refused: [
      "no header\r\nline\r\n\r\n",
      "a\r\n: 1\r\n\r\n",
      "a\r\nb : 1\r\n\r\n",
      "a\r\nb: 1\r\n c: folded\r\n\r\n",
      "a\r\nb: 1\nc: 2\r\n\r\n",
      "a\r\nb: 1\rc: 2\r\n\r\n",
      "a\nb: 1\r\n\r\n",
      "a\r\nb: \0\r\n\r\n",
      "a\x7f\r\n\r\n",
      "a\r\nb\xe9: 1\r\n\r\n",
      `${"x".repeat(61)}\r\n\r\n`,
      "a\r\nb: 1\r\n",
      "a",
    ].map(bytes),
  });
});

Deno.test("headerLines() reads and writes each byte as a character", () => {
  const framing = headerLines();
  const all = Uint8Array.from(
    { length: 256 },
    (_, byte) => byte < 0x20 || byte === 0x7f ? 0x20 : byte,
  );
  const [message] = new ChunkDecoder(framing).decode(
    Uint8Array.of(...all, 13, 10, 13, 10),
  );
  assertEquals(message?.first, String.fromCharCode(...all));
  if (message === undefined) return;
  const frame = new ChunkEncoder(framing).encode(message);
  assertEquals(frame.subarray(0, 256), all);
});

Deno.test("headerLines() refuses to send a header that could not be read back", () => {
  const encoder = new ChunkEncoder(headerLines({ maxLength: 20 }));
  const headers = new Headers();
  for (const first of ["", "a\r\nb: 1", "a\nb", "a\rb", "\0", "\u0100"]) {
    assertThrows(
      () => encoder.encode({ first, headers }),
      TypeError,
      "is malformed",
    );
  }
  assertThrows(
    () => encoder.encode({ first: "a", headers: new Headers({ b: "\x01" }) }),
    TypeError,
    '"b: \\u0001"',
  );
  assertThrows(
    () => encoder.encode({ first: "x".repeat(21), headers }),
    RangeError,
  );
  const message = { first: "a", headers: new Headers({ B: "1", C: "2" }) };
  assertEquals(text(encoder.encode(message)), "a\r\nb: 1\r\nc: 2\r\n\r\n");
});

Deno.test("headerLines() escapes and shortens a refused line in its error", () => {
  const decoder = new ChunkDecoder(headerLines());
  const { code, message } = assertThrows(
    () => decoder.decode(bytes(`a\r\nb\n${"x".repeat(1000)}\r\n\r\n`)),
    FramingError,
  );
  assertEquals([code, message], [
    "malformed",
    `Cannot decode header lines: the line "b\\n${"x".repeat(78)}" is malformed`,
  ]);
});

Deno.test("headerLines() refuses to send parts of other types", () => {
  const encoder = new ChunkEncoder(headerLines());
  const encode = (parts: unknown) =>
    encoder.encode(parts as { first: string; headers: Headers });
  for (const first of [undefined, null, 5, ["a"]]) {
    const parts = { first, headers: new Headers({ b: "1" }) };
    assertThrows(() => encode(parts), TypeError, "first must be a string");
  }
  for (const headers of [undefined, null, { b: "1" }, "bc"]) {
    const parts = { first: "a", headers };
    assertThrows(() => encode(parts), TypeError, "headers must be Headers");
  }
});

Deno.test("headerLines() gives the length of a body, and refuses two that differ", () => {
  const framing = headed(
    headerLines(),
    ({ headers }) => headers.get("content-length") ?? undefined,
  );
  const decoder = new ChunkDecoder(framing);
  const [message] = decoder.decode(
    bytes("a\r\nContent-Length: 4\r\n\r\n\r\n\r\n"),
  );
  assertEquals(message?.body, bytes("\r\n\r\n"));
  assertThrows(
    () =>
      decoder.decode(
        bytes("a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\nab"),
      ),
    FramingError,
    '"1, 2"',
  );
});

Deno.test("headerLines() counts lines up to maxLines, in both directions", () => {
  const linesOf = (count: number, options = {}) => {
    const names = Array.from({ length: count }, (_, i) => `x${i}`);
    const block = `a\r\n${names.map((name) => `${name}:\r\n`).join("")}\r\n`;
    const headers = new Headers(names.map((name) => [name, ""]));
    return {
      decode: () => new ChunkDecoder(headerLines(options)).decode(bytes(block)),
      encode: () =>
        new ChunkEncoder(headerLines(options)).encode({ first: "a", headers }),
    };
  };
  for (const [limit, options] of [[256, {}], [2, { maxLines: 2 }]] as const) {
    const most = linesOf(limit, options);
    assertEquals([...most.decode()[0]?.headers ?? []].length, limit);
    most.encode();
    const more = linesOf(limit + 1, options);
    const { code, message } = assertThrows(more.decode, FramingError);
    assertEquals(code, "too-long");
    assertEquals(
      message,
      `Cannot decode header lines: ${
        limit + 1
      } after the first, more than maxLines of ${limit}`,
    );
    assertThrows(more.encode, RangeError, `maxLines of ${limit}`);
  }
  assertEquals(linesOf(300, { maxLines: Infinity }).decode().length, 1);
});

Deno.test("headerLines() refuses invalid limits", () => {
  for (const maxLength of [0, -1, 1.5, NaN]) {
    assertThrows(() => headerLines({ maxLength }), RangeError, "headerLines");
  }
});
