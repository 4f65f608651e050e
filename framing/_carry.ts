import { concat } from "@std/bytes/concat";
import { ownedBytes } from "./_parser.ts";
import type { Bytes } from "./framing.ts";

const NO_BYTES: Bytes = new Uint8Array(0);
// A part of so many bytes is kept as it is; smaller ones are gathered.
const LARGE_PART_BYTES = 1024;
const LAST_GATHER_BYTES = 64 * 1024;

/**
 * The bytes of the message that has begun and is not whole yet, carried from
 * chunk to chunk.
 *
 * Large parts are kept as views, and copied once, when the message is whole. A
 * part that follows the last one in the same buffer only makes that view longer.
 * Other small parts are copied behind each other into buffers that double, so
 * that a message in tiny chunks costs linear time and no object a chunk.
 */
export class Carry {
  #parts: Bytes[] = [];
  #length = 0;
  // How many bytes may be written behind the last part: none where its buffer is
  // not this object's own.
  #room = 0;

  /** How many bytes are carried. */
  get length(): number {
    return this.#length;
  }

  /**
   * The bytes carried so far, in one piece. Calling this after each append is
   * linear too, as it leaves as much room as there are bytes.
   */
  bytes(limit = Infinity): Bytes {
    const parts = this.#parts;
    if (parts.length > 1) {
      const size = Math.max(this.#length, Math.min(this.#length * 2, limit));
      const joined = new Uint8Array(size);
      let end = 0;
      for (const part of parts) {
        joined.set(part, end);
        end += part.length;
      }
      this.#parts = [joined.subarray(0, end)];
      this.#room = size - end;
    }
    return this.#parts[0] ?? NO_BYTES;
  }

  /**
   * Carries `chunk` from `start` to `end` as well. No more than `limit` bytes
   * will ever be carried, so no room is made for more.
   */
  append(chunk: Bytes, start: number, end: number, limit = Infinity): void {
    const added = end - start;
    if (added === 0) return;
    const part = new Uint8Array(chunk.buffer, chunk.byteOffset + start, added);
    const last = this.#parts.at(-1);
    if (last === undefined) {
      this.#parts.push(part);
    } else if (this.#adjoins(part)) {
      this.#extendLast(added);
    } else if (added <= this.#room) {
      this.#extendLast(added).set(part, last.length);
      this.#room -= added;
    } else {
      // Only the last part may keep a larger buffer: that of the last chunk.
      this.#parts[this.#parts.length - 1] = compact(last);
      this.#room = 0;
      if (added >= LARGE_PART_BYTES) this.#parts.push(part);
      else this.#gather(part, limit);
    }
    this.#length += added;
  }

  /** Takes out what is carried, with `chunk` from `start` to `end` behind it. */
  takeWith(chunk: Bytes, start: number, end: number): Bytes {
    if (end > start) {
      const part = chunk.subarray(start, end);
      if (this.#adjoins(part)) this.#extendLast(part.length);
      else this.#parts.push(part);
    }
    return this.take();
  }

  /** Takes out what is carried. */
  take(): Bytes {
    const [first = NO_BYTES, second] = this.#parts;
    const bytes = second === undefined
      ? ownedBytes(first)
      : concat(this.#parts);
    this.clear();
    return bytes;
  }

  /** Drops all but the last bytes, `count` of them. */
  keepLast(count: number): void {
    if (count <= 0) return this.clear();
    if (count >= this.#length) return;
    // The front may be somebody's message: nothing is written to its buffer now.
    this.#parts = [this.bytes().subarray(-count)];
    this.#length = count;
    this.#room = 0;
  }

  /** Drops everything. */
  clear(): void {
    if (this.#parts.length > 0) this.#parts = [];
    this.#length = 0;
    this.#room = 0;
  }

  /** Whether `part` follows the last part in its buffer. */
  #adjoins(part: Bytes): boolean {
    const last = this.#parts.at(-1);
    return last !== undefined && last.buffer === part.buffer &&
      last.byteOffset + last.length === part.byteOffset;
  }

  /** Makes the view of the last part longer. */
  #extendLast(added: number): Bytes {
    const last = this.#parts.pop() ?? NO_BYTES;
    const { buffer, byteOffset, length } = last;
    const longer = new Uint8Array(buffer, byteOffset, length + added);
    this.#parts.push(longer);
    return longer;
  }

  /** Copies a small part into a buffer with room for more. */
  #gather(part: Bytes, limit: number): void {
    const wanted = Math.min(this.#length, LAST_GATHER_BYTES);
    const size = Math.max(part.length, Math.min(wanted, limit - this.#length));
    const gathered = new Uint8Array(size);
    gathered.set(part);
    this.#parts.push(gathered.subarray(0, part.length));
    this.#room = size - part.length;
  }
}

/** The same bytes, copied where more than a sixteenth of their buffer is not theirs. */
function compact(bytes: Bytes): Bytes {
  const bufferLength = bytes.buffer.byteLength;
  // Measured for a message of 1 MiB in parts of 40,000 bytes of 64 KiB: 0.1 ms at
  // most, of the 0.8 that it takes through a socket.
  return bytes.length * 16 < bufferLength * 15 ? new Uint8Array(bytes) : bytes;
}
