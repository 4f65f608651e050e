import { Carry } from "./_carry.ts";
import { type Limits, malformed, tooLong, truncated } from "./_limits.ts";
import { ownedBytes, type Parser } from "./_parser.ts";
import type { Bytes } from "./framing.ts";

/**
 * Tells from a frame's first bytes how long it is, and where its message lies.
 *
 * The answer is left in fields, as an object for each message would cost more
 * than the rest of the work.
 */
export interface FrameLayout {
  /** What is framed, for errors. */
  readonly what: string;
  /** The most bytes that {@linkcode FrameLayout.read} needs. */
  readonly maxHeaderLength: number;
  /** The byte that ends each frame, or -1. */
  readonly lastByte: number;
  /** The length of the frame in bytes. */
  readonly frameLength: number;
  /** Where in the frame the message begins. */
  readonly messageStart: number;
  /** Where in the frame the message ends. */
  readonly messageEnd: number;
  /**
   * Reads the header of the frame at `start`, of which the bytes up to the end
   * of `bytes` are there, and sets the fields.
   *
   * @returns Whether the header is whole.
   * @throws {FramingError} If there can be no such frame at `offset` in the stream.
   */
  read(bytes: Bytes, start: number, offset: number): boolean;
}

/** The one place where chunks become messages whose length is known beforehand. */
export class LengthParser implements Parser<Bytes> {
  readonly #layout: FrameLayout;
  readonly #limits: Limits;
  readonly #carry = new Carry();
  // Where in the stream the next chunk begins, and where the next frame does.
  #offset = 0;
  #frameOffset = 0;
  // Whether the layout holds the lengths of the frame that has begun.
  #measured = false;
  // The bytes yet to come of a frame whose message is too long.
  #skip = 0;

  constructor(layout: FrameLayout, limits: Limits) {
    this.#layout = layout;
    this.#limits = limits;
  }

  get pending(): boolean {
    return this.#frameOffset < this.#offset;
  }

  parse(chunk: Bytes, messages: Bytes[]): void {
    const layout = this.#layout;
    let owned: Bytes | undefined;
    let start = this.#carry.length > 0 ? this.#goOn(chunk, messages) : 0;
    if (this.#skip > 0) start = this.#skipFrom(chunk, start);
    while (start < chunk.length) {
      this.#frameOffset = this.#offset + start;
      if (!layout.read(chunk, start, this.#frameOffset)) break;
      if (this.#isTooLong()) {
        this.#skip = layout.frameLength;
        start = this.#skipFrom(chunk, start);
        continue;
      }
      const end = start + layout.frameLength;
      if (end > chunk.length) {
        this.#measured = true;
        break;
      }
      owned ??= ownedBytes(chunk);
      messages.push(this.#message(owned, start));
      start = end;
    }
    const limit = this.#measured ? layout.frameLength : Infinity;
    this.#carry.append(chunk, start, chunk.length, limit);
    this.#offset += chunk.length;
    if (this.#carry.length === 0 && this.#skip === 0) {
      this.#frameOffset = this.#offset;
    }
  }

  end(): void {
    if (this.pending) throw truncated(this.#layout.what, this.#frameOffset);
  }

  /** Goes on with the frame that is carried; returns where the next one begins. */
  #goOn(chunk: Bytes, messages: Bytes[]): number {
    const carry = this.#carry;
    const layout = this.#layout;
    const carried = carry.length;
    let start = 0;
    if (!this.#measured) {
      start = Math.min(chunk.length, layout.maxHeaderLength - carried);
      carry.append(chunk, 0, start);
      if (!layout.read(carry.bytes(), 0, this.#frameOffset)) {
        return chunk.length;
      }
      if (this.#isTooLong()) {
        carry.clear();
        this.#skip = layout.frameLength - carried;
        return 0;
      }
      this.#measured = true;
    }
    const end = layout.frameLength - carried;
    if (end > chunk.length) {
      carry.append(chunk, start, chunk.length, layout.frameLength);
      return chunk.length;
    }
    // A short frame may end before what its header might have taken.
    messages.push(this.#message(carry.takeWith(chunk, start, end), 0));
    this.#measured = false;
    return end;
  }

  /** Drops bytes of the frame that is too long; returns where the next one begins. */
  #skipFrom(chunk: Bytes, start: number): number {
    const end = Math.min(chunk.length, start + this.#skip);
    this.#skip -= end - start;
    if (this.#skip === 0) {
      this.#checkLastByte(chunk[end - 1]);
      const { messageStart, messageEnd } = this.#layout;
      this.#limits.onDiscard?.(messageEnd - messageStart);
    }
    return end;
  }

  /** Whether the message is to be dropped as too long; throws where that is an error. */
  #isTooLong(): boolean {
    const { maxLength, discard } = this.#limits;
    const { messageStart, messageEnd, what } = this.#layout;
    if (messageEnd - messageStart <= maxLength) return false;
    if (discard) return true;
    throw tooLong(what, this.#frameOffset, maxLength);
  }

  #message(bytes: Bytes, start: number): Bytes {
    const { frameLength, messageStart, messageEnd } = this.#layout;
    this.#checkLastByte(bytes[start + frameLength - 1]);
    return new Uint8Array(
      bytes.buffer,
      bytes.byteOffset + start + messageStart,
      messageEnd - messageStart,
    );
  }

  #checkLastByte(byte: number | undefined): void {
    const { lastByte, what } = this.#layout;
    if (lastByte === -1 || byte === lastByte) return;
    throw malformed(
      what,
      this.#frameOffset,
      `it must end with byte ${lastByte}, found ${byte}`,
    );
  }
}
