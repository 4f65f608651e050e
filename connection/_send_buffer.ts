import { scanner } from "../framing/_byte_search/scan.ts";
import type { Framing } from "../framing/framing.ts";

/** Bytes that leave in one write: the first `length` of a buffer. */
export interface Segment {
  readonly buffer: Uint8Array;
  readonly length: number;
  /** Where the buffer goes back to; a frame that leaves as it is has none. */
  readonly pool: BufferPool | undefined;
}

const NO_BYTES = new Uint8Array(0);
const NO_SEGMENTS: Segment[] = [];
// A frame above this leaves as it is, in a write of its own.
const LARGE_FRAME_BYTES = 16 * 1024;
// The largest has room for all that may be queued below the usual high-water mark,
// and the frame that passes it, so that they leave in one write.
const LAST_BUFFER_BYTES = 64 * 1024 + LARGE_FRAME_BYTES;
// Text is encoded when there is so much of it, in UTF-16 code units.
const MAX_TEXT_LENGTH = 16 * 1024;

/**
 * Buffers of one size that were written. All connections share them, so one that
 * has nothing to send holds none.
 *
 * The first ones lie in the scanner's memory: what is gathered there is looked
 * through for delimiters without another copy (measured: 57 ns a message of 64
 * bytes with that copy, 31 without).
 */
class BufferPool {
  static readonly MAX_BYTES = 1024 * 1024;
  readonly size: number;
  readonly #spares: Uint8Array[] = [];
  readonly #reserved = new Set<Uint8Array>();

  constructor(size: number) {
    this.size = size;
  }

  take(): Uint8Array {
    return this.#spares.pop() ?? this.#reserve() ?? new Uint8Array(this.size);
  }

  giveBack(buffer: Uint8Array): void {
    const hasRoom = this.#spares.length * this.size < BufferPool.MAX_BYTES;
    if (hasRoom || this.#reserved.has(buffer)) this.#spares.push(buffer);
  }

  #reserve(): Uint8Array | undefined {
    if ((this.#reserved.size + 1) * this.size > BufferPool.MAX_BYTES) return;
    const buffer = scanner.reserve(this.size);
    if (buffer !== undefined) this.#reserved.add(buffer);
    return buffer;
  }
}

const smallestPool = new BufferPool(1024);
const largestPool = new BufferPool(LAST_BUFFER_BYTES);
const pools = [smallestPool, new BufferPool(8 * 1024), largestPool];

const encoder = new TextEncoder();

/**
 * Frames that wait to be written, gathered so that many leave in one write.
 *
 * A frame is written into a buffer that has room for many; one of text is joined
 * to the text before it, and encoded with it (measured: 14 ns a message, where
 * encoding each takes 760).
 */
export class SendBuffer<Out> {
  readonly #framing: Framing<unknown, Out>;
  // In this order: full buffers, the one being filled, and text not encoded yet.
  #segments = NO_SEGMENTS;
  #segmentsLength = 0;
  #buffer: Uint8Array = NO_BYTES;
  #pool: BufferPool | undefined;
  #used = 0;
  #text = "";
  // A connection that is busy does not begin small again.
  #firstPool = smallestPool;

  constructor(framing: Framing<unknown, Out>) {
    this.#framing = framing;
  }

  /**
   * How many bytes wait. Text that is not encoded counts as one byte a UTF-16 code
   * unit, which is exact for ASCII; {@linkcode SendBuffer.encodeText} makes it so.
   */
  get length(): number {
    return this.#segmentsLength + this.#used + this.#text.length;
  }

  /** How many bytes wait at most: UTF-8 takes up to three for a UTF-16 code unit. */
  get mostLength(): number {
    return this.#segmentsLength + this.#used + this.#text.length * 3;
  }

  /** Adds a message; throws if the framing refuses it. */
  add(message: Out): void {
    const framing = this.#framing;
    const text = framing.encodeText?.(message);
    if (text !== undefined) {
      this.#text += text;
      if (this.#text.length >= MAX_TEXT_LENGTH) this.encodeText();
      return;
    }
    this.encodeText();
    if (this.#buffer === NO_BYTES) this.#makeRoom(1);
    const length = framing.encodeInto?.(message, this.#buffer, this.#used) ??
      -1;
    if (length >= 0) {
      this.#used += length;
    } else {
      const frame = framing.encode(message);
      this.#addFrame(frame, isApart(frame, message));
    }
  }

  /** Adds a frame that nobody writes to again. */
  addFrame(frame: Uint8Array): void {
    this.encodeText();
    this.#addFrame(frame, true);
  }

  /** Encodes the text that waits. */
  encodeText(): void {
    const text = this.#text;
    if (text.length === 0) return;
    this.#text = "";
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    if (text.length * 3 > LAST_BUFFER_BYTES) {
      this.#addFrame(encoder.encode(text), true);
      return;
    }
    this.#makeRoom(text.length * 3);
    const room = this.#buffer.subarray(this.#used);
    this.#used += encoder.encodeInto(text, room).written;
  }

  /** Takes out all that waits. */
  take(): Segment[] {
    this.encodeText();
    this.#seal();
    const segments = this.#segments;
    this.#segments = NO_SEGMENTS;
    this.#segmentsLength = 0;
    return segments;
  }

  /** Drops all that waits. */
  clear(): void {
    this.#text = "";
    giveBack(this.take());
  }

  #addFrame(frame: Uint8Array, isKept: boolean): void {
    const { length } = frame;
    if (length > LARGE_FRAME_BYTES) {
      this.#seal();
      const buffer = isKept ? frame : new Uint8Array(frame);
      this.#addSegment({ buffer, length, pool: undefined });
    } else {
      this.#makeRoom(length);
      this.#buffer.set(frame, this.#used);
      this.#used += length;
    }
  }

  /** Provides `length` free bytes in the buffer. */
  #makeRoom(length: number): void {
    const needed = this.#used + length;
    if (needed <= this.#buffer.length) return;
    if (needed > LAST_BUFFER_BYTES) {
      this.#seal();
      this.#useBufferFor(LAST_BUFFER_BYTES);
      return;
    }
    const smaller = this.#buffer;
    const smallerPool = this.#pool;
    this.#useBufferFor(Math.max(needed, this.#firstPool.size));
    if (this.#used > 0) this.#buffer.set(smaller.subarray(0, this.#used));
    smallerPool?.giveBack(smaller);
  }

  /** Makes the smallest buffer with room for `length` bytes the one being filled. */
  #useBufferFor(length: number): void {
    this.#pool = poolFor(length);
    this.#buffer = this.#pool.take();
  }

  /** Puts the buffer behind those that are full. */
  #seal(): void {
    if (this.#used > 0) {
      this.#addSegment({
        buffer: this.#buffer,
        length: this.#used,
        pool: this.#pool,
      });
      this.#firstPool = poolFor(this.#used);
    } else {
      // The message that it was taken for was refused.
      this.#pool?.giveBack(this.#buffer);
    }
    this.#buffer = NO_BYTES;
    this.#pool = undefined;
    this.#used = 0;
  }

  #addSegment(segment: Segment): void {
    // An array that grows from nothing gets room for 17.
    if (this.#segments.length === 0) this.#segments = [segment];
    else this.#segments.push(segment);
    this.#segmentsLength += segment.length;
  }
}

/**
 * Whether the frame has surely none of the message's own bytes, which the sender may
 * change once the message is queued.
 */
export function isApart(frame: Uint8Array, message: unknown): boolean {
  return typeof message === "string" ||
    message instanceof Uint8Array && message.buffer !== frame.buffer;
}

/** Gives the buffers back of segments that are not needed any more. */
export function giveBack(segments: readonly Segment[]): void {
  for (const { pool, buffer } of segments) pool?.giveBack(buffer);
}

/** The pool of the smallest buffers with room for `length` bytes. */
function poolFor(length: number): BufferPool {
  return pools.find(({ size }) => size >= length) ?? largestPool;
}
