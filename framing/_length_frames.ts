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
   * Reads the header of the frame that begins at `from`, and sets the fields.
   *
   * @returns Whether the header is whole.
   * @throws {FramingError} If there can be no such frame.
   */
  read(input: ByteInput, from: number): boolean;
}

/** Finds messages whose length is known from their header. */
export class LengthFrames implements FrameFinder {
  readonly maxFrameLength: number;
  readonly sought = undefined;
  readonly separator = undefined;
  readonly #layout: FrameLayout;
  readonly #limits: Limits;
  // The bytes yet to come of a frame whose message is too long.
  #skip = 0;
  #skipOffset = 0;
  start = 0;
  end = 0;
  next = 0;

  constructor(layout: FrameLayout, limits: Limits) {
    this.#layout = layout;
    this.#limits = limits;
    // What the header says is checked here, before its frame is waited for.
    this.maxFrameLength = Infinity;
  }

  get pending(): boolean {
    return this.#skip > 0;
  }

  find(input: ByteInput, from: number, ended: boolean): Found {
    const layout = this.#layout;
    if (this.#skip > 0) return this.#skipFrom(input, from, ended);
    if (!layout.read(input, from)) return this.#nothing(input, from, ended);
    const { messageStart, messageEnd, frameLength } = layout;
    if (messageEnd - messageStart > this.#limits.maxLength) {
      const offset = input.offset + from;
      if (!this.#limits.discard) {
        throw tooLong(layout.what, offset, this.#limits.maxLength);
      }
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
      this.#checkLastByte(input.byteAt(next - 1), input.offset + from);
    }
    this.start = from + messageStart;
    this.end = from + messageEnd;
    this.next = next;
    return MESSAGE;
  }

  findMany({ input }: FrameSource, frames: Frames): void {
    if (this.#skip > 0) return;
    const { maxLength } = this.#limits;
    const layout = this.#layout;
    const { lastByte } = layout;
    const { places, capacity } = frames;
    const { length } = input;
    let i = frames.count;
    try {
      for (let from = 0; i < capacity && layout.read(input, from); i++) {
        const next = from + layout.frameLength;
        const { messageStart, messageEnd } = layout;
        if (next > length || messageEnd - messageStart > maxLength) break;
        if (lastByte !== -1 && input.byteAt(next - 1) !== lastByte) break;
        places[3 * i] = from + messageStart;
        places[3 * i + 1] = from + messageEnd;
        places[3 * i + 2] = next;
        from = next;
      }
    } catch {
      // It is thrown again when the messages before are taken.
    }
    frames.count = i;
  }

  #nothing(input: ByteInput, from: number, ended: boolean): Found {
    if (ended && input.length > from) {
      throw truncated(this.#layout.what, input.offset + from);
    }
    return NOTHING;
  }

  /** Passes over the frame whose message is too long. */
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
