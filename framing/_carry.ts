import type { Bytes } from "./framing.ts";
import { ownedBytes } from "./_parser.ts";

const EMPTY: Bytes = new Uint8Array(0);

/**
 * The bytes of the message that has begun and is not whole yet, carried from
 * chunk to chunk.
 *
 * The first part is kept as a view. A part that follows it in the same buffer
 * only makes the view longer. Any other part is copied behind it, into a buffer
 * that doubles, so that a message in tiny chunks costs linear time.
 */
export class Carry {
  #bytes: Bytes = EMPTY;
  // How many bytes may be written from where `#bytes` begins: none where the
  // buffer is not this object's own.
  #capacity = 0;

  /** How many bytes are carried. */
  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes carried so far. */
  get bytes(): Bytes {
    return this.#bytes;
  }

  /**
   * Carries `chunk` from `start` to `end` as well. No more than `limit` bytes
   * will ever be carried, so no larger buffer is made.
   */
  append(chunk: Bytes, start: number, end: number, limit = Infinity): void {
    const added = end - start;
    if (added === 0) return;
    const held = this.#bytes;
    const part = new Uint8Array(chunk.buffer, chunk.byteOffset + start, added);
    if (held.length === 0) {
      this.#bytes = ownedBytes(part);
      this.#capacity = 0;
      return;
    }
    const length = held.length + added;
    const adjoins = held.buffer === part.buffer &&
      held.byteOffset + held.length === part.byteOffset;
    if (!adjoins) {
      if (length > this.#capacity) this.#grow(length, limit);
      const { buffer, byteOffset } = this.#bytes;
      new Uint8Array(buffer, byteOffset + held.length, added).set(part);
    }
    this.#bytes = new Uint8Array(
      this.#bytes.buffer,
      this.#bytes.byteOffset,
      length,
    );
  }

  /** Takes out what is carried, with `chunk` from `start` to `end` behind it. */
  takeWith(chunk: Bytes, start: number, end: number): Bytes {
    this.append(chunk, start, end, this.length + end - start);
    return this.take();
  }

  /** Takes out what is carried. */
  take(): Bytes {
    const bytes = this.#bytes;
    this.clear();
    return bytes;
  }

  /** Drops all but the last bytes, `count` of them. */
  keepLast(count: number): void {
    if (count <= 0) return this.clear();
    if (count >= this.length) return;
    this.#bytes = this.#bytes.subarray(-count);
    // The front may be somebody's message: nothing is written to its buffer now.
    this.#capacity = 0;
  }

  /** Drops everything. */
  clear(): void {
    this.#bytes = EMPTY;
    this.#capacity = 0;
  }

  #grow(length: number, limit: number): void {
    const held = this.#bytes;
    this.#capacity = Math.max(length, Math.min(length * 2, limit));
    const buffer = new ArrayBuffer(this.#capacity);
    this.#bytes = new Uint8Array(buffer, 0, held.length);
    this.#bytes.set(held);
  }
}
