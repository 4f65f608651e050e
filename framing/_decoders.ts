import {
  type FrameFinder,
  type Frames,
  giveBackFrames,
  NOTHING,
  PASSED,
  takeFrames,
} from "./_frames.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";

/** A decoder that can take many messages at once, for callers that need all of them. */
export abstract class ManyDecoder<In> implements Decoder<In> {
  abstract readonly maxFrameLength: number | undefined;
  abstract readonly pending: boolean | undefined;
  abstract decode(input: ByteInput, ended: boolean): In | undefined;

  /** Whether it reports dropped messages to functions of the user. */
  get reports(): boolean {
    return false;
  }

  /**
   * Takes messages from the front and adds them, while they are found fast:
   * {@linkcode ManyDecoder.decode} takes the rest.
   *
   * @throws An error in the bytes, after adding the messages before it.
   */
  abstract decodeMany(input: InputBuffer, messages: In[]): void;
}

// With fewer in sight, finding all of them together takes longer.
const FEW_MESSAGES = 4;
const MAX_AHEAD = 1024;
// Nothing is ever put into it.
const NONE_AHEAD: never[] = [];

/** A decoder whose messages are ranges of the bytes. */
export abstract class RangeDecoder<In> extends ManyDecoder<In> {
  /** Finds the ranges. */
  readonly finder: FrameFinder;
  // Messages made but not taken, from `#at` on, and their frames. The frame of the next
  // one begins at `#offset` in the stream, `#taken` bytes after the first frame.
  #ahead: In[] = NONE_AHEAD;
  #frames: Frames | undefined;
  #at = 0;
  #taken = 0;
  #offset = -1;
  // The length of the last frame.
  #length = 0;
  // The most messages to make together. It grows while they are all taken: later bytes
  // may be for another decoder.
  #together = 1;

  // Whether a message may be refused after it is made: `take` decides.
  readonly #isChecked: boolean;

  constructor(finder: FrameFinder, isChecked: boolean) {
    super();
    this.finder = finder;
    this.#isChecked = isChecked;
  }

  override get maxFrameLength(): number {
    return this.finder.maxFrameLength;
  }

  override get pending(): boolean {
    return this.finder.pending;
  }

  override decode(input: ByteInput, ended: boolean): In | undefined {
    if (input.offset !== this.#offset) {
      this.#forget();
      this.#together = 1;
    } else if (this.#at === this.#ahead.length) {
      if (this.#lookAhead(input)) return this.#takeNext(input);
    } else if (input.length > 0) { // not `takeMore`, whose input has no bytes
      return this.#takeNext(input);
    }
    if (input.length === 0 && !ended) return undefined; // as after most messages
    const { finder } = this;
    const found = finder.find(input, 0, ended);
    if (found === NOTHING) return undefined;
    const { start, end, next } = finder;
    if (found === PASSED) {
      input.skip(next);
      return undefined;
    }
    const message = this.make(input, start, end);
    return this.take(input, message, start, end, next);
  }

  /**
   * Takes the next message if it was already made and cannot be refused, which is fast.
   */
  takeAhead(input: InputBuffer): In | undefined {
    const isAhead = this.#at < this.#ahead.length && !this.#isChecked &&
      input.offset === this.#offset;
    return isAhead ? this.#takeNext(input) : undefined;
  }

  override decodeMany(input: InputBuffer, messages: In[]): void {
    // Forget the messages already made, and make them again: otherwise they would come a
    // second time later.
    this.#forget();
    // A report about a message may decode others.
    const frames = takeFrames(input.length);
    try {
      while (input.findFrames(this.finder, frames)) {
        this.takeFrames(input, frames, messages);
      }
    } finally {
      giveBackFrames(frames);
    }
  }

  /** Makes a message from its offsets, if that works later and in any order. */
  abstract readonly maker: MessageMaker<In> | undefined;

  /** Makes the message from `start` to `end`. */
  protected abstract make(input: ByteInput, start: number, end: number): In;

  /** Makes the messages of `frames`, and adds them. */
  protected abstract makeAll(
    input: InputBuffer,
    frames: Frames,
    messages: In[],
  ): void;

  /** Takes the messages of `frames`, of which there is at least one, and adds them. */
  protected takeFrames(
    input: InputBuffer,
    frames: Frames,
    messages: In[],
  ): void {
    this.makeAll(input, frames, messages);
    input.skip(frames.endOf(frames.count));
  }

  /**
   * Takes the messages that are found together at the front, and leaves their offsets in
   * `frames`; `undefined` if one of them may be refused. This is for a decoder without a
   * {@linkcode RangeDecoder.maker}.
   */
  takeSound(_input: InputBuffer, _frames: Frames): In[] | undefined {
    return undefined;
  }

  /**
   * Takes a made message from the front, unless it is dropped.
   *
   * @param next Where its frame ends.
   */
  protected take(
    input: ByteInput,
    message: In,
    _start: number,
    _end: number,
    next: number,
  ): In | undefined {
    input.skip(next);
    this.#length = next;
    this.#offset = input.offset;
    return message;
  }

  /** Makes messages ahead of need; returns whether there are any. */
  #lookAhead(input: ByteInput): boolean {
    // The mean of those that were made together.
    if (this.#at > 0) this.#length = this.#taken / this.#at;
    this.#forget();
    if (input.length < FEW_MESSAGES * this.#length) return false;
    if (!(input instanceof InputBuffer)) return false;
    // If others take messages in between, searching for more would be wasted each time.
    const most = Math.min(4 * this.#together, MAX_AHEAD);
    const frames = this.#frames = takeFrames(input.length, most);
    if (!input.findFrames(this.finder, frames)) {
      this.#forget(); // while it waits for more bytes, it keeps no room for offsets
      return false;
    }
    this.#together = most;
    frames.count = Math.min(frames.count, most);
    this.makeAll(input, frames, this.#ahead = []);
    return true;
  }

  #forget(): void {
    if (this.#frames === undefined) return;
    giveBackFrames(this.#frames);
    this.#frames = undefined;
    this.#ahead = NONE_AHEAD;
    this.#at = this.#taken = 0;
  }

  #takeNext(input: ByteInput): In | undefined {
    const at = this.#at++;
    const taken = this.#taken;
    const frames = this.#frames!; // there is a message
    const message = this.#ahead[at]!; // checked before
    const next = this.#taken = frames.ends[at]! + frames.shift;
    const length = next - taken;
    if (this.#isChecked) {
      const start = frames.start(at) - taken;
      return this.take(input, message, start, frames.end(at) - taken, length);
    }
    input.skip(length);
    this.#offset += length;
    return message;
  }
}

/** Messages of which only the offsets are known. */
export interface PlacedMessages {
  bytesAt(index: number): Bytes;
  textAt(index: number): string;
  allBytes(): Bytes[];
  allTexts(): string[];
}

/** Makes messages from their offsets. */
export interface MessageMaker<In> {
  one(messages: PlacedMessages, index: number): In;
  all(messages: PlacedMessages): In[];
}

const makeBytes: MessageMaker<Bytes> = {
  one: (messages, index) => messages.bytesAt(index),
  all: (messages) => messages.allBytes(),
};

/** A decoder of messages that are bytes. */
export class BytesDecoder extends RangeDecoder<Bytes> {
  constructor(finder: FrameFinder) {
    super(finder, false);
  }

  override get maker(): MessageMaker<Bytes> {
    return makeBytes;
  }

  protected override make(input: ByteInput, start: number, end: number): Bytes {
    return input.bytesAt(start, end);
  }

  protected override makeAll(
    input: InputBuffer,
    frames: Frames,
    messages: Bytes[],
  ): void {
    input.addMessages(frames, messages);
  }
}
