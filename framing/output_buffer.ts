import { checkNotAsync } from "../internal/checks.ts";
import { isBytes } from "../internal/realms.ts";
import type { SharedFrame } from "../internal/shared_frame.ts";
import { shownValue } from "../internal/shown.ts";
import { type BufferSpace, scanner } from "./_byte_search/scan.ts";
import { writeUint } from "./_uint.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes } from "./bytes.ts";
import type { Encoder } from "./framing.ts";

/**
 * Bytes of an {@linkcode OutputBuffer} that leave in one write.
 *
 * @example Handing a buffer back
 * ```ts
 * import { lines, OutputBuffer, type OutputSegment } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const output = new OutputBuffer();
 * output.push(lines().encoder(), "hello");
 *
 * const segments: OutputSegment[] = output.takeSegments();
 * for (const segment of segments) {
 *   assertEquals(segment.bytes, new TextEncoder().encode("hello\n"));
 *   segment.giveBack(); // once written
 * }
 * ```
 */
export interface OutputSegment {
  /** How many bytes there are. */
  readonly length: number;
  /** The bytes. They are valid until they are given back. */
  readonly bytes: Uint8Array;
  /** Says that the bytes are no longer needed. */
  giveBack(): void;
}

const NO_BYTES: Bytes = new Uint8Array(0);
const NO_SEGMENTS: Segment[] = [];
// At most this many bytes of shared frames are copied, to leave in one write with other
// bytes. More leave as they are, in their own write.
const MAX_COPIED_BYTES = 8 * 1024;
// The largest buffer has room for everything below the usual high-water mark and a frame
// that passes it, so that they leave in one write.
const LARGEST_BUFFER_BYTES = (64 + 16) * 1024;
// What a frame may write before and after a message that has its own buffer.
const FRAME_OVERHEAD_BYTES = 64;
// After a frame, text is encoded if it has this many UTF-16 code units.
const MAX_TEXT_LENGTH = 16 * 1024;
// Text of this many is encoded alone: to be encoded, joined text is copied once more
// (measured: 4,000 characters take 430 ns instead of 710, but 1,000 take 310 instead of
// 270).
const LONG_TEXT_LENGTH = 1536;

const textEncoder = new TextEncoder();

// Made with the first buffer.
let space: BufferSpace | undefined;

/**
 * Free buffers of one size. All outputs share them, so an output with nothing to write
 * holds none.
 *
 * The first ones lie where they can be searched without a copy, as a framing with
 * delimiters does for each message of bytes (measured for 64: 15 ns less).
 */
class BufferPool {
  static readonly MAX_RESERVED_BYTES = 1024 * 1024;
  /**
   * Enough for 64 connections that fill the largest in each turn: a new one has to be
   * mapped page by page (measured: with 1 MiB, echoes of 1 KiB over 64 connections take 1.4
   * to 1.6 times as long).
   */
  static readonly MAX_SPARE_BYTES = 4 * 1024 * 1024;
  readonly size: number;
  // Buffers within the space, and the others.
  readonly #reserved: Uint8Array[] = [];
  readonly #spares: Uint8Array[] = [];
  #made = 0;

  constructor(size: number) {
    this.size = size;
  }

  take(): Uint8Array {
    return this.#reserved.pop() ?? this.#reserve() ?? this.#spares.pop() ??
      new Uint8Array(this.size);
  }

  giveBack(buffer: Uint8Array): void {
    const spareBytes = this.#spares.length * this.size;
    if (space?.has(buffer)) this.#reserved.push(buffer);
    else if (spareBytes < BufferPool.MAX_SPARE_BYTES) this.#spares.push(buffer);
  }

  #reserve(): Uint8Array | undefined {
    const bytes = (this.#made + 1) * this.size;
    if (bytes > BufferPool.MAX_RESERVED_BYTES) return undefined;
    this.#made++;
    space ??= scanner.bufferSpace(
      pools.length * BufferPool.MAX_RESERVED_BYTES,
    );
    return space.reserve(this.size);
  }
}

const smallestPool = new BufferPool(1024);
const middlePool = new BufferPool(8 * 1024);
const largestPool = new BufferPool(LARGEST_BUFFER_BYTES);
const pools = [
  smallestPool,
  middlePool,
  new BufferPool(32 * 1024),
  largestPool,
];

/** The pool of the smallest buffers with room for `length` bytes. */
function poolFor(length: number): BufferPool {
  for (const pool of pools) if (length <= pool.size) return pool;
  return largestPool;
}

/** The first `length` bytes of a buffer, which goes back to its pool if it has one. */
class Segment implements OutputSegment {
  readonly buffer: Uint8Array;
  readonly length: number;
  pool: BufferPool | undefined;

  constructor(
    buffer: Uint8Array,
    length: number,
    pool: BufferPool | undefined,
  ) {
    this.buffer = buffer;
    this.length = length;
    this.pool = pool;
  }

  get bytes(): Uint8Array {
    const { buffer, length } = this;
    return buffer.length === length ? buffer : buffer.subarray(0, length);
  }

  giveBack(): void {
    const { pool } = this;
    this.pool = undefined; // given back twice, it would be taken by two outputs
    pool?.giveBack(this.buffer);
  }
}

/**
 * Frames that wait to be written, gathered so that many leave in one write.
 *
 * Connections and {@linkcode ChunkEncoder} have their own. Make one to test an encoder,
 * or to write in your own way.
 *
 * A frame is written into a buffer that has room for many. Text is joined with the text
 * before it and encoded together: encoding each message alone takes ten times as long.
 *
 * @example Two frames in one write
 * ```ts
 * import { netstrings, OutputBuffer } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const output = new OutputBuffer();
 * const encoder = netstrings().encoder();
 * output.push(encoder, "hi");
 * output.push(encoder, "you");
 *
 * assertEquals(output.byteLength, 11);
 * assertEquals(output.takeBytes(), new TextEncoder().encode("2:hi,3:you,"));
 * ```
 */
export class OutputBuffer implements ByteOutput {
  // In this order: full buffers, the one being filled, and text not encoded yet.
  #segments = NO_SEGMENTS;
  // The length of the segments, and of the shared frames after them; while there are
  // shared frames, the buffer is empty.
  #segmentsLength = 0;
  #shared: SharedFrame | undefined;
  #buffer: Uint8Array = NO_BYTES;
  #pool: BufferPool | undefined;
  #used = 0;
  #text = "";
  // A busy connection does not start small again.
  #firstPool = smallestPool;
  // Where the current frame begins: after this many bytes, and this much of the text.
  #frameStart = 0;
  #frameTextStart = 0;
  #isEncoding = false;

  /** How many bytes of the current frame have been written. */
  get length(): number {
    this.#encodeText();
    return this.#bytesLength - this.#frameStart;
  }

  /** How many bytes wait. */
  get byteLength(): number {
    this.#encodeText();
    return this.#bytesLength;
  }

  /**
   * How many bytes wait at most, without encoding text: UTF-8 takes up to three for a
   * UTF-16 code unit.
   */
  get maxByteLength(): number {
    return this.#segmentsLength + this.#used + this.#text.length * 3;
  }

  get #bytesLength(): number {
    return this.#segmentsLength + this.#used;
  }

  /**
   * Adds a message as a frame.
   *
   * @typeParam Out The type of messages to send.
   * @param encoder The encoder that writes it.
   * @param message The message. You may change it once this returns.
   * @throws What the encoder throws; then nothing is added.
   * @throws {DOMException} An `InvalidStateError` if it is called by an encoder that
   * writes to this output.
   */
  push<Out>(encoder: Encoder<Out>, message: Out): void {
    if (this.#isEncoding) throw isBeingEncoded();
    this.#isEncoding = true;
    this.#frameStart = this.#segmentsLength + this.#used;
    this.#frameTextStart = this.#text.length;
    try {
      const given: unknown = encoder.encode(message, this);
      if (given !== undefined) this.#refuseGiven(given);
    } catch (error) {
      this.#isEncoding = false;
      this.#dropFrame();
      throw error;
    }
    this.#isEncoding = false;
    // Not within a frame: its text would have to be split from the text before it, which
    // copies both.
    if (this.#text.length >= MAX_TEXT_LENGTH) this.#encodeText();
  }

  /** Throws if an encoder's return value shows that its frame is not in the output. */
  #refuseGiven(given: unknown): void {
    // A later write of an async function would land between frames.
    checkNotAsync("encode message", "encode", given);
    const isFrame = typeof given === "string" || isBytes(given);
    if (!isFrame || given.length === 0 || this.length > 0) return;
    throw new TypeError(
      `Cannot encode message as encode must write it to output: it wrote nothing and gave ${
        typeof given === "string" ? "text" : "bytes"
      }`,
    );
  }

  /** Whether an encoder is writing a frame. */
  get isEncoding(): boolean {
    return this.#isEncoding;
  }

  /**
   * Throws if an encoder is writing a frame: no other may lie within it.
   *
   * @internal
   */
  refuseWithinFrame(): void {
    if (this.#isEncoding) throw isBeingEncoded();
  }

  /**
   * Adds a frame that others send too. It is copied only to leave with few other bytes: a
   * copy for each of many outputs needs much memory.
   *
   * @internal
   */
  pushShared(frame: SharedFrame): void {
    this.#encodeText();
    const shared = this.#shared?.through(frame);
    if (shared === undefined) {
      this.#copyShared();
      const isCopied = this.#used > 0 &&
        this.#used + frame.length <= MAX_COPIED_BYTES;
      if (isCopied) return this.#writeBytes(frame.bytes);
      this.#seal();
    }
    this.#shared = shared ?? frame;
    this.#segmentsLength += frame.length;
  }

  /** Writes one byte; see {@linkcode ByteOutput.writeByte}. */
  writeByte(byte: number): void {
    this.#encodeText();
    if (this.#used === this.#buffer.length) this.#makeRoom(1);
    this.#buffer[this.#used] = byte;
    this.#used++;
  }

  /** Writes bytes; see {@linkcode ByteOutput.writeBytes}. */
  writeBytes(bytes: Uint8Array): void {
    // Without a valid length it would damage all waiting frames.
    if (!isBytes(bytes)) {
      throw notWritable("bytes as they must be a Uint8Array", bytes);
    }
    this.#encodeText();
    this.#writeBytes(bytes);
  }

  /** Writes text as UTF-8; see {@linkcode ByteOutput.writeText}. */
  writeText(text: string): void {
    if (typeof text !== "string") {
      throw notWritable("text as it must be a string", text);
    }
    this.writeEnded(text, "");
  }

  /**
   * Writes text and its end, such as a delimiter. Joining each of them to the text that
   * waits would take an eighth of the time that a line takes to send (measured).
   *
   * @internal
   */
  writeEnded(text: string, end: string): void {
    if (text.length >= LONG_TEXT_LENGTH && this.#hasRoomFor(text)) {
      this.#encodeText();
      this.#writeUtf8(text);
      this.#text = end;
      return;
    }
    // Half a surrogate pair would join with the other half before it.
    if (this.#text.length > 0 && isLowSurrogate(text.charCodeAt(0))) {
      this.#encodeText();
    }
    this.#text += text + end;
  }

  /**
   * Whether text may be encoded now. A connection whose peer takes nothing should hold one
   * short text as it is, not a buffer of the largest size.
   */
  #hasRoomFor(text: string): boolean {
    const room = Math.max(
      this.#buffer.length - this.#used,
      this.#firstPool.size,
      middlePool.size,
    );
    return text.length >= MAX_TEXT_LENGTH ||
      (this.#text.length + text.length) * 3 <= room;
  }

  /** Writes an unsigned integer; see {@linkcode ByteOutput.writeUint}. */
  writeUint(value: number, size: number, littleEndian = false): void {
    checkUint(value, size);
    this.#encodeText();
    this.#makeRoom(size);
    writeUint(this.#buffer, this.#used, value, size, littleEndian);
    this.#used += size;
  }

  /** Reserves a field; see {@linkcode ByteOutput.reserve}. */
  reserve(size: number): number {
    if (!(Number.isSafeInteger(size) && size >= 0)) {
      throw new RangeError(
        `Cannot reserve room as its size must be a whole number of at least 0: current value is ${
          shownValue(size)
        }`,
      );
    }
    const position = this.length;
    this.#makeRoom(size);
    const end = this.#used + size;
    // Faster than `fill` for so few bytes.
    while (this.#used < end) this.#buffer[this.#used++] = 0;
    return position;
  }

  /** Finds a byte; see {@linkcode ByteOutput.indexOf}. */
  indexOf(byte: number, from = 0): number {
    this.#encodeText();
    // The offset of the frame in the buffer.
    const frameStart = this.#frameStart - this.#segmentsLength;
    const first = Math.trunc(from) || 0; // NaN is 0, as in an array
    const start = first < 0
      ? Math.max(frameStart, this.#used + first)
      : frameStart + first;
    if (start < 0) return this.#indexOfInSegments(byte, start - frameStart);
    // The scanner cannot take a larger number as an address.
    if (start >= this.#used) return -1;
    const at = (space ?? scanner)
      .indexOf(this.#buffer, byte, start, this.#used);
    return at === -1 ? -1 : at - frameStart;
  }

  /** Fills in an unsigned integer; see {@linkcode ByteOutput.setUint}. */
  setUint(
    position: number,
    value: number,
    size: number,
    littleEndian = false,
  ): void {
    checkUint(value, size);
    const isThere = Number.isInteger(position) && position >= 0 &&
      position + size <= this.length;
    if (!isThere) {
      throw new RangeError(
        `Cannot set ${size} bytes at ${position} as the frame has ${this.length} bytes`,
      );
    }
    const start = this.#frameStart + position;
    const inBuffer = start - this.#segmentsLength;
    if (inBuffer >= 0) {
      writeUint(this.#buffer, inBuffer, value, size, littleEndian);
      return;
    }
    const field = new Uint8Array(size);
    writeUint(field, 0, value, size, littleEndian);
    for (let i = 0; i < size; i++) this.#setByte(start + i, field[i]!); // below its size
  }

  /**
   * Takes everything that waits, as the buffers that it was gathered in.
   *
   * @returns The buffers, each for one write.
   */
  takeSegments(): OutputSegment[] {
    this.#encodeText();
    this.#seal();
    const segments = this.#segments;
    const shared = this.#shared;
    this.#segments = NO_SEGMENTS;
    this.#shared = undefined;
    this.#segmentsLength = 0;
    if (shared === undefined) return segments;
    return segments.length === 0 ? [shared] : [...segments, shared];
  }

  /**
   * Takes everything that waits, in one piece.
   *
   * @returns The bytes, which the caller owns.
   */
  takeBytes(): Bytes {
    if (this.#bytesLength === 0) return this.#takeText();
    this.#encodeText();
    if (this.#segmentsLength === 0) {
      const bytes = this.#buffer.slice(0, this.#used);
      this.#used = 0;
      this.#seal();
      return bytes;
    }
    const bytes = new Uint8Array(this.#bytesLength);
    let end = 0;
    for (const segment of this.takeSegments()) {
      bytes.set(segment.bytes, end);
      end += segment.length;
      segment.giveBack();
    }
    return bytes;
  }

  /** Takes text that is all there is, without the buffer (measured: 30 % faster). */
  #takeText(): Bytes {
    const text = this.#text;
    this.#text = "";
    this.#seal(); // gives back the buffer of a refused message
    return textEncoder.encode(text);
  }

  /** Drops everything that waits. */
  clear(): void {
    this.#text = "";
    // An encoder that is writing may end the connection that owns this.
    this.#frameStart = this.#frameTextStart = 0;
    for (const segment of this.takeSegments()) segment.giveBack();
  }

  #writeBytes(bytes: Uint8Array): void {
    const { length } = bytes;
    if (this.#used + length > this.#buffer.length) this.#makeRoom(length);
    this.#buffer.set(bytes, this.#used);
    this.#used += length;
  }

  // Split from the work, so that the check costs next to nothing.
  #encodeText(): void {
    if (this.#text.length > 0) this.#encodeWaiting(this.#text);
  }

  #encodeWaiting(text: string): void {
    this.#text = "";
    // Dropping the current frame must leave the text of earlier frames.
    const before = this.#isEncoding ? this.#frameTextStart : 0;
    if (before > 0) {
      this.#writeUtf8(text.slice(0, before));
      this.#frameStart = this.#bytesLength;
      this.#frameTextStart = 0;
    }
    this.#writeUtf8(before > 0 ? text.slice(before) : text);
  }

  #writeUtf8(text: string): void {
    // Most text takes a byte for each UTF-16 code unit, other text up to three.
    const read = this.#encodeInto(text, text.length);
    if (read === text.length) return;
    const rest = text.slice(read);
    this.#encodeInto(rest, rest.length * 3);
  }

  /** Encodes as much of the text as fits in a buffer with `least` free bytes. */
  #encodeInto(text: string, least: number): number {
    this.#makeRoom(least);
    const room = this.#buffer.subarray(this.#used);
    const { read, written } = textEncoder.encodeInto(text, room);
    // `| 0`: as a floating-point number, what derives from it would take 64 bytes more in
    // each connection (measured).
    this.#used += written | 0;
    return read;
  }

  /** Removes what the current frame has added. */
  #dropFrame(): void {
    if (this.#frameTextStart > 0 || this.#bytesLength === this.#frameStart) {
      // If anything, it has written only text.
      this.#text = this.#text.slice(0, this.#frameTextStart);
      return;
    }
    this.#text = "";
    while (this.#segmentsLength > this.#frameStart) {
      this.#pool?.giveBack(this.#buffer);
      const last = this.#segments.pop()!; // their length is above 0
      this.#segmentsLength -= last.length;
      this.#buffer = last.buffer;
      this.#pool = last.pool;
    }
    this.#used = this.#frameStart - this.#segmentsLength;
  }

  #indexOfInSegments(byte: number, from: number): number {
    const start = this.#frameStart + from;
    let end = 0;
    for (const { buffer, length } of [...this.#segments, this.#rest()]) {
      const first = Math.max(0, start - end);
      const at = scanner.indexOf(buffer, byte, first, length);
      if (at !== -1) return end + at - this.#frameStart;
      end += length;
    }
    return -1;
  }

  /** The content of the buffer that is being filled. */
  #rest(): Segment {
    return new Segment(this.#buffer, this.#used, undefined);
  }

  #setByte(position: number, byte: number): void {
    let end = 0;
    for (const { buffer, length } of this.#segments) {
      if (position < end + length) {
        buffer[position - end] = byte;
        return;
      }
      end += length;
    }
    this.#buffer[position - end] = byte;
  }

  /** Copies shared frames into the buffer, so that later bytes leave with them. */
  #copyShared(): void {
    const shared = this.#shared;
    if (shared === undefined) return;
    const { bytes, length } = shared;
    this.#shared = undefined;
    this.#segmentsLength -= length;
    if (length <= MAX_COPIED_BYTES) this.#writeBytes(bytes);
    else this.#addSegment(new Segment(bytes, length, undefined));
  }

  /** Provides `length` free bytes in the buffer. */
  #makeRoom(length: number): void {
    // There is no buffer while there are shared frames.
    this.#copyShared();
    const needed = this.#used + length;
    if (needed <= this.#buffer.length) return;
    const isFull = this.#used > FRAME_OVERHEAD_BYTES &&
      needed > LARGEST_BUFFER_BYTES;
    if (isFull) this.#seal();
    const smaller = this.#buffer;
    const smallerPool = this.#pool;
    this.#useBufferFor(this.#used + length);
    if (this.#used > 0) this.#buffer.set(smaller.subarray(0, this.#used));
    smallerPool?.giveBack(smaller);
  }

  /** Starts to fill a buffer with room for `length` bytes. */
  #useBufferFor(length: number): void {
    if (length > LARGEST_BUFFER_BYTES) {
      this.#pool = undefined;
      this.#buffer = new Uint8Array(length + FRAME_OVERHEAD_BYTES);
    } else {
      this.#pool = poolFor(Math.max(length, this.#firstPool.size));
      this.#buffer = this.#pool.take();
    }
  }

  /** Puts the buffer after the full ones. */
  #seal(): void {
    if (this.#used > 0) {
      this.#addSegment(new Segment(this.#buffer, this.#used, this.#pool));
      this.#firstPool = poolFor(this.#used);
    } else {
      // The message that needed it was refused.
      this.#pool?.giveBack(this.#buffer);
    }
    this.#buffer = NO_BYTES;
    this.#pool = undefined;
    this.#used = 0;
  }

  #addSegment(segment: Segment): void {
    // An array that grows from empty gets room for 17.
    if (this.#segments.length === 0) this.#segments = [segment];
    else this.#segments.push(segment);
    this.#segmentsLength += segment.length;
  }
}

function isLowSurrogate(codeUnit: number): boolean {
  return codeUnit >= 0xdc00 && codeUnit <= 0xdfff;
}

// How many values an unsigned integer of 0 to 8 bytes has.
const UINT_RANGES = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((size) => 256 ** size);

function checkUint(value: number, size: number): void {
  // With text as the size, `+` would join texts, and move the end of the buffer far away.
  const range = typeof size === "number" ? UINT_RANGES[size] ?? 1 : 1;
  if (
    !(Number.isSafeInteger(value) && value >= 0 && value < range && range > 1)
  ) {
    throw new RangeError(
      `Cannot write ${value} as an unsigned integer of ${size} bytes`,
    );
  }
}

// Separate: a function called for each message compiles better if it is short.
function notWritable(what: string, value: unknown): TypeError {
  return new TypeError(
    `Cannot write ${what}: current value is of type ${typeof value}`,
  );
}

function isBeingEncoded(): DOMException {
  return new DOMException(
    "Cannot send message: it was sent by the framing's own function while that encodes another",
    "InvalidStateError",
  );
}
