import { assert, assertEquals } from "@std/assert";
import { runInNewContext } from "node:vm";
import {
  type Bytes,
  ChunkDecoder,
  ChunkEncoder,
  delimited,
  FieldReader,
} from "../framing.ts";
import { text } from "../framing/_testing.ts";
import { verifyFraming } from "../testing.ts";
import { isBytes, isError } from "./realms.ts";

/** Bytes as `TextEncoder` gives them in jsdom. */
function foreign(text: string): Bytes {
  return runInNewContext("Uint8Array").from(new TextEncoder().encode(text));
}

Deno.test("isBytes() is true for a Uint8Array of any realm only", () => {
  assert(!(foreign("a") instanceof Uint8Array));
  assert(isBytes(foreign("a")) && isBytes(new Uint8Array(1)));
  for (const other of [[1], "a", null, new Int8Array(1), new ArrayBuffer(1)]) {
    assert(!isBytes(other));
  }
});

Deno.test("isError() is true for an error of any realm only", () => {
  const error: unknown = runInNewContext("new TypeError('Wrong')");
  assert(!(error instanceof Error));
  assert(isError(error) && isError(new DOMException("Aborted")));
  for (const other of [{ name: "Error" }, "Error", undefined]) {
    assert(!isError(other));
  }
});

Deno.test("Framings take bytes from another realm", () => {
  const framing = delimited(foreign("|"));
  const frame = new ChunkEncoder(framing).encode(foreign("one"));
  assertEquals(text(frame), "one|");
  const messages = new ChunkDecoder(framing).decode(foreign("one|two|"));
  assertEquals(messages.map(text), ["one", "two"]);
  assertEquals(new FieldReader(foreign("\x07")).takeUint(1), 7);
  verifyFraming(framing, [foreign("one"), foreign("two")]);
});
