import {
  type FrameFinder,
  type Frames,
  giveBackFrames,
  MESSAGE,
  NOTHING,
  takeFrames,
} from "./_frames.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";

/** A decoder that can take many messages at a time, for callers that need all of them. */
export abstract class ManyDecoder<In> implements Decoder<In> {
  abstract readonly maxFrameLength: number | undefined;
  abstract readonly pending: boolean | undefined;
  abstract decode(input: ByteInput, ended: boolean): In | undefined;

  /**
   * Takes messages from the front and adds them, as long as they are found fast:
   * {@linkcode ManyDecoder.decode} takes what is left.
   *
   * @throws What it meets, after it has added the messages before.
   */
  abstract decodeMany(input: InputBuffer, messages: In[]): void;
}

/** A decoder whose messages are ranges of the bytes. */
export abstract class RangeDecoder<In> extends ManyDecoder<In> {
  /** Finds them. */
  readonly finder: FrameFinder;

  constructor(finder: FrameFinder) {
    super();
    this.finder = finder;
  }

  override get maxFrameLength(): number {
    return this.finder.maxFrameLength;
  }

  override get pending(): boolean {
    return this.finder.pending;
  }

  override decodeMany(input: InputBuffer, messages: In[]): void {
    // What is told of a message may decode others.
    const frames = takeFrames(input.length);
    try {
      while (input.findFrames(this.finder, frames)) {
        this.takeFrames(input, frames, messages);
      }
    } finally {
      giveBackFrames(frames);
    }
  }

  /** Makes a message of its place, if that can be done later, and in any order. */
  abstract readonly maker: MessageMaker<In> | undefined;

  /** Takes the messages of `frames`, of which there is at least one. */
  protected abstract takeFrames(
    input: InputBuffer,
    frames: Frames,
    messages: In[],
  ): void;
}

/** Messages of which only the places are known. */
export interface PlacedMessages {
  bytesAt(index: number): Bytes;
  textAt(index: number): string;
  allBytes(): Bytes[];
  allTexts(): string[];
}

/** Makes messages of their places. */
export interface MessageMaker<In> {
  one(messages: PlacedMessages, index: number): In;
  all(messages: PlacedMessages): In[];
}

const makeBytes: MessageMaker<Bytes> = {
  one: (messages, index) => messages.bytesAt(index),
  all: (messages) => messages.allBytes(),
};

// So few bytes hold few messages: looking for all of them takes longer.
const FEW_BYTES = 1024;

/** A decoder of messages that are bytes. */
export class BytesDecoder extends RangeDecoder<Bytes> {
  // Frames that were found and not taken, from `#at` on. The first of these begins at
  // `#offset` in the stream, and `#taken` bytes after those that were found with it.
  #frames: Frames | undefined;
  #at = 0;
  #offset = 0;
  #taken = 0;
  // Up to there in the stream no more whole frames were found.
  #searchedTo = 0;

  override get maker(): MessageMaker<Bytes> {
    return makeBytes;
  }

  override decode(input: ByteInput, ended: boolean): Bytes | undefined {
    // Another decoder may have taken what was found.
    if (this.#frames !== undefined && input.offset !== this.#offset) {
      this.#giveBack(this.#frames);
    }
    if (this.#frames === undefined) {
      if (input.length < FEW_BYTES || !this.#lookAhead(input)) {
        return this.#decodeOne(input, ended);
      }
    }
    return this.#takeNext(input);
  }

  #decodeOne(input: ByteInput, ended: boolean): Bytes | undefined {
    const { finder } = this;
    const found = finder.find(input, 0, ended);
    if (found === NOTHING) return undefined;
    const message = found === MESSAGE
      ? input.bytesAt(finder.start, finder.end)
      : undefined;
    input.skip(finder.next);
    return message;
  }

  override decodeMany(input: InputBuffer, messages: Bytes[]): void {
    super.decodeMany(input, messages);
    this.#searchedTo = input.offset + input.length;
  }

  /** Finds frames that are not wanted yet; tells whether there are any. */
  #lookAhead(input: ByteInput): boolean {
    if (!(input instanceof InputBuffer)) return false;
    const searchedTo = input.offset + input.length;
    if (this.#searchedTo === searchedTo) return false;
    const frames = takeFrames(input.length);
    if (!input.findFrames(this.finder, frames)) {
      giveBackFrames(frames);
      this.#searchedTo = searchedTo;
      return false;
    }
    this.#frames = frames;
    this.#at = 0;
    this.#taken = 0;
    return true;
  }

  #takeNext(input: ByteInput): Bytes | undefined {
    const frames = this.#frames;
    if (frames === undefined) return undefined;
    const taken = this.#taken;
    const at = this.#at;
    const message = input.bytesAt(
      frames.start(at) - taken,
      frames.end(at) - taken,
    );
    const next = frames.endOf(at + 1);
    input.skip(next - taken);
    this.#taken = next;
    this.#at = at + 1;
    this.#offset = input.offset;
    if (this.#at === frames.count) this.#giveBack(frames);
    return message;
  }

  #giveBack(frames: Frames): void {
    giveBackFrames(frames);
    this.#frames = undefined;
  }

  protected override takeFrames(
    input: InputBuffer,
    frames: Frames,
    messages: Bytes[],
  ): void {
    input.addMessages(frames, messages);
    input.skip(frames.endOf(frames.count));
  }
}
