import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { giveBackFrames, takeFrames } from "./_frames.ts";
import {
  assertLinear,
  assertTimes,
  bytes,
  pick,
  seededRandom,
  text,
} from "./_testing.ts";
import { takeBatch } from "./batch.ts";
import type { Bytes } from "./bytes.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Decoder } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { grouped } from "./grouped.ts";
import { InputBuffer } from "./input_buffer.ts";
import { lines } from "./lines.ts";

/** Reads `chunk` like a connection. */
function read(input: InputBuffer, chunk: Uint8Array, size = 64): void {
  for (let rest = chunk; rest.length > 0;) {
    const room = input.room(1, size, size);
    const part = rest.subarray(0, room.length);
    room.set(part);
    input.fill(part.length);
    rest = rest.subarray(part.length);
  }
}

function holding(stream: string): InputBuffer {
  const input = new InputBuffer();
  input.append(bytes(stream));
  return input;
}

Deno.test("InputBuffer reads only the bytes that are there", () => {
  const input = holding("..\x01\x02\x03\x04\xff\xff\xff\xff\xff\xff");
  input.skip(2);
  assertEquals(input.length, 10);
  assertEquals(input.offset, 2);
  assertEquals([-1, 0, 9, 10, NaN].map((index) => input.byteAt(index)), [
    undefined,
    1,
    255,
    undefined,
    undefined,
  ]);
  assertEquals(input.uintAt(0, 1), 1);
  assertEquals(input.uintAt(0, 3), 0x010203);
  assertEquals(input.uintAt(0, 4), 0x01020304);
  assertEquals(input.uintAt(0, 4, true), 0x04030201);
  assertEquals(input.uintAt(4, 4), 0xffffffff);
  assertEquals(input.uintAt(3, 7), 0x04ffffffffffff);
  assertEquals(input.uintAt(7, 4), undefined);
  assertEquals(input.uintAt(-1, 2), undefined);
  assertEquals(input.uintAt(NaN, 2), undefined);
  assertEquals(text(input.bytesAt(1, 3)), "\x02\x03");
  assertEquals(input.indexOf(1, -5), 0);
  assertEquals(input.indexOf(1, NaN), 0);
  assertEquals(input.indexOf(0x2e), -1);
  assertEquals(input.indexOf(bytes("\x02\x03")), 1);
  assertEquals(input.indexOf(255, 100), -1);
  for (
    const wrong of [
      () => input.bytesAt(0, 11),
      () => input.bytesAt(-1, 2),
      () => input.bytesAt(3, 2),
      () => input.textAt(0, 11),
      () => input.take(11),
      () => input.take(-1),
      () => input.takeText(11),
      () => input.skip(11),
      () => input.skip(-1),
      () => input.skip(NaN),
      () => input.skip(0.5),
      () => input.take(1.5),
      () => input.bytesAt(0.5, 2),
      () => input.need(NaN),
      () => input.uintAt(0, 0),
      () => input.uintAt(0, 9),
      () => input.uintAt(0, 1.5),
      () => input.uintAt(0, -1),
      () => input.indexOf(new Uint8Array()),
    ]
  ) {
    assertThrows(wrong, RangeError);
  }
  assertEquals(input.length, 10);
});

Deno.test("InputBuffer takes bytes and text from the front, also none", () => {
  const input = holding("ab\xc3\xa9c");
  assertEquals(text(input.take(2)), "ab");
  assertEquals(input.takeText(2), "é");
  assertEquals(text(input.take(0)), "");
  assertEquals([input.offset, input.length], [4, 1]);
  input.clear();
  assertEquals([input.offset, input.length], [5, 0]);
  input.append(bytes("d"));
  assertEquals(text(input.take(1)), "d");
  assertEquals(input.offset, 6);
});

Deno.test("InputBuffer refuses an invalid chunk", () => {
  for (const wrong of ["abc", undefined, [1], new ArrayBuffer(1)]) {
    assertThrows(() => new InputBuffer().append(wrong as never), TypeError);
  }
});

Deno.test({
  name: "InputBuffer and ChunkDecoder refuse a chunk whose buffer is detached",
  ignore: !("detached" in ArrayBuffer.prototype), // not before Node 22
}, () => {
  const chunk = bytes("hello\n");
  structuredClone(chunk, { transfer: [chunk.buffer] });
  const input = new InputBuffer();
  assertThrows(() => input.append(chunk), TypeError, "detached");
  for (const first of ["", "a", "a\n"]) {
    const decoder = new ChunkDecoder(lines());
    decoder.decode(bytes(first));
    assertThrows(() => decoder.decode(chunk), TypeError, "detached");
  }
});

Deno.test("InputBuffer never overwrites bytes that it has returned", () => {
  const random = seededRandom(31);
  for (let round = 0; round < 200; round++) {
    const input = new InputBuffer();
    const kept: { message: Bytes; was: string }[] = [];
    let next = 0;
    let taken = 0;
    for (let step = 0; step < 60; step++) {
      const length = random(pick(random, [2, 20, 300]));
      const chunk = Uint8Array.from({ length }, () => next++ & 0xff);
      if (random(2) === 0) read(input, chunk, 1 + random(200));
      else input.append(chunk);
      while (input.length > 0 && random(3) > 0) {
        const count = random(input.length + 1);
        if (random(2) === 0) input.skip(count);
        else {
          const message = input.take(count);
          kept.push({ message, was: text(message) });
        }
        taken += count;
        assertEquals(input.offset, taken);
      }
      assertEquals(taken + input.length, next);
      // The remaining bytes are the next ones of the stream.
      assertEquals(
        input.byteAt(0),
        input.length === 0 ? undefined : taken & 0xff,
      );
    }
    for (const { message, was } of kept) assertEquals(text(message), was);
  }
});

Deno.test("InputBuffer reuses a buffer only if it has returned no view of it", () => {
  const input = new InputBuffer();
  const buffers = new Set<ArrayBuffer>();
  function next(take: (length: number) => void) {
    const room = input.room(1, 1000, 1000);
    buffers.add(room.buffer);
    room.fill(1);
    input.fill(room.length);
    take(input.length);
  }
  for (let i = 0; i < 100; i++) next((length) => input.skip(length));
  for (let i = 0; i < 100; i++) next((length) => input.takeText(length));
  assertEquals(buffers.size, 1);
  for (let i = 0; i < 10; i++) next((length) => input.take(length));
  assertEquals(buffers.size, 10);
});

Deno.test("InputBuffer copies a small message out of a large buffer", () => {
  const input = new InputBuffer();
  const size = 1024 * 1024;
  const room = input.room(size, size, size);
  input.fill(room.length);
  const small = input.take(100);
  assertEquals(small.buffer.byteLength, 100);
  // So no view of the buffer was returned.
  input.skip(input.length);
  assertStrictEquals(input.room(1, size, size).buffer, room.buffer);
  input.fill(size);
  assertStrictEquals(input.take(size >> 1).buffer, room.buffer);
});

/** Takes messages of `length` bytes, and counts how often it is called. */
function counting(length: number, maxFrameLength?: number) {
  const decoder = {
    calls: 0,
    maxFrameLength,
    decode(input: Parameters<Decoder<Bytes>["decode"]>[0]) {
      decoder.calls++;
      return input.length < length ? input.need(length) : input.take(length);
    },
  };
  return decoder;
}

Deno.test("InputBuffer calls a decoder again only when the bytes that it needs are there", () => {
  const input = new InputBuffer();
  const decoder = counting(1000);
  for (let count = 0; count < 999; count++) {
    read(input, bytes("x"));
    assertEquals(input.pull(decoder), undefined);
    assertEquals(input.missing, 999 - count);
  }
  assertEquals(decoder.calls, 1);
  read(input, bytes("x"));
  assertEquals(input.pull(decoder)?.length, 1000);
  assertEquals(decoder.calls, 2);
  // Without more bytes the same decoder would return the same.
  for (let i = 0; i < 3; i++) assertEquals(input.pull(decoder), undefined);
  assertEquals(decoder.calls, 3);
});

Deno.test("InputBuffer calls another decoder, and any decoder at the end, regardless of need()", () => {
  const input = holding("ab");
  assertEquals(input.pull(counting(10)), undefined);
  assertEquals(text(input.pull(fixedLength(1).decoder())!), "a");
  const ended: boolean[] = [];
  const decoder: Decoder<string> = {
    decode(input, isEnd) {
      ended.push(isEnd);
      return isEnd && input.length > 0
        ? input.takeText(input.length)
        : input.need(100);
    },
  };
  assertEquals(input.pull(decoder), undefined);
  assertEquals(input.pull(decoder, true), "b");
  assertEquals(ended, [false, true]);
});

Deno.test("InputBuffer calls the decoder again after other code has taken bytes", () => {
  const input = holding("0123456789");
  const decoder = lines().decoder();
  assertEquals(input.pull(decoder), undefined);
  input.skip(8);
  input.append(bytes("\n"));
  assertEquals(input.pull(decoder), "89");
  assertEquals(input.pull(decoder), undefined);
});

Deno.test("InputBuffer calls a decoder again that takes bytes but makes no message", () => {
  const input = holding("---a--b---");
  const decoder: Decoder<string> = {
    decode(input) {
      if (input.byteAt(0) === 0x2d) return void input.skip(1);
      return input.length > 0 ? input.takeText(1) : undefined;
    },
  };
  assertEquals(input.pull(decoder), "a");
  assertEquals(input.pull(decoder), "b");
  assertEquals(input.pull(decoder), undefined);
  assertEquals(input.length, 0);
});

Deno.test("InputBuffer throws as soon as a decoder needs more than the limit", () => {
  const input = holding("..header");
  input.skip(2);
  const error = assertThrows(
    () => input.pull(counting(2 ** 30)),
    FramingError,
  );
  assertEquals([error.code, error.limit, error.offset], [
    "too-long",
    1_048_576,
    2,
  ]);
  assertEquals(
    holding("header").pull(counting(2 ** 30, 2 ** 31)),
    undefined,
  );
});

Deno.test("InputBuffer applies the same limit to a frame that arrived whole", () => {
  assertEquals(holding("abcd").pull(counting(4, 4))?.length, 4);
  const input = holding("x12345");
  input.skip(1);
  const error = assertThrows(() => input.pull(counting(5, 4)), FramingError);
  assertEquals([error.code, error.offset], ["too-long", 1]);
});

Deno.test("InputBuffer reports bytes that remain at the end", () => {
  const input = holding("abc");
  const decoder = fixedLength(2).decoder();
  assertEquals(text(input.pull(decoder, true)!), "ab");
  const error = assertThrows(() => input.pull(decoder, true), FramingError);
  assertEquals([error.code, error.offset], ["truncated", 2]);
  const half: Decoder<string> = { pending: true, decode: () => undefined };
  assertThrows(() => new InputBuffer().pull(half, true), FramingError);
});

Deno.test("InputBuffer gives the offset of a message that was taken in parts", () => {
  const parts = grouped(fixedLength(1), ([byte]) => byte === 0x2e);
  for (const isBatch of [false, true]) {
    const decoder = parts.decoder();
    const input = holding("a.b");
    const take = (ended = false) =>
      isBatch ? takeBatch(input, decoder, ended) : input.pull(decoder, ended);
    assert(take());
    assertEquals(take(), undefined);
    input.append(bytes("c"));
    assertEquals(take(), undefined);
    const error = assertThrows(() => take(true), FramingError);
    assertEquals([error.code, error.offset], ["truncated", 2]);
  }
});

Deno.test("InputBuffer holds no more than the limit and one read", () => {
  const maxLength = 100_000;
  for (const readSize of [512, 16 * 1024]) {
    for (
      const decoder of [
        lines({ maxLength }).decoder(),
        counting(maxLength, maxLength),
      ]
    ) {
      const input = new InputBuffer();
      for (let length = 0; length < maxLength;) {
        const room = input.room(1, readSize, readSize);
        const count = Math.min(room.length, maxLength - length);
        input.fill(count);
        length += count;
        if (length < maxLength) {
          assertEquals(input.pull<unknown>(decoder), undefined);
        }
        assert(input.size <= maxLength + readSize, `${input.size} bytes`);
      }
    }
  }
});

Deno.test("InputBuffer reserves memory for a length only as bytes arrive", () => {
  const input = new InputBuffer();
  const decoder = counting(2 ** 30, Infinity);
  read(input, bytes("header"), 512);
  assertEquals(input.pull(decoder), undefined);
  read(input, new Uint8Array(1000), 512);
  assert(input.size <= 4096, `${input.size} bytes`);
});

Deno.test("InputBuffer releases a large chunk when little of it is left", () => {
  const input = new InputBuffer();
  const chunk = new Uint8Array(65_536).fill(0x0a);
  chunk.fill(0x78, -100);
  input.append(chunk);
  const decoder = lines().decoder();
  while (input.pull(decoder) !== undefined);
  assertEquals(input.length, 100);
  assert(input.size < 1000, `${input.size} bytes`);
});

Deno.test("InputBuffer copies a message a constant number of times while it grows", () => {
  assertLinear((size) => {
    const input = new InputBuffer();
    const decoder = counting(size, Infinity);
    const chunk = new Uint8Array(16);
    for (let length = 0; length < size; length += 16) {
      read(input, chunk);
      input.pull(decoder);
    }
    assertEquals(input.length, 0);
  }, 128 * 1024);
});

Deno.test("InputBuffer serves decoders that differ from message to message", () => {
  const input = holding("line\r\n12345tail\nrest");
  const line = lines().decoder();
  const five = fixedLength(5).decoder();
  assertEquals(input.pull(line), "line");
  assertEquals(text(input.pull(five)!), "12345");
  assertEquals(input.pull(line), "tail");
  assertEquals(input.pull(line), undefined);
  assertEquals(input.takeText(4), "rest");
});

Deno.test("InputBuffer searches bytes once for framings that are made for each message", () => {
  const input = holding("a".repeat(1024 * 1024));
  const sought = bytes("\r\n");
  function ask(make: () => Uint8Array) {
    for (let i = 0; i < 1000; i++) assertEquals(input.indexOf(make()), -1);
  }
  assertTimes(10, () => ask(() => sought), () => ask(() => sought.slice()));
});

Deno.test("InputBuffer's decoder keeps no bytes of messages that were taken", () => {
  const room = takeFrames(0);
  giveBackFrames(room);
  const decoder = delimited("\n").decoder();
  const input = holding("a message\n".repeat(64));
  for (let i = 0; i < 64; i++) assert(input.pull(decoder) !== undefined);
  assertEquals(input.pull(decoder), undefined);
  // An idle connection would otherwise keep the bytes and the messages.
  const again = takeFrames(0);
  giveBackFrames(again);
  assertStrictEquals(again, room);
});
