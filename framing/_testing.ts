/**
 * Shared by the tests of the framings: bytes written as text, seeded random numbers,
 * and a decoder driven through every split of its input.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { ChunkDecoder, ChunkEncoder } from "./chunk_decoder.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { InputBuffer } from "./input_buffer.ts";
import { OutputBuffer } from "./output_buffer.ts";
import { unframed } from "./unframed.ts";
import { seededRandom } from "../internal/random.ts";

export { seededRandom };

/** One byte a character, so that any byte can be written: `"\xff"`. */
export function bytes(text: string): Bytes {
  const result = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) result[i] = text.charCodeAt(i);
  return result;
}

// Every engine allows this many arguments.
const MAX_ARGUMENTS = 10_000;

/** The inverse of {@linkcode bytes}. */
export function text(bytes: Uint8Array): string {
  let result = "";
  for (let start = 0; start < bytes.length; start += MAX_ARGUMENTS) {
    const part = bytes.subarray(start, start + MAX_ARGUMENTS);
    // The types want an array. Spreading takes ten times as long.
    result += String.fromCharCode.apply(
      null,
      part as Iterable<number> as number[],
    );
  }
  return result;
}

/** The UTF-8 of `string`, one character a byte, as {@linkcode text} writes it. */
export function utf8(string: string): string {
  return text(new TextEncoder().encode(string));
}

/**
 * How many random cases a test tries: all in Deno, and a tenth in the other runtimes,
 * where the tests run again.
 */
export function rounds(count: number): number {
  return "version" in Deno ? count : Math.ceil(count / 10);
}

/** Messages of lengths around powers of two, made of `pieces`, each with one of `ends`. */
export function randomLargeStream(
  random: (limit: number) => number,
  pieces: readonly string[],
  ends: readonly string[],
): string {
  const lengths = [0, 1, 4, 8, 16, 32, 64, 256, 4096, 65_536];
  let stream = "";
  for (let messages = 20 + random(60); messages > 0; messages--) {
    // The longest ones are rare.
    const longest = random(random(lengths.length) + 1);
    const length = Math.max(0, (lengths[longest] ?? 0) + random(5) - 2);
    const filler = pick(random, pieces);
    let message = "";
    while (message.length < length) {
      message += random(4) === 0 ? pick(random, pieces) : filler;
    }
    stream += message.slice(0, length) + pick(random, ends);
  }
  return stream;
}

/** `stream` in chunks of about `length` bytes, each in a buffer of its own. */
export function chunksOf(
  stream: string,
  length: number,
  random: (limit: number) => number,
): Bytes[] {
  const chunks: Bytes[] = [];
  for (let start = 0; start < stream.length;) {
    const end = start + Math.max(1, length + random(3) - 1);
    chunks.push(bytes(stream.slice(start, end)));
    start = end;
  }
  return chunks;
}

/** One of `choices`, which must not be empty. */
export function pick<T>(
  random: (limit: number) => number,
  choices: readonly T[],
): T {
  return choices[random(choices.length)] as T; // below the length, so it is there
}

/** Text of up to `maxLength` characters, each one of `alphabet`. */
export function randomText(
  random: (limit: number) => number,
  alphabet: string,
  maxLength: number,
): string {
  let result = "";
  for (let length = random(maxLength + 1); length > 0; length--) {
    result += pick(random, [...alphabet]);
  }
  return result;
}

/** The end of an outcome: decoding failed with `code` at byte `offset`. */
export interface Failure {
  code: FramingError["code"];
  offset: number | undefined;
}

/**
 * The outcome of a stream: its messages (those of bytes as {@linkcode text}), then the
 * discarded lengths, if any, then the failure, if any.
 */
export type Outcome = unknown[];

/** The last entry of a failed {@linkcode Outcome}. */
export function failure(code: Failure["code"], offset: number): Failure {
  return { code, offset };
}

/** A framing, or how to make one that reports to `onDiscard`. */
export type FramingSource =
  | Framing<unknown, never>
  | ((onDiscard: (byteLength: number) => void) => Framing<unknown, never>);

/** Options for {@linkcode decodeInEverySplit}. */
export interface SplitOptions {
  /**
   * The maximum number of splits. If there are more, as many random ones are tried
   * ({@linkcode rounds}).
   */
  splits?: number;
  /** The seed of the random splits. */
  seed?: number;
}

/**
 * Decodes `input` whole, byte by byte and in many other splits (all, if it is short),
 * asserts that the outcome never differs, and returns it.
 */
export function decodeInEverySplit(
  source: FramingSource,
  input: string | Uint8Array,
  options: SplitOptions = {},
): Outcome {
  const { splits = 1000, seed = 1 } = options;
  const stream = typeof input === "string" ? bytes(input) : input;
  const expected = decodeChunks(source, [stream.slice()]);
  const fingerprint = JSON.stringify(expected);
  let number = 0;
  for (const cuts of cutsOf(stream.length, splits, seed)) {
    number++;
    const chunks = layOut(cutAt(stream, cuts), number % 3);
    const outcome = number % 4 === 3
      ? pullChunks(source, chunks, 1 + number % 50)
      : decodeChunks(source, chunks, number % 2 === 0);
    if (JSON.stringify(outcome) !== fingerprint) {
      assertEquals(
        outcome,
        expected,
        `Decoded whole and in chunks differ: ${
          JSON.stringify(chunks.map((chunk) => chunk.length))
        } bytes of ${JSON.stringify(text(stream))}`,
      );
    }
  }
  return expected;
}

/** Yields ways to cut an input of `length` bytes. */
function* cutsOf(
  length: number,
  splits: number,
  seed: number,
): Generator<number[]> {
  const places = Array.from(
    { length: Math.max(0, length - 1) },
    (_, i) => i + 1,
  );
  // Empty chunks must not change the outcome.
  yield [0, 0, ...places.flatMap((place) => [place, place]), length];
  const ways = 2 ** places.length;
  if (ways <= splits) {
    for (let way = 0; way < ways; way++) {
      yield places.filter((place) => way & (1 << (place - 1)));
    }
    return;
  }
  yield places;
  const random = seededRandom(seed);
  for (let split = 0; split < rounds(splits); split++) {
    const one = 1 + random(pick(random, [2, 4, 16, length]));
    yield places.filter(() => random(one) === 0);
  }
}

/**
 * Copies of `chunks`, each in its own buffer, or all in one, `distance - 1` bytes
 * apart.
 */
function layOut(chunks: Uint8Array[], distance: number): Bytes[] {
  if (distance === 0) return chunks.map((chunk) => new Uint8Array(chunk));
  const length = chunks.reduce(
    (sum, chunk) => sum + chunk.length + distance,
    0,
  );
  const buffer = new Uint8Array(length).fill(0xdd);
  let end = 0;
  return chunks.map((chunk) => {
    const start = end + distance - 1;
    end = start + chunk.length;
    buffer.set(chunk, start);
    return buffer.subarray(start, end);
  });
}

function cutAt(stream: Uint8Array, cuts: number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let start = 0;
  for (const cut of [...cuts, stream.length]) {
    chunks.push(stream.subarray(start, cut));
    start = cut;
  }
  return chunks;
}

/**
 * Decodes one split. Asserts that messages do not change after they were received or,
 * with `overwrite`, overwrites each, as its owner may, and that an error is thrown
 * again.
 */
export function decodeChunks(
  source: FramingSource,
  chunks: readonly Uint8Array[],
  overwrite: boolean = false,
): Outcome {
  const discarded: number[] = [];
  const framing = typeof source === "function"
    ? source((byteLength) => discarded.push(byteLength))
    : source;
  const decoder = new ChunkDecoder(framing);
  const received: unknown[] = [];
  const outcome: Outcome = [];
  function take(messages: unknown[]) {
    for (const message of messages) {
      received.push(message);
      outcome.push(message instanceof Uint8Array ? text(message) : message);
    }
    if (!overwrite) return;
    for (const message of messages) {
      if (message instanceof Uint8Array) message.fill(0xee);
    }
  }
  let failed: FramingError | undefined;
  try {
    for (const chunk of chunks) take(decoder.decode(chunk));
    take(decoder.end());
    // The next call throws an error that comes after the last messages.
    assertEquals(decoder.end(), []);
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    failed = error;
  }
  if (!overwrite) {
    received.forEach((message, index) => {
      if (message instanceof Uint8Array && text(message) !== outcome[index]) {
        assertEquals(text(message), outcome[index], "Message was overwritten");
      }
    });
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) {
    const { code, offset, message } = failed;
    outcome.push({ code, offset });
    for (
      const again of [
        () => decoder.decode(bytes(",\n")),
        () => decoder.decode(new Uint8Array()),
        () => decoder.end(),
      ]
    ) {
      const later = assertThrows(again, FramingError, message);
      assertEquals([later.code, later.offset], [code, offset]);
    }
  }
  return outcome;
}

/**
 * Decodes one split like a connection: each chunk is read in parts of at most
 * `readLength` bytes, and messages are pulled one at a time, some of them after the
 * next bytes have arrived. Asserts that messages do not change after they were
 * received.
 */
export function pullChunks(
  source: FramingSource,
  chunks: readonly Uint8Array[],
  readLength: number,
): Outcome {
  const discarded: number[] = [];
  const framing = typeof source === "function"
    ? source((byteLength) => discarded.push(byteLength))
    : source;
  const decoder = framing.decoder();
  const input = new InputBuffer();
  const received: unknown[] = [];
  const outcome: Outcome = [];
  const random = seededRandom(readLength);
  function pull(most: number, ended: boolean) {
    for (let count = 0; count < most; count++) {
      const message = input.pull(decoder, ended);
      if (message === undefined) return;
      received.push(message);
      outcome.push(message instanceof Uint8Array ? text(message) : message);
    }
  }
  let failed: FramingError | undefined;
  try {
    for (const chunk of chunks) {
      for (let rest = chunk; rest.length > 0;) {
        const room = input.room(1, readLength, 2 * readLength);
        const read = rest.subarray(0, room.length);
        room.set(read);
        input.fill(read.length);
        rest = rest.subarray(read.length);
        pull(random(3) === 0 ? Infinity : random(3), false);
      }
    }
    pull(Infinity, false);
    pull(Infinity, true);
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    failed = error;
  }
  received.forEach((message, index) => {
    if (message instanceof Uint8Array && text(message) !== outcome[index]) {
      assertEquals(text(message), outcome[index], "Message was overwritten");
    }
  });
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed) outcome.push({ code: failed.code, offset: failed.offset });
  return outcome;
}

/**
 * Feeds `input` a byte at a time.
 *
 * @returns How many bytes went in before the decoder threw.
 */
export function bytesUntilError(
  framing: Framing<unknown, never>,
  input: string,
): number {
  const decoder = new ChunkDecoder(framing);
  const stream = bytes(input);
  for (let count = 1; count <= stream.length; count++) {
    try {
      decoder.decode(stream.subarray(count - 1, count));
    } catch {
      return count;
    }
  }
  throw new Error(`No error in ${stream.length} bytes`);
}

/**
 * Encodes `message` alone and after other queued frames, asserts that both agree and
 * leave the caller's bytes unchanged, and returns the frame as text.
 */
export function encode<Out>(
  framing: Framing<unknown, Out>,
  message: Out,
): string {
  const before = message instanceof Uint8Array ? text(message) : "";
  const frame = text(new ChunkEncoder(framing).encode(message));
  for (const waiting of WAITING) {
    const output = new OutputBuffer();
    for (const each of waiting) output.push(asItIs, each);
    output.push(framing.encoder(), message);
    const length = output.byteLength - frame.length;
    const sent = output.takeBytes();
    if (text(sent.subarray(length)) !== frame) {
      assertEquals(text(sent.subarray(length)), frame);
    }
  }
  if (message instanceof Uint8Array) assertEquals(text(message), before);
  return frame;
}

const asItIs = unframed().encoder();
const WAITING: Sendable[][] = [
  [bytes("\xff")],
  [bytes("\xff"), "→"],
  // So that the next frame crosses the end of a buffer.
  [new Uint8Array(1020)],
];

/** Asserts that `message` is refused, and that queued frames are unchanged. */
export function assertRefuses<Out>(
  framing: Framing<unknown, Out>,
  message: Out,
  errorClass: TypeErrorConstructor | RangeErrorConstructor,
): void {
  for (const waiting of [[], ...WAITING]) {
    const output = new OutputBuffer();
    for (const each of waiting) output.push(asItIs, each);
    const { byteLength } = output;
    assertThrows(() => output.push(framing.encoder(), message), errorClass);
    assertEquals(output.byteLength, byteLength);
  }
}

/** Asserts that frames sent one after another are read back as their messages. */
export function assertRoundTrip<Out>(
  framing: Framing<unknown, Out>,
  messages: Out[],
): void {
  const stream = messages.map((message) => encode(framing, message));
  assertEquals(
    decodeInEverySplit(framing, stream.join(""), { splits: 100 }),
    messages.map((message) =>
      message instanceof Uint8Array ? text(message) : message
    ),
  );
}

/**
 * Asserts that kept messages hold little memory, if each was read alone into a large
 * buffer, in one or two reads.
 */
export function assertKeepsNoLargeBuffer(
  framing: Framing<Bytes, never>,
  frame: Uint8Array,
): void {
  for (const cut of [0, 1, frame.length >> 1, frame.length - 1]) {
    const decoder = new ChunkDecoder(framing);
    const buffers = new Set<ArrayBuffer>();
    const messages = 100;
    let received = 0;
    for (let count = 0; count < messages; count++) {
      for (const part of [frame.subarray(0, cut), frame.subarray(cut)]) {
        const buffer = new Uint8Array(65_536);
        buffer.set(part);
        for (const message of decoder.decode(buffer.subarray(0, part.length))) {
          buffers.add(message.buffer);
          received++;
        }
      }
    }
    const held = [...buffers].reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    const perMessage = held / Math.max(received, 1);
    if (received < messages || perMessage > 16 * frame.length) {
      throw new Error(
        `Kept ${received} messages of ${frame.length} bytes cut at ${cut}: each holds ${perMessage} bytes`,
      );
    }
  }
}

/**
 * Asserts that eight times the bytes take far less than 64 times as long, as quadratic
 * work would.
 */
export function assertLinear(
  work: (size: number) => void,
  size: number,
): void {
  work(size >> 2); // Warms the code up.
  assertTimes(30, () => work(size), () => work(8 * size));
}

/**
 * Asserts that `large` takes at most `ratio` times as long as `small`: it compares the
 * fastest of a few runs of each. Other processes may slow it down, so it repeats for up
 * to 20 seconds. In other runtimes it does nothing, because it would test their
 * engines.
 */
export function assertTimes(
  ratio: number,
  small: () => void,
  large: () => void,
): void {
  if (!("version" in Deno)) return;
  const failures: string[] = [];
  const end = performance.now() + 20_000;
  while (failures.length < 3 || performance.now() < end) {
    const [short, long] = [fastest(small), fastest(large)];
    // Times below a millisecond are noise.
    if (long <= ratio * Math.max(short, 1)) return;
    failures.push(`${short} ms and ${long} ms`);
  }
  throw new Error(`More than ${ratio} times: ${failures.join("; ")}`);
}

/** The milliseconds that the fastest of three runs took. */
function fastest(work: () => void): number {
  const durations = [1, 2, 3].map(() => {
    const start = performance.now();
    work();
    return performance.now() - start;
  });
  return Math.min(...durations);
}

/** Decodes `stream` in chunks of `chunkLength` bytes, asserting that it gives `messages`. */
export function decodeInTinyChunks(
  framing: Framing<unknown, never>,
  stream: Uint8Array,
  chunkLength: number,
  messages: number,
): void {
  const decoder = new ChunkDecoder(framing);
  let received = 0;
  for (let start = 0; start < stream.length; start += chunkLength) {
    received +=
      decoder.decode(stream.subarray(start, start + chunkLength)).length;
  }
  received += decoder.end().length;
  assertEquals(received, messages);
}
