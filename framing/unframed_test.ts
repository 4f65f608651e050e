import { assertEquals, assertStrictEquals } from "@std/assert";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { assertKeepsNoLargeBuffer, bytes, encode, text } from "./_testing.ts";
import { unframed } from "./unframed.ts";

Deno.test("unframed() gives every chunk that is not empty as it arrives", () => {
  const decoder = new ChunkDecoder(unframed());
  assertEquals(
    ["ab", "", "\n", "\0\xff"].map((chunk) =>
      decoder.decode(bytes(chunk)).map(text)
    ),
    [["ab"], [], ["\n"], ["\0\xff"]],
  );
  assertEquals(decoder.pending ?? false, false);
  assertEquals(decoder.end(), []);
});

Deno.test("unframed() writes bytes as they are, and strings as UTF-8", () => {
  assertEquals(encode(unframed(), bytes("a\0\xff")), "a\0\xff");
  assertEquals(encode(unframed(), "→\n"), "\xe2\x86\x92\n");
});

Deno.test("unframed() keeps no large buffer alive for a small chunk", () => {
  const decoder = new ChunkDecoder(unframed());
  const held = Array.from({ length: 100 }, () => {
    const [message] = decoder.decode(new Uint8Array(65_536).subarray(0, 100));
    return message?.buffer.byteLength ?? 0;
  });
  assertEquals(Math.max(...held) <= 1600, true);
  assertKeepsNoLargeBuffer(
    // Each read makes a message of one byte.
    unframed(),
    bytes("x"),
  );
});

Deno.test("unframed() does not copy a chunk that fills its buffer", () => {
  const chunk = new Uint8Array(65_536);
  const [message] = new ChunkDecoder(unframed()).decode(chunk);
  assertStrictEquals(message?.buffer, chunk.buffer);
});
