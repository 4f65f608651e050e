import { assertEquals, assertThrows } from "@std/assert";
import { bytes } from "./_testing.ts";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { headed } from "./headed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { orMalformed } from "./or_malformed.ts";

/** The class of another copy of this module. */
class OtherCopy extends Error {
  override name = "FramingError";
  readonly code = "malformed";
}

function refuse(line: string): never {
  throw new OtherCopy(`Cannot decode ${line}`);
}

Deno.test("FramingError of another copy of the module is the peer's mistake too", () => {
  const numbers = mapped(lines(), {
    decode: (line) => line === "x" ? refuse(line) : Number(line),
    encode: String,
    onMalformed: "discard",
  });
  assertEquals(new ChunkDecoder(numbers).decode(bytes("1\nx\n2\n")), [1, 2]);
  assertThrows(() => orMalformed(refuse)("x"), OtherCopy, "Cannot decode x");
  const encoder = new ChunkEncoder(headed(lines(), refuse));
  assertThrows(() => encoder.encode({ header: "x", body: "" }), TypeError);
});

Deno.test("FramingError is told from other errors that have a code", () => {
  const coded = Object.assign(new Error("No such file"), { code: "ENOENT" });
  const named = Object.assign(new Error("No code"), { name: "FramingError" });
  for (const error of [coded, named, { name: "FramingError", code: "x" }]) {
    const reading = orMalformed(() => {
      throw error;
    });
    const { cause } = assertThrows(() => reading(""), FramingError);
    assertEquals(cause, error);
  }
});
