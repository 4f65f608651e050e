import type { Search } from "./_search.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";

/** What {@linkcode FrameFinder.find} has found. */
export type Found = typeof NOTHING | typeof MESSAGE | typeof PASSED;
/** No whole message is there. */
export const NOTHING = 0;
/** A message. */
export const MESSAGE = 1;
/** Bytes of no message, or of one that is dropped. */
export const PASSED = 2;

// So many are found together: as many as 64 KiB hold of 16 bytes, and fewer where few
// bytes are, as each connection may hold some.
const MANY_FRAMES = 4096;
const MAX_SPARE_MANY = 16;
const FEW_FRAMES = 256;
const MAX_SPARE_FEW = 512;
const FEW_BYTES = 8 * 1024;

/** Where frames lie that follow each other, in bytes from the front of the input. */
export class Frames {
  /**
   * Where each frame ends, and the next one begins, less {@linkcode Frames.shift}. There is
   * room for so many.
   */
  readonly ends: Int32Array;
  /** What is added to each of {@linkcode Frames.ends}. */
  shift = 0;
  /** How many there are. */
  count = 0;
  /** How many bytes of a frame come before its message, if {@linkcode heads} is not there. */
  head = 0;
  /** The same for each frame, where they differ. */
  heads: Int32Array | undefined;
  /** How many bytes of a frame come after its message, if {@linkcode tails} is not there. */
  tail = 0;
  /** The same for each frame, where they differ. */
  tails: Int32Array | undefined;
  // Kept for the next time that they are needed.
  #heads: Int32Array | undefined;
  #tails: Int32Array | undefined;

  constructor(capacity: number) {
    this.ends = new Int32Array(capacity);
  }

  /** Forgets those that are there; frames follow whose heads and tails are all the same. */
  clear(head: number, tail: number): void {
    this.count = this.shift = 0;
    this.head = head;
    this.tail = tail;
    this.heads = this.tails = undefined;
  }

  /** Adds one whose head and tail differ from those before; all are added so. */
  add(start: number, end: number, next: number): void {
    const at = this.count++;
    this.eachHead()[at] = start - this.endOf(at);
    this.eachTail()[at] = next - end;
    this.ends[at] = next;
  }

  /** Gives room for the head of each frame. */
  eachHead(): Int32Array {
    return this.heads = this.#heads ??= new Int32Array(this.ends.length);
  }

  /** Gives room for the tail of each frame. */
  eachTail(): Int32Array {
    return this.tails = this.#tails ??= new Int32Array(this.ends.length);
  }

  /** Where the message of a frame that is there begins. */
  start(index: number): number {
    const { head, heads } = this;
    return this.endOf(index) + (heads === undefined ? head : heads[index]!);
  }

  /** Where the message of a frame that is there ends. */
  end(index: number): number {
    const { tail, tails } = this;
    return this.endOf(index + 1) - (tails === undefined ? tail : tails[index]!);
  }

  /** Where the first `count` frames end. */
  endOf(count: number): number {
    return count === 0 ? 0 : this.ends[count - 1]! + this.shift; // there are so many
  }
}

/** The bytes of an input. */
export interface FrameSource {
  /** Its buffer. */
  readonly bytes: Bytes;
  /** Where the front of the input lies in it: places of frames count from there. */
  readonly start: number;
  /** Where the input ends in it. */
  readonly end: number;
}

/**
 * Finds the messages of one stream that are ranges of its bytes, without taking them.
 *
 * Where the last one lies is left in fields, as an object for each message would cost
 * more than the rest of the work.
 */
export interface FrameFinder {
  /** Where the message begins. */
  readonly start: number;
  /** Where the message ends. */
  readonly end: number;
  /** Where its frame ends, and the next one begins. */
  readonly next: number;
  /** See {@linkcode Decoder.maxFrameLength}. */
  readonly maxFrameLength: number;
  /** See {@linkcode Decoder.pending}. */
  readonly pending: boolean;
  /** What {@linkcode FrameFinder.findMany} wants to be searched for. */
  readonly sought: number | Uint8Array | undefined;
  /** ASCII text that stands between messages, and never in one. */
  readonly separator: string | undefined;
  /**
   * Looks for the message that begins at `from`.
   *
   * @throws {FramingError} If there can be none.
   */
  find(input: ByteInput, from: number, ended: boolean): Found;
  /**
   * Adds the frames at the front that are whole, one after another. It stops before
   * one that `find` has to decide about: what is not a message, or has a consequence
   * but for where it lies. So it changes nothing, and frames need not be taken.
   *
   * @param search The search for {@linkcode FrameFinder.sought}.
   */
  findMany(
    source: FrameSource,
    search: Search | undefined,
    frames: Frames,
  ): void;
}

// Taken by those that use them.
const spareMany: Frames[] = [];
const spareFew: Frames[] = [];

/**
 * Room for the frames that are found together in `length` bytes, of which no more than
 * `most` are of use; to be given back with {@linkcode giveBackFrames}.
 */
export function takeFrames(length: number, most: number = Infinity): Frames {
  return length < FEW_BYTES || most <= FEW_FRAMES
    ? spareFew.pop() ?? new Frames(FEW_FRAMES)
    : spareMany.pop() ?? new Frames(MANY_FRAMES);
}

/** Gives back what {@linkcode takeFrames} gave. */
export function giveBackFrames(frames: Frames): void {
  if (frames.ends.length === FEW_FRAMES) {
    if (spareFew.length < MAX_SPARE_FEW) spareFew.push(frames);
  } else if (spareMany.length < MAX_SPARE_MANY) {
    spareMany.push(frames);
  }
}
