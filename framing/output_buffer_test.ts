import { assert, assertEquals, assertThrows } from "@std/assert";
import { SharedFrame } from "../internal/shared_frame.ts";
import { bytes, pick, rounds, seededRandom, text, utf8 } from "./_testing.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Encoder } from "./framing.ts";
import { OutputBuffer } from "./output_buffer.ts";

/** Writes a frame with a function. */
function write(
  output: OutputBuffer,
  frame: (output: ByteOutput) => void,
): void {
  output.push({ encode: () => frame(output) }, undefined);
}

/** The bytes of one frame, written alone. */
function frameOf(frame: (output: ByteOutput) => void): string {
  const output = new OutputBuffer();
  write(output, frame);
  return text(output.takeBytes());
}

Deno.test("OutputBuffer writes bytes, text and numbers in order", () => {
  assertEquals(
    frameOf((output) => {
      output.writeText("é");
      output.writeByte(0x141);
      output.writeBytes(bytes("\xff\0"));
      output.writeText("a");
      output.writeText("b");
      output.writeUint(0x010203, 3);
      output.writeUint(0x010203, 4, true);
      output.writeUint(Number.MAX_SAFE_INTEGER, 8);
      assertEquals(output.length, 22);
    }),
    "\xc3\xa9A\xff\0ab\x01\x02\x03\x03\x02\x01\0\0\x1f\xff\xff\xff\xff\xff\xff",
  );
});

Deno.test("OutputBuffer refuses text that is not a string, also at the beginning", () => {
  const output = new OutputBuffer();
  for (const value of [undefined, null, 5, ["a"]]) {
    for (const before of ["", "a"]) {
      const encoder: Encoder<unknown> = {
        encode(_message, frame) {
          frame.writeText(before);
          frame.writeText(value as never);
        },
      };
      assertThrows(
        () => output.push(encoder, undefined),
        TypeError,
        "must be a string",
      );
    }
  }
  assertEquals(output.byteLength, 0);
});

Deno.test("OutputBuffer refuses an encoder whose encode is an async function", () => {
  const output = new OutputBuffer();
  const encoders: Encoder<string>[] = [
    {
      // deno-lint-ignore require-await -- which the types let through
      async encode(message, frame) {
        frame.writeText(message);
      },
    },
    { encode: () => Promise.reject(new Error("no unhandled rejection")) },
  ];
  for (const encoder of encoders) {
    assertThrows(() => output.push(encoder, "a"), TypeError, "async");
    assertEquals(output.byteLength, 0);
  }
  output.push({ encode: (text, frame) => frame.writeText(text) }, "b");
  assertEquals(text(output.takeBytes()), "b");
});

Deno.test("OutputBuffer refuses an encoder that returns its frame and writes nothing", () => {
  const output = new OutputBuffer();
  const lines: Encoder<string> = {
    encode: (line, frame) => frame.writeText(`${line}\n`),
  };
  output.push(lines, "before");
  // The types allow these: a function may return more than its type needs.
  const asText: Encoder<string> = { encode: (line) => `${line}\n` };
  const asBytes: Encoder<string> = { encode: () => new Uint8Array(1) };
  assertThrows(() => output.push(asText, "a"), TypeError, "gave text");
  assertThrows(() => output.push(asBytes, "a"), TypeError, "gave bytes");
  output.push(lines, "after");
  // Only the written bytes count, whatever the function returns.
  output.push({
    encode(line: string, frame) {
      lines.encode(line, frame);
      return line;
    },
  }, "both");
  output.push({ encode: (line: string) => line }, ""); // an empty frame
  assertEquals(text(output.takeBytes()), "before\nafter\nboth\n");
});

Deno.test("OutputBuffer refuses numbers out of range", () => {
  const output = new OutputBuffer();
  for (
    const [value, size] of [
      [256, 1],
      [-1, 4],
      [0.5, 4],
      [NaN, 4],
      [2 ** 53, 8],
      [1, 0],
      [1, 9],
      [1, 1.5],
      [1, "2" as unknown as number],
      [1, [2] as unknown as number],
    ] as const
  ) {
    assertThrows(
      () => write(output, (frame) => frame.writeUint(value, size)),
      RangeError,
    );
  }
  for (const size of [-1, 0.5, NaN, Infinity]) {
    assertThrows(
      () => write(output, (frame) => void frame.reserve(size)),
      RangeError,
    );
  }
  for (const position of [-1, 0.5, 2, NaN]) {
    assertThrows(
      () =>
        write(output, (frame) => {
          frame.writeText("ab");
          frame.setUint(position, 1, 1);
        }),
      RangeError,
    );
  }
  assertEquals(output.byteLength, 0);
});

Deno.test("OutputBuffer fills in a field at any position", () => {
  // So that the field is before, across and after the end of a buffer.
  for (const before of [0, 3, 1020, 1022, 81_916, 81_918, 81_920, 200_000]) {
    for (const after of [0, 5, 100_000]) {
      const output = new OutputBuffer();
      output.pushShared(SharedFrame.of(new Uint8Array(100)));
      write(output, (frame) => {
        for (let left = before; left > 0; left -= 1000) {
          frame.writeBytes(new Uint8Array(Math.min(left, 1000)).fill(1));
        }
        const field = frame.reserve(4);
        assertEquals(field, before);
        frame.writeText("x".repeat(after));
        frame.setUint(field, 0x01020304, 4);
        frame.setUint(field + 2, frame.length % 65_536, 2, true);
      });
      const sent = output.takeBytes().subarray(100);
      const length = before + 4 + after;
      assertEquals(sent.length, length);
      assertEquals(
        text(sent.subarray(before, before + 4)),
        text(new Uint8Array([1, 2, length & 255, (length >> 8) & 255])),
      );
      assert(sent.subarray(0, before).every((byte) => byte === 1));
      assert(sent.subarray(before + 4).every((byte) => byte === 0x78));
    }
  }
});

Deno.test("OutputBuffer finds a byte like indexOf() of an array", () => {
  const places = [
    0,
    2,
    2.5,
    3,
    4,
    2 ** 32,
    Infinity,
    NaN,
    -1,
    -2,
    -9,
    -Infinity,
  ];
  // The second has its own buffer. The third fills several, one for each write.
  const cases = [[4, 4], [200_000, 200_000], [180_000, 60_000]] as const;
  for (const [length, part] of cases) {
    const frame = new Uint8Array(length).fill(7, 2, 3).fill(7, -1000, -999);
    for (const from of [...places, 60_000, 179_000, -60_000, -1000]) {
      write(new OutputBuffer(), (output) => {
        for (let i = 0; i < length; i += part) {
          output.writeBytes(frame.subarray(i, i + part));
        }
        const at = output.indexOf(7, from);
        assertEquals(at, frame.indexOf(7, from), `${from} of ${length}`);
      });
    }
  }
});

Deno.test("OutputBuffer leaves zeros in a field that is not filled in", () => {
  const output = new OutputBuffer();
  // So that its buffers are reused.
  write(output, (frame) => frame.writeText("x".repeat(1000)));
  for (const segment of output.takeSegments()) segment.giveBack();
  write(output, (frame) => void frame.reserve(8));
  assertEquals(text(output.takeBytes()), "\0".repeat(8));
});

Deno.test("OutputBuffer does not join halves of a surrogate pair from different texts", () => {
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeText("\ud83d"));
  write(output, (frame) => frame.writeText("\ude00"));
  write(output, (frame) => frame.writeText("😀"));
  assertEquals(text(output.takeBytes()), utf8("\ufffd\ufffd😀"));
  assertEquals(
    frameOf((frame) => {
      frame.writeText("a\ud83d");
      frame.writeText("\ude00b");
    }),
    utf8("a\ufffd\ufffdb"),
  );
});

Deno.test("OutputBuffer encodes text of any length like TextEncoder", () => {
  const output = new OutputBuffer();
  for (const unit of ["a", "é", "→", "😀", "a→é😀", "\ud800", "a\udc00"]) {
    for (const length of [1000, 5000, 30_000, 90_000, 300_000]) {
      const message = unit.repeat(length / unit.length);
      write(output, (frame) => frame.writeText(message));
      const expected = utf8(message);
      assert(text(output.takeBytes()) === expected, `${length} of ${unit}`);
    }
  }
});

Deno.test("OutputBuffer counts the waiting bytes and their maximum", () => {
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeText("aé"));
  assert(output.maxByteLength >= 3);
  assertEquals(output.byteLength, 3);
  assertEquals(output.maxByteLength, 3);
});

/** Steps that make frames: small and large, of each kind. */
const STEPS: ((output: ByteOutput) => void)[] = [
  (output) => output.writeByte(1),
  (output) => output.writeText("text é"),
  (output) => output.writeText("x".repeat(20_000)),
  (output) => output.writeText("→".repeat(40_000)),
  (output) => output.writeText("a→é😀".repeat(2000)),
  (output) => output.writeBytes(bytes("bytes")),
  (output) => output.writeBytes(new Uint8Array(70_000).fill(2)),
  (output) => output.writeBytes(new Uint8Array(300_000).fill(3)),
  (output) => output.writeUint(7, 8),
  (output) => output.setUint(output.reserve(3), 5, 3),
];

Deno.test("OutputBuffer drops all of a frame whose encoder throws, and nothing else", () => {
  const random = seededRandom(77);
  for (let round = 0; round < rounds(80); round++) {
    const output = new OutputBuffer();
    let expected = "";
    for (let frames = random(6); frames >= 0; frames--) {
      const steps = Array.from(
        { length: random(5) },
        () => pick(random, STEPS),
      );
      const isRefused = random(2) === 0;
      const encoder: Encoder<undefined> = {
        encode() {
          for (const step of steps) step(output);
          if (isRefused) throw new RangeError("Refused");
        },
      };
      if (isRefused) {
        assertThrows(
          () => output.push(encoder, undefined),
          RangeError,
          "Refused",
        );
      } else {
        output.push(encoder, undefined);
        expected += frameOf((alone) => steps.forEach((step) => step(alone)));
      }
      if (random(4) === 0) assertEquals(output.byteLength, expected.length);
      while (random(3) > 0) {
        const frame = new Uint8Array(pick(random, [3, 700, 9000, 30_000]));
        const shared = SharedFrame.of(frame.fill(random(256)));
        if (random(4) === 0) continue; // for others alone
        output.pushShared(shared);
        expected += text(frame);
      }
      if (random(5) === 0) {
        const sent = output.takeSegments();
        const length = sent.reduce((sum, { bytes }) => sum + bytes.length, 0);
        assertEquals(length, expected.length);
        const parts = sent.map(({ bytes }) => text(bytes));
        assert(parts.join("") === expected);
        for (const segment of sent) segment.giveBack();
        expected = "";
      }
    }
    assert(text(output.takeBytes()) === expected);
    assertEquals(output.byteLength, 0);
  }
});

Deno.test("OutputBuffer shares memory with outputs that write the same shared frames", () => {
  const outputs = [new OutputBuffer(), new OutputBuffer(), new OutputBuffer()];
  const [first, second, third] = ["one", "two", "three"].map((each) =>
    SharedFrame.of(bytes(each))
  );
  const sent = outputs.map((output, index) => {
    output.pushShared(first!);
    output.pushShared(second!);
    if (index === 2) write(output, (frame) => frame.writeText("between"));
    output.pushShared(third!);
    return output.takeSegments();
  });
  assertEquals(
    sent.map((segments) => segments.map(({ bytes }) => text(bytes))),
    [["onetwothree"], ["onetwothree"], ["onetwobetweenthree"]],
  );
  const [[same], [other], [copied]] = sent as [[unknown], [unknown], [unknown]];
  assert(same === other);
  assert(same !== copied);
});

Deno.test("OutputBuffer copies few of the shared frames that follow its own bytes", () => {
  const frames = Array.from(
    { length: 100 },
    () => SharedFrame.of(new Uint8Array(1000)),
  );
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeText("its own"));
  frames.forEach((frame) => output.pushShared(frame));
  const shared = new Set(frames.map(({ bytes }) => bytes.buffer));
  const copied = output.takeSegments()
    .filter(({ bytes }) => !shared.has(bytes.buffer))
    .reduce((sum, { length }) => sum + length, 0);
  assert(copied < 20_000, `${copied} bytes were copied`);
});

Deno.test("OutputBuffer returns no buffer twice", () => {
  const outputs = [new OutputBuffer(), new OutputBuffer()];
  const waiting: { sent: string; bytes: Uint8Array }[] = [];
  for (let round = 0; round < 20; round++) {
    for (const [index, output] of outputs.entries()) {
      assertThrows(() =>
        write(output, (frame) => {
          frame.writeBytes(new Uint8Array(90_000));
          frame.writeByte(1);
          throw new TypeError("Refused");
        })
      );
      write(output, (frame) => frame.writeText(`${round} ${index}`));
      for (const { bytes } of output.takeSegments()) {
        waiting.push({ sent: `${round} ${index}`, bytes });
      }
    }
  }
  for (const { sent, bytes } of waiting) assertEquals(text(bytes), sent);
});

Deno.test("OutputSegment.giveBack() gives a buffer back once", () => {
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeByte(1));
  const [segment] = output.takeSegments();
  segment?.giveBack();
  segment?.giveBack();
  const outputs = [new OutputBuffer(), new OutputBuffer()];
  outputs.forEach((each, i) => write(each, (frame) => frame.writeByte(i)));
  outputs.forEach((each, i) =>
    assertEquals(each.takeBytes(), Uint8Array.of(i))
  );
});

Deno.test("OutputBuffer refuses invalid bytes, and keeps the frames before", () => {
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeText("a"));
  for (
    const wrong of [
      new ArrayBuffer(3),
      new DataView(new ArrayBuffer(3)),
      "abc",
      [1],
    ]
  ) {
    assertThrows(
      () => write(output, (frame) => frame.writeBytes(wrong as never)),
      TypeError,
      "must be a Uint8Array",
    );
  }
  write(output, (frame) => frame.writeText("b"));
  assertEquals(text(output.takeBytes()), "ab");
});

Deno.test("OutputBuffer refuses a frame inside a frame", () => {
  const output = new OutputBuffer();
  const error = assertThrows(
    () => write(output, () => write(output, () => {})),
    DOMException,
  );
  assertEquals(error.name, "InvalidStateError");
  write(output, (frame) => frame.writeByte(0x61));
  assertEquals(text(output.takeBytes()), "a");
});

Deno.test("OutputBuffer can be cleared, also while a frame is written", () => {
  const output = new OutputBuffer();
  write(output, (frame) => frame.writeText("gone"));
  output.clear();
  assertEquals(output.byteLength, 0);
  write(output, (frame) => {
    frame.writeText("gone");
    output.clear();
    frame.writeText("kept");
  });
  assertEquals(text(output.takeBytes()), "kept");
});
