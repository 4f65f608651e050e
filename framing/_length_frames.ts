import {
  type Found,
  type FrameFinder,
  type Frames,
  type FrameSource,
  MESSAGE,
  NOTHING,
  PASSED,
} from "./_frames.ts";
import { type Limits, malformed, tooLong, truncated } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import { InputBuffer } from "./input_buffer.ts";

/** The result of {@linkcode FrameLayout.read} for a header. */
export type HeaderState = typeof PARTIAL | typeof WHOLE | typeof WRONG;
/** More bytes are needed. */
export const PARTIAL = 0;
/** The header is whole, and the fields are set. */
export const WHOLE = 1;
/** There can be no such frame: {@linkcode FrameLayout.problem} says why. */
export const WRONG = 2;

/**
 * Reads from a frame's first bytes how long it is, and where its message is.
 *
 * The result is left in fields: an object for each message would cost more than the rest
 * of the work.
 */
export interface FrameLayout {
  /** A name for the message in errors. */
  readonly what: string;
  /** The most bytes that {@linkcode FrameLayout.read} looks at. */
  readonly maxHeaderLength: number;
  /** The byte that ends each frame, or -1. */
  readonly lastByte: number;
  /** The length of the frame in bytes. */
  readonly frameLength: number;
  /** Where in the frame the message begins. */
  readonly messageStart: number;
  /** Where in the frame the message ends. */
  readonly messageEnd: number;
  /** Why there can be no such frame; `undefined` if it is longer than can be counted. */
  readonly problem: string | undefined;
  /**
   * Reads the header of the frame that begins at `start`; its bytes have arrived up to
   * `end`.
   */
  read(bytes: Uint8Array, start: number, end: number): HeaderState;
  /**
   * Does the same for a header without a fixed limit; throws if the header is malformed.
   * Then `read` finds none.
   */
  readInput?(input: ByteInput, from: number): HeaderState;
  /**
   * Does the work of {@linkcode FrameFinder.findMany} in one flat loop, for a header so
   * simple that a call costs more than reading it.
   */
  readMany?(source: FrameSource, frames: Frames, maxLength: number): void;
}

/** Finds messages whose length is known from their header. */
export class LengthFrames implements FrameFinder {
  readonly maxFrameLength: number;
  readonly sought = undefined;
  readonly separator = undefined;
  readonly #layout: FrameLayout;
  readonly #limits: Limits;
  // How many bytes of a frame with a too long message are still to be skipped.
  #skip = 0;
  #skipOffset = 0;
  start = 0;
  end = 0;
  next = 0;

  constructor(layout: FrameLayout, limits: Limits) {
    this.#layout = layout;
    this.#limits = limits;
    // The length in the header is checked here, before waiting for the frame.
    this.maxFrameLength = Infinity;
  }

  get pending(): boolean {
    return this.#skip > 0;
  }

  find(input: ByteInput, from: number, ended: boolean): Found {
    const layout = this.#layout;
    if (this.#skip > 0) return this.#skipFrom(input, from, ended);
    const offset = input.offset + from;
    switch (this.#read(input, from)) {
      case PARTIAL:
        return this.#nothing(input, from, ended);
      case WRONG:
        if (layout.problem !== undefined) {
          throw malformed(layout.what, offset, layout.problem);
        }
        throw this.#tooLong(offset);
    }
    const { messageStart, messageEnd, frameLength } = layout;
    if (messageEnd - messageStart > this.#limits.maxLength) {
      if (!this.#limits.discard) throw this.#tooLong(offset);
      this.#skip = frameLength;
      this.#skipOffset = offset;
      return this.#skipFrom(input, from, ended);
    }
    const next = from + frameLength;
    if (next > input.length) {
      input.need(next);
      return this.#nothing(input, from, ended);
    }
    if (layout.lastByte !== -1) {
      this.#checkLastByte(input.byteAt(next - 1), offset);
    }
    this.start = from + messageStart;
    this.end = from + messageEnd;
    this.next = next;
    return MESSAGE;
  }

  findMany(
    source: FrameSource,
    _search: undefined,
    frames: Frames,
  ): void {
    if (this.#skip > 0) return;
    const { maxLength } = this.#limits;
    const layout = this.#layout;
    if (layout.readMany) return layout.readMany(source, frames, maxLength);
    const { bytes, start, end } = source;
    const { lastByte } = layout;
    frames.clear(0, lastByte === -1 ? 0 : 1);
    const heads = frames.eachHead();
    const { ends } = frames;
    let from = start;
    let to = 0;
    while (to < ends.length && layout.read(bytes, from, end) === WHOLE) {
      const { messageStart, messageEnd } = layout;
      const next = from + layout.frameLength;
      if (next > end || messageEnd - messageStart > maxLength) break;
      if (lastByte !== -1 && bytes[next - 1] !== lastByte) break;
      heads[to] = messageStart;
      // Offsets count from the front.
      ends[to] = next - start;
      to++;
      from = next;
    }
    frames.count = to;
  }

  #read(input: ByteInput, from: number): HeaderState {
    if (this.#layout.readInput) return this.#layout.readInput(input, from);
    if (input instanceof InputBuffer) {
      const { bytes, start, end } = input.source;
      return this.#layout.read(bytes, start + from, end);
    }
    const end = Math.min(input.length, from + this.#layout.maxHeaderLength);
    return this.#layout.read(input.bytesAt(from, end), 0, end - from);
  }

  #nothing(input: ByteInput, from: number, ended: boolean): Found {
    if (ended && input.length > from) {
      throw truncated(this.#layout.what, input.offset + from);
    }
    return NOTHING;
  }

  #tooLong(offset: number): Error {
    const limit = Math.min(this.#limits.maxLength, Number.MAX_SAFE_INTEGER);
    return tooLong(this.#layout.what, offset, limit);
  }

  /** Skips a frame whose message is too long. */
  #skipFrom(input: ByteInput, from: number, ended: boolean): Found {
    const { what, messageStart, messageEnd } = this.#layout;
    const length = Math.min(this.#skip, input.length - from);
    this.#skip -= length;
    this.next = from + length;
    if (this.#skip === 0) {
      this.#checkLastByte(input.byteAt(this.next - 1), this.#skipOffset);
      this.#limits.onDiscard?.(messageEnd - messageStart);
    } else if (ended) {
      throw truncated(what, this.#skipOffset);
    }
    return length > 0 ? PASSED : NOTHING;
  }

  #checkLastByte(byte: number | undefined, offset: number): void {
    const { lastByte, what } = this.#layout;
    if (lastByte === -1 || byte === lastByte) return;
    throw malformed(
      what,
      offset,
      `it must end with byte ${lastByte}, found ${byte}`,
    );
  }
}
