import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { bytes } from "./_testing.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { FramingError } from "./framing_error.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { orMalformed } from "./or_malformed.ts";

function throwing(thrown: unknown): () => never {
  const read = orMalformed((_message: string) => {
    throw thrown;
  });
  return () => read("");
}

Deno.test("orMalformed() returns the result of its function", () => {
  assertEquals(orMalformed(Number.parseInt)("7"), 7);
  assertEquals(orMalformed(() => undefined)("7"), undefined);
});

Deno.test("orMalformed() turns a thrown error into a FramingError", () => {
  for (const thrown of [new RangeError("too far"), "too far"]) {
    const { code, cause } = assertThrows(
      throwing(thrown),
      FramingError,
      "Cannot decode message: too far",
    );
    assertEquals(code, "malformed");
    assertStrictEquals(cause, thrown);
  }
});

Deno.test("orMalformed() passes a FramingError on unchanged", () => {
  const thrown = new FramingError("too long", { code: "too-long" });
  assertStrictEquals(assertThrows(throwing(thrown)), thrown);
});

Deno.test("orMalformed() lets onMalformed drop messages that a library refuses", () => {
  const framing = mapped(lines(), {
    decode: orMalformed((line) => new URL(line).hostname),
    encode: (line: string) => line,
    onMalformed: "discard",
  });
  assertEquals(
    new ChunkDecoder(framing).decode(bytes("tcp://a\n?\ntcp://b\n")),
    ["a", "b"],
  );
});

Deno.test("orMalformed() refuses an argument that is not a function", () => {
  // @ts-expect-error -- a program in JavaScript may pass anything
  assertThrows(() => orMalformed("parse"), TypeError, "decode must be");
});

Deno.test("orMalformed() turns a thrown value without a string form into a FramingError", () => {
  class SilentError extends Error {
    override get message(): string {
      throw new Error("no message");
    }
  }
  const odd = Object.assign(new Error(), { message: Symbol("odd") });
  for (const thrown of [Object.create(null), new SilentError(), odd]) {
    const { cause } = assertThrows(throwing(thrown), FramingError);
    assertStrictEquals(cause, thrown);
  }
});
