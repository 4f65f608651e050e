import { assertEquals, assertThrows } from "@std/assert";
import {
  assertLinear,
  assertRefuses,
  assertRoundTrip,
  bytes,
  bytesUntilError,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
  utf8,
} from "./_testing.ts";
import { asJson } from "./as_json.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { contentLength } from "./content_length.ts";
import { FramingError } from "./framing_error.ts";

Deno.test("contentLength() reads messages in every split of the stream", () => {
  const framing = contentLength();
  assertEquals(
    decodeInEverySplit(
      framing,
      "Content-Length: 2\r\n\r\nhiContent-Length: 0\r\n\r\n" +
        "Content-Length: 4\r\n\r\n\r\n\r\n",
    ),
    ["hi", "", "\r\n\r\n"],
  );
  assertEquals(decodeInEverySplit(framing, ""), []);
});

Deno.test("contentLength() accepts other headers, names in any case, and spaces", () => {
  const headers = [
    "content-length:3\r\n",
    "CONTENT-LENGTH: \t3 \r\n",
    "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 3\r\n",
    "Content-Length: 3\r\nX-Empty:\r\n",
    "X-Title: \xe2\x80\xa8\r\nContent-Length: 3\r\n", // U+2028 ends no line here
    "Content-Length: 003\r\n",
    "Content-Length: 3\r\nContent-Length: 3\r\n",
  ];
  for (const header of headers) {
    assertEquals(decodeInEverySplit(contentLength(), `${header}\r\nabc`), [
      "abc",
    ]);
  }
});

Deno.test("contentLength() refuses headers with no length or with several", () => {
  const headers = [
    "Content-Type: text\r\n",
    "Content-Length: \r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 1.5\r\n",
    "Content-Length: 0x10\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 3\r\nContent-Length: 4\r\n",
    "Content-Length : 3\r\n",
    " Content-Length: 3\r\n",
    "Content-Length: 3\r\n folded\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 3\r\n",
    "Content-Length: 3\nX: y\r\n",
    "no header\r\n",
  ];
  for (const header of headers) {
    assertEquals(
      decodeInEverySplit(
        contentLength(),
        `Content-Length: 1\r\n\r\na${header}\r\nabc`,
        { splits: 50 },
      ),
      ["a", failure("malformed", 22)],
      header,
    );
  }
  assertEquals(
    decodeInEverySplit(
      contentLength(),
      "Content-Length: 99999999999999999999\r\n\r\n",
    ),
    [failure("too-long", 0)],
  );
});

Deno.test("contentLength() counts messages up to maxLength, without their headers", () => {
  const framing = contentLength({ maxLength: 3 });
  assertEquals(
    decodeInEverySplit(
      framing,
      "Content-Length: 3\r\n\r\nabcContent-Length: 4\r\n\r\nabcd",
    ),
    ["abc", failure("too-long", 24)],
  );
  // The error names this limit, although the length is above the safe integers.
  const error = assertThrows(
    () =>
      new ChunkDecoder(framing).decode(
        bytes("Content-Length: 99999999999999999999\r\n\r\n"),
      ),
    FramingError,
    "longer than 3 bytes",
  );
  assertEquals(error.limit, 3);
  // At the end of the header.
  assertEquals(bytesUntilError(framing, "Content-Length: 4\r\n\r\nabcd"), 21);
  assertEquals(
    decodeInEverySplit(
      (onDiscard) =>
        contentLength({ maxLength: 3, oversize: "discard", onDiscard }),
      "Content-Length: 9\r\n\r\n123456789Content-Length: 1\r\n\r\na",
    ),
    ["a", { discarded: [9] }],
  );
});

Deno.test("contentLength() limits its headers", () => {
  const framing = contentLength({ maxHeaderLength: 20 });
  // The blank line, of which one byte may have arrived, is not counted.
  const fits = "Content-Length:    1\r\n\r\na";
  assertEquals(decodeInEverySplit(framing, fits), ["a"]);
  const over = "Content-Length:     1\r\n\r\na";
  assertEquals(decodeInEverySplit(framing, over), [failure("too-long", 0)]);
  assertEquals(decodeInEverySplit(framing, "x".repeat(100)), [
    failure("too-long", 0),
  ]);
  const error = assertThrows(
    () => new ChunkDecoder(framing).decode(bytes("x".repeat(100))),
    FramingError,
  );
  assertEquals(error.limit, 20);
});

Deno.test('contentLength() throws "truncated" inside a header or a message', () => {
  assertEquals(decodeInEverySplit(contentLength(), "Content-Le"), [
    failure("truncated", 0),
  ]);
  assertEquals(
    decodeInEverySplit(contentLength(), "Content-Length: 2\r\n\r\na"),
    [failure("truncated", 0)],
  );
});

Deno.test("contentLength() writes the length in bytes", () => {
  const framing = contentLength({ maxLength: 4 });
  assertEquals(encode(framing, "é"), utf8("Content-Length: 2\r\n\r\né"));
  assertEquals(encode(framing, ""), "Content-Length: 0\r\n\r\n");
  assertRefuses(framing, "12345", RangeError);
  assertRefuses(framing, 1 as never, TypeError);
  assertRoundTrip(contentLength(), [bytes("a\r\n\r\nb"), bytes("")]);
  assertRoundTrip(asJson(contentLength()), [{ id: "é" }, [1]]);
});

Deno.test("contentLength() refuses invalid options", () => {
  for (const maxHeaderLength of [0, -1, 0.5, NaN]) {
    assertThrows(() => contentLength({ maxHeaderLength }), RangeError);
  }
  assertThrows(() => contentLength({ maxLength: 0 }), RangeError);
  assertThrows(() => contentLength({ onDiscard: () => {} }), TypeError);
});

Deno.test("contentLength() does work linear in the bytes of a huge message", () => {
  assertLinear((size) => {
    const header = bytes(`Content-Length: ${size}\r\n\r\n`);
    const stream = new Uint8Array(header.length + size);
    stream.set(header);
    decodeInTinyChunks(contentLength({ maxLength: Infinity }), stream, 8, 1);
  }, 128 * 1024);
});

Deno.test("contentLength() does work linear in the bytes of a hostile header", () => {
  for (const end of ["x", "\n"]) {
    assertLinear((size) => {
      const header = `X:${" ".repeat(size)}${end}\r\nContent-Length: 0\r\n\r\n`;
      const decoder = new ChunkDecoder(contentLength());
      if (end === "x") decoder.decode(bytes(header));
      else assertThrows(() => decoder.decode(bytes(header)), FramingError);
    }, 200);
  }
});

Deno.test("contentLength() sends no header that it would refuse to read", () => {
  const framing = contentLength({ maxHeaderLength: 17 });
  assertRoundTrip(framing, [bytes(""), bytes("x".repeat(9))]);
  assertRefuses(framing, "x".repeat(10), RangeError);
});
