import { assertEquals, assertThrows } from "@std/assert";
import { verifyFraming } from "../testing.ts";
import {
  assertLinear,
  bytes,
  decodeInEverySplit,
  decodeInTinyChunks,
  encode,
  failure,
} from "./_testing.ts";
import { assembled } from "./assembled.ts";
import type { Bytes } from "./bytes.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { grouped, type GroupedOptions } from "./grouped.ts";
import { headed } from "./headed.ts";
import { lines } from "./lines.ts";
import { netstrings } from "./netstrings.ts";

/** Lines, up to one with a dot at its end. */
function sentences(options?: GroupedOptions) {
  return grouped(
    lines({ trailing: "error" }),
    (line) => line.endsWith("."),
    options,
  );
}

Deno.test("grouped() gives frames up to the last of a message, in every split", () => {
  assertEquals(decodeInEverySplit(sentences(), "a\nb.\n.\n\nc\nd.\n"), [
    ["a", "b."],
    ["."],
    ["", "c", "d."],
  ]);
  assertEquals(decodeInEverySplit(sentences(), ""), []);
  assertEquals(decodeInEverySplit(sentences(), ".\na\n"), [
    ["."],
    failure("truncated", 2),
  ]);
});

Deno.test("grouped() groups the messages of one frame, in every split", () => {
  const words = assembled(lines(), () =>
    function* (line) {
      yield* line.split(" ");
    });
  const groups = grouped(words, (word) => word === ".");
  const expected = [["a", "b", "."], ["."], ["c", "d", "."]];
  assertEquals(decodeInEverySplit(groups, "a b . . c\nd .\n"), expected);
});

Deno.test("grouped() limits the bytes and the frames of a message, in every split", () => {
  const limited = sentences({ maxLength: 6, maxFrames: 3 });
  assertEquals(decodeInEverySplit(limited, "a\nb\n.\nabcd.\nabcde.\n"), [
    ["a", "b", "."],
    ["abcd."],
    failure("too-long", 12),
  ]);
  assertEquals(decodeInEverySplit(limited, ".\na\nbc\n.\n"), [
    ["."],
    failure("too-long", 2),
  ]);
  assertEquals(decodeInEverySplit(limited, ".\n\n\n\n.\n"), [
    ["."],
    failure("too-long", 2),
  ]);
  const parts = grouped(
    headed(lines(), (line) => line === "" ? undefined : Number(line)),
    ({ body }) => body === undefined,
    { maxLength: 8 },
  );
  const decoder = new ChunkDecoder(parts);
  assertEquals(decoder.decode(bytes("1\na\n1\nb\n")).length, 2);
  assertThrows(
    () => decoder.decode(bytes("1\na2\nbc3\nabc\n")),
    FramingError,
    "at byte 8: longer than 8 bytes",
  );
});

Deno.test("grouped() does not count bytes that its framing drops between messages", () => {
  const dropping = grouped(
    lines({ maxLength: 2, oversize: "discard" }),
    (line) => line === ".",
    { maxLength: 6 },
  );
  assertEquals(
    decodeInEverySplit(dropping, "much too long\na\nb\n.\nlonger\n.\n"),
    [["a", "b", "."], ["."]],
  );
});

Deno.test("grouped() passes verifyFraming()", () => {
  const framing = grouped(netstrings(), (frame) => frame[0] === 0x2e);
  const whole: Framing<Bytes[], string[]> = {
    ...framing,
    encoder: () => ({
      encode(frames, output) {
        for (const frame of frames) {
          output.writeText(`${frame.length}:${frame},`);
        }
      },
    }),
  };
  const groups = [["a", "", "."], [".b"], ["long".repeat(20), "."]];
  verifyFraming(whole, groups, {
    received: groups.map((group) => group.map(bytes)),
    refused: ["1:a,", "1:a", "1:a;", "x"].map(bytes),
    rounds: 50,
  });
  assertEquals(encode(framing, "a"), "1:a,");
  assertLinear((size) => {
    const stream = bytes("1:a,".repeat(size) + "1:.,");
    const all = grouped(netstrings(), (frame) => frame[0] === 0x2e, {
      maxFrames: Infinity,
      maxLength: Infinity,
    });
    decodeInTinyChunks(all, stream, 100, 1);
  }, 10_000);
});

Deno.test("grouped() refuses an async function, which would make each frame the last", () => {
  const framing = grouped(
    lines(),
    (() => Promise.reject(new Error("no unhandled rejection"))) as never,
  );
  const decoder = new ChunkDecoder(framing);
  assertThrows(() => decoder.decode(bytes("a\n")), TypeError, "isLast");
});

Deno.test("grouped() refuses invalid options", () => {
  assertThrows(() => grouped(lines(), 1 as never), TypeError, "isLast");
  for (const limit of [0, -1, 1.5, NaN]) {
    assertThrows(() => sentences({ maxLength: limit }), RangeError);
    assertThrows(() => sentences({ maxFrames: limit }), RangeError);
  }
});
