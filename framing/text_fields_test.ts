import { assert, assertEquals, assertThrows } from "@std/assert";
import { bytes } from "./_testing.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { headed } from "./headed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { textFields } from "./text_fields.ts";

Deno.test("textFields() gives the groups in order", () => {
  assertEquals(textFields("GET /a", /^(\w+) (\S*)$/), ["GET", "/a"]);
  assertEquals(textFields("QUIT", /^QUIT$/), []);
  assertEquals(textFields("PING", /^(?:PING|MSG (\d+)())$/), [
    undefined,
    undefined,
  ]);
  assertEquals(textFields("MSG 7", /^(?:PING|MSG (\d+)())$/), ["7", ""]);
  assertEquals(textFields("\u2028\n", /^(.*)$/s), ["\u2028\n"]);
});

Deno.test("textFields() throws a FramingError for a text that does not match", () => {
  for (const text of ["", "7", "7 a", "a 7\nb"]) {
    const { code } = assertThrows(
      () => textFields(text, /^[a-z] (\d)$/),
      FramingError,
      `Cannot decode message ${JSON.stringify(text)}: it does not match /^`,
    );
    assertEquals(code, "malformed");
  }
});

Deno.test("textFields() escapes and shortens a hostile text in its error", () => {
  const text = `x\r\n2026-01-01 all is well\n\x1b[2J${"x".repeat(1_000_000)}`;
  const { message } = assertThrows(() => textFields(text, /^$/), FramingError);
  assertEquals(/\p{Cc}/u.test(message), false);
  assert(message.length < 200, message);
});

Deno.test("textFields() refuses global and sticky patterns", () => {
  for (const pattern of [/a/g, /a/y]) {
    assertThrows(() => textFields("a", pattern), TypeError, "flags g and y");
  }
  // deno-lint-ignore no-explicit-any -- as from JavaScript
  const pattern: any = "a";
  assertThrows(() => textFields("a", pattern), TypeError, "current value is a");
});

Deno.test("textFields() refuses what is not text: the mistake is not the peer's", () => {
  for (const given of [undefined, null, 7, bytes("x"), ["x"]]) {
    // deno-lint-ignore no-explicit-any -- as from JavaScript
    const text: any = given;
    assertThrows(
      () => textFields(text, /^(.*)$/s),
      TypeError,
      `it must be a string: current value is of type ${typeof given}`,
    );
    assertThrows(() => textFields(text, /^$/), TypeError, "must be a string");
  }
});

Deno.test("textFields() can drop a single message, and refuses to send a header that does not match", () => {
  const numbers = mapped(lines(), {
    decode: (line) => Number(textFields(line, /^(\d+)$/)[0]),
    encode: String,
    onMalformed: "discard",
  });
  assertEquals(new ChunkDecoder(numbers).decode(bytes("1\nx\n2\n")), [1, 2]);
  const framing = headed(
    lines(),
    (line) => Number(textFields(line, /^(\d+)$/)[0]),
  );
  const encoder = new ChunkEncoder(framing);
  assertThrows(() => encoder.encode({ header: "x", body: "" }), TypeError);
});
