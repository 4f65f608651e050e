import { assert, assertEquals, assertThrows } from "@std/assert";
import { bytes, text } from "./_testing.ts";
import { asJson } from "./as_json.ts";
import { asText } from "./as_text.ts";
import { assembled } from "./assembled.ts";
import { type Batch, takeBatch } from "./batch.ts";
import type { Bytes } from "./bytes.ts";
import { contentLength } from "./content_length.ts";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { grouped } from "./grouped.ts";
import { headed } from "./headed.ts";
import { InputBuffer } from "./input_buffer.ts";
import { lengthPrefixed } from "./length_prefixed.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { netstrings } from "./netstrings.ts";

/** All batches of `stream`, read in chunks of `length` bytes, as `look` sees them. */
function batchesOf<In, T>(
  framing: Framing<In, never>,
  stream: string,
  length: number,
  look: (batch: Batch<In>) => T,
): T[] {
  const input = new InputBuffer();
  const decoder = framing.decoder();
  const seen: T[] = [];
  const take = (ended: boolean) => {
    for (;;) {
      const batch = takeBatch(input, decoder, ended);
      if (batch === undefined) return;
      assert(batch.length > 0);
      seen.push(look(batch));
      batch.release();
    }
  };
  const all = bytes(stream);
  for (let at = 0; at < all.length; at += length) {
    const chunk = all.subarray(at, at + length);
    input.room(chunk.length, chunk.length, 64).set(chunk);
    input.fill(chunk.length);
    take(false);
  }
  take(true);
  return seen;
}

Deno.test("Batch gives the same messages with every method, in every cut", () => {
  const stream = "one\r\n\n안녕\nlast".replace(
    "안녕",
    "\xec\x95\x88\xeb\x85\x95",
  );
  const expected = ["one\r", "", "\xec\x95\x88\xeb\x85\x95", "last"];
  for (let length = 1; length <= stream.length; length++) {
    const framing = delimited("\n");
    const views = batchesOf(framing, stream, length, (batch) => [...batch]);
    assertEquals(views.flat().map(text), expected);
    const at = batchesOf(
      framing,
      stream,
      length,
      (batch) =>
        Array.from({ length: batch.length }, (_, i) => text(batch.at(i))),
    );
    assertEquals(at.flat(), expected);
    const first = batchesOf(
      framing,
      stream,
      length,
      (batch) =>
        Array.from({ length: batch.length }, (_, i) => batch.byteAt(i, 0)),
    );
    assertEquals(first.flat(), [0x6f, undefined, 0xec, 0x6c]);
    const texts = batchesOf(
      lines(),
      stream,
      length,
      (batch) =>
        Array.from({ length: batch.length }, (_, i) => batch.textAt(i)),
    );
    assertEquals(texts.flat(), ["one", "", "안녕", "last"]);
    const strings = batchesOf(lines(), stream, length, (batch) => [...batch]);
    assertEquals(strings.flat(), ["one", "", "안녕", "last"]);
    const frames = batchesOf(framing, stream, length, ({ framesOf }) =>
      framesOf)
      .length;
    assert(frames > 0);
  }
});

Deno.test("Batch.framesOf() gives frames unchanged", () => {
  const input = new InputBuffer();
  input.append(bytes("\x01a\x02bc\x00\x01d"));
  const batch = takeBatch(input, lengthPrefixed({ fieldSize: 1 }).decoder());
  assert(batch !== undefined);
  const framesOf = (from?: number, to?: number) => {
    const { count, frames } = batch.framesOf(from, to);
    return [count, text(frames)];
  };
  assertEquals(framesOf(), [4, "\x01a\x02bc\x00\x01d"]);
  assertEquals(framesOf(1, 3), [2, "\x02bc\x00"]);
  assertEquals(framesOf(2, 2), [0, ""]);
  assertThrows(() => batch.framesOf(3, 2), RangeError);
  assertThrows(() => batch.framesOf(0, 5), RangeError);
});

Deno.test("Batch.framesOf() gives frames unchanged if they are found one by one, in every cut", () => {
  const oversize = "discard";
  const fieldSize = 1;
  for (
    const [framing, stream, expected] of [
      [
        contentLength(),
        "Content-Length: 1\r\n\r\naContent-Length: 0\r\n\r\n",
        "Content-Length: 1\r\n\r\naContent-Length: 0\r\n\r\n",
      ],
      [
        lengthPrefixed({ fieldSize, oversize, maxLength: 2 }),
        "\x01a\x03bbb\x02cc",
        "\x01a\x02cc",
      ],
      [netstrings({ oversize, maxLength: 2 }), "1:a,3:bbb,2:cc,", "1:a,2:cc,"],
      [delimited(";", { disposition: "prefix" }), "a;b;c", "a;b;c"],
    ] satisfies [Framing<Bytes, never>, string, string][]
  ) {
    for (let length = 1; length <= stream.length; length++) {
      const seen = batchesOf(framing, stream, length, (batch) => ({
        frames: text(batch.framesOf().frames),
        views: Array.from({ length: batch.length }, (_, i) => {
          assertEquals(batch.bytesAt(i), batch.at(i));
          return text(batch.framesOf(i, i + 1).frames);
        }),
      }));
      assertEquals(seen.map(({ frames }) => frames).join(""), expected);
      assertEquals(seen.flatMap(({ views }) => views).join(""), expected);
    }
  }
});

Deno.test("Batch delivers the messages before an error first", () => {
  for (const chunk of [1, 3, 100]) {
    for (
      const framing of [
        lines({ maxLength: 3 }),
        lines({ maxLength: 3, fatal: true }),
      ]
    ) {
      const seen: string[][] = [];
      const error = assertThrows(
        () =>
          batchesOf(
            framing,
            "a\nb\nmuch\nc\n",
            chunk,
            (batch) => seen.push([...batch]),
          ),
        FramingError,
      );
      assertEquals(seen.flat(), ["a", "b"]);
      assertEquals(error.offset, 4);
    }
    const seen: unknown[] = [];
    assertThrows(
      () =>
        batchesOf(
          asJson(delimited("\n")),
          "1\n[2]\n{\n3\n",
          chunk,
          (batch) => seen.push(...batch),
        ),
      FramingError,
    );
    assertEquals(seen, [1, [2]]);
  }
});

Deno.test("Batch skips discarded messages", () => {
  const dropped: number[] = [];
  const framing = lines({
    maxLength: 3,
    oversize: "discard",
    onDiscard: (length) => dropped.push(length),
  });
  for (const chunk of [1, 4, 100]) {
    const seen = batchesOf(
      framing,
      "a\nmuch too long\nb\nc\n",
      chunk,
      (batch) => {
        // A forwarded frame belongs to its message.
        assert(!text(batch.framesOf().frames).includes("much"));
        return [...batch];
      },
    );
    assertEquals(seen.flat(), ["a", "b", "c"]);
  }
  assertEquals(dropped, [13, 13, 13]);
});

Deno.test("Batch keeps the positions of its messages if later ones are dropped or refused", () => {
  const onMalformed = "discard";
  const long = JSON.stringify("x".repeat(6000)); // a chunk that is released
  for (
    const [framing, stream, expected] of [
      [asJson(delimited("\n"), { onMalformed }), "1\n2\noops\n", "1\n2\n"],
      [asJson(delimited("\n")), "1\n2\n{\n", "1\n2\n"],
      [asJson(delimited("\n"), { onMalformed }), "1\noops\n2\n{", "1\n2\n"],
      [asJson(delimited("\n")), `1\n${long}\n`, `1\n${long}\n`],
    ] as const
  ) {
    const input = new InputBuffer();
    input.append(bytes(stream));
    const batch = takeBatch(input, framing.decoder());
    assert(batch !== undefined);
    assertEquals(text(batch.framesOf().frames), expected);
    assertEquals(batch.textAt(0), "1\n");
    assertEquals(text(batch.bytesAt(0)), "1\n");
    assertEquals(batch.byteAt(0, 0), 0x31);
    assertEquals(batch.uintAt(0, 0, 2), 0x310a);
    batch.release();
  }
});

Deno.test("Batch.framesOf() refuses a frame that is not exactly one message, in every cut", () => {
  const messages = headed(lines(), (line) => line === "0" ? undefined : line);
  const groups = grouped(lines(), (line) => line.endsWith("."));
  const words = assembled(lines(), () =>
    function* (line) {
      yield* line.split(" ");
    });
  const sentences = assembled(lines(), () => {
    let begun = "";
    return function* (line) {
      const parts = line.split(".");
      parts[0] = begun + parts[0];
      begun = parts.pop() ?? "";
      yield* parts;
      return begun !== "";
    };
  });
  for (
    const [framing, stream, expected] of [
      [messages, "0\n2\nhi0\n", ["0\n", undefined, "0\n"]],
      [
        mapped(messages, { decode: (it) => it, encode: (it) => it }),
        "0\n1\n.0\n",
        [
          "0\n",
          undefined,
          "0\n",
        ],
      ],
      [groups, "a.\nb\nc.\nd.\n", ["a.\n", undefined, "d.\n"]],
      [words, "a b\nc\n", [undefined, undefined, "c\n"]],
      [sentences, "a.b\nc.\nd.\n", [undefined, undefined, "d.\n"]],
    ] satisfies [Framing<unknown, never>, string, unknown[]][]
  ) {
    for (let length = 1; length <= stream.length; length++) {
      const frames = batchesOf<unknown, unknown[]>(
        framing,
        stream,
        length,
        (batch) => {
          const isAll = batch.length === 3;
          if (isAll) {
            assertThrows(() => batch.framesOf(), TypeError, "in parts");
          }
          return Array.from({ length: batch.length }, (_, i) => {
            try {
              return text(batch.framesOf(i, i + 1).frames);
            } catch (error) {
              assert(error instanceof TypeError);
              return undefined;
            }
          });
        },
      );
      assertEquals(frames.flat(), expected);
    }
  }
});

Deno.test("Batch cannot be used after it was released, but its messages can", () => {
  const input = new InputBuffer();
  const decoder = delimited("\n").decoder();
  const room = () => input.room(1, 64, 64);
  room().set(bytes("one\ntwo\n"));
  input.fill(8);
  const batch = takeBatch(input, decoder);
  assert(batch !== undefined);
  const [one, two] = batch;
  batch.release();
  const uses: (() => unknown)[] = [
    () => batch.at(0),
    () => batch.byteAt(0, 0),
    () => batch.uintAt(0, 0, 1),
    () => batch.textAt(0),
    () => batch.bytesAt(0),
    () => [...batch],
    () => batch.framesOf(),
  ];
  for (const use of uses) {
    assertThrows(use, DOMException, "next one was asked for");
  }
  room().set(bytes("xxxx\nyyyy\n"));
  input.fill(10);
  const later = takeBatch(input, decoder);
  assertEquals([one, two].map((each) => text(each ?? new Uint8Array())), [
    "one",
    "two",
  ]);
  assertThrows(() => later?.at(2), RangeError);
});

Deno.test("Batch refuses indices that are not whole numbers", () => {
  const input = new InputBuffer();
  input.append(bytes("one\ntwo\nsix\n"));
  const batch = takeBatch(input, lines().decoder());
  assert(batch !== undefined);
  for (const index of [0.5, 1.5, -0.5, NaN]) {
    const uses: (() => unknown)[] = [
      () => batch.at(index),
      () => batch.byteAt(index, 0),
      () => batch.uintAt(index, 0, 1),
      () => batch.textAt(index),
      () => batch.bytesAt(index),
      () => batch.framesOf(index),
      () => batch.framesOf(0, index),
    ];
    for (const use of uses) assertThrows(use, RangeError, "there are 3");
  }
  assertEquals(batch.uintAt(0, 0.5, 1), undefined);
  batch.release();
});

Deno.test("Batch.allTexts() returns an array that its caller may change", () => {
  const input = new InputBuffer();
  input.append(bytes("one\ntwo\n"));
  const batch = takeBatch(input, lines().decoder());
  assert(batch !== undefined);
  batch.allTexts().reverse();
  assertEquals(batch.textAt(0), "one");
  batch.allTexts().reverse();
  assertEquals([batch.textAt(0), ...batch], ["one", "one", "two"]);
  batch.release();
});

Deno.test("Batch.uintAt() reads integers inside each message, in both byte orders", () => {
  const input = new InputBuffer();
  input.append(bytes("\x01\x02\x03\x04\n\x05\n\n"));
  const batch = takeBatch(input, delimited("\n").decoder());
  assert(batch !== undefined);
  const seen = [0, 1, 2].map((index) => [
    batch.uintAt(index, 0, 4),
    batch.uintAt(index, 1, 3, true),
    batch.uintAt(index, 0, 1),
    batch.uintAt(index, 1, 4),
    batch.uintAt(index, -1, 1),
  ]);
  assertEquals(seen, [
    [0x01020304, 0x040302, 1, undefined, undefined],
    [undefined, undefined, 5, undefined, undefined],
    [undefined, undefined, undefined, undefined, undefined],
  ]);
  for (const size of [0, 9, 1.5, NaN]) {
    assertThrows(() => batch.uintAt(0, 0, size), RangeError, "size");
  }
  assertThrows(() => batch.uintAt(3, 0, 1), RangeError, "there are 3");
  batch.release();
});

Deno.test("InputBuffer reuses its buffer if no message of a batch was made", () => {
  const decoder = delimited("\n").decoder();
  function buffersUsed(look: (batch: Batch<Bytes>) => unknown): number {
    const input = new InputBuffer();
    const buffers = new Set<ArrayBufferLike>();
    for (let i = 0; i < 100; i++) {
      const room = input.room(64, 64, 512);
      buffers.add(room.buffer);
      room.set(bytes("one\ntwo\n"));
      input.fill(8);
      const batch = takeBatch(input, decoder);
      assert(batch !== undefined);
      look(batch);
      batch.release();
    }
    return buffers.size;
  }
  assertEquals(buffersUsed((batch) => batch.length), 1);
  assertEquals(buffersUsed((batch) => batch.byteAt(0, 0)), 1);
  assertEquals(buffersUsed((batch) => batch.uintAt(0, 0, 2)), 1);
  assertEquals(buffersUsed((batch) => batch.textAt(1)), 1);
  assertEquals(buffersUsed((batch) => batch.framesOf().frames.length), 1);
  assert(buffersUsed((batch) => batch.at(0)) > 1);
  assert(buffersUsed((batch) => [...batch]) > 1);
});

Deno.test("Batch throws in every method after the next batch was requested", () => {
  const input = new InputBuffer();
  const chunk = bytes("one\ntwo\n");
  input.room(chunk.length, chunk.length, 64).set(chunk);
  input.fill(chunk.length);
  const batch = takeBatch(input, lines().decoder(), false);
  assert(batch);
  assertEquals(batch.allTexts(), ["one", "two"]);
  batch.release();
  batch.release(); // does nothing
  for (
    const look of [
      () => batch.at(0),
      () => batch.byteAt(0, 0),
      () => batch.uintAt(0, 0, 1),
      () => batch.textAt(0),
      () => batch.bytesAt(0),
      () => batch.allTexts(),
      () => batch.allBytes(),
      () => [...batch],
    ]
  ) {
    const error = assertThrows(look, DOMException);
    assertEquals(error.name, "InvalidStateError");
  }
});

Deno.test("takeBatch() leaves bytes that its decoder refuses after a batch to another decoder", () => {
  const decoders = [
    () => lines({ fatal: true }).decoder(),
    () => asJson(delimited("\n")).decoder(),
  ];
  for (const makeDecoder of decoders) {
    for (const other of [undefined, fixedLength(2).decoder()]) {
      const input = new InputBuffer();
      input.append(new Uint8Array([0x31, 0x0a, 0xff, 0x0a, 0x32, 0x0a]));
      const decoder = makeDecoder();
      const batch = takeBatch(input, decoder);
      assertEquals(batch?.length, 1);
      batch?.release();
      if (other === undefined) {
        assertThrows(() => input.pull(decoder), FramingError, "UTF-8");
        assertThrows(() => takeBatch(input, decoder), FramingError, "UTF-8");
      } else {
        assertEquals(input.pull(other), new Uint8Array([0xff, 0x0a]));
        assertEquals(takeBatch(input, makeDecoder())?.length, 1);
      }
    }
  }
});

Deno.test("Batch gives the positions of checked text as of other text", () => {
  const stream = bytes("\x03one\x00\x05three");
  for (const fatal of [false, true]) {
    const framing = asText(lengthPrefixed({ fieldSize: 1 }), { fatal });
    const input = new InputBuffer();
    input.append(stream);
    const batch = takeBatch(input, framing.decoder());
    assert(batch);
    assertEquals(batch.allTexts(), ["one", "", "three"]);
    assertEquals(batch.bytesAt(2), bytes("three"));
    assertEquals(batch.byteAt(0, 0), 0x6f);
    assertEquals(batch.framesOf(1).frames, bytes("\x00\x05three"));
    batch.release();
  }
});
