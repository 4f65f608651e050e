import type { Search } from "./_search.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";

/** What {@linkcode FrameFinder.find} has found. */
export type Found = typeof NOTHING | typeof MESSAGE | typeof PASSED;
/** There is no whole message. */
export const NOTHING = 0;
/** A message. */
export const MESSAGE = 1;
/** Bytes of no message, or of a dropped one. */
export const PASSED = 2;

// How many are found together: 64 KiB of 16-byte frames; fewer if there are few bytes,
// because each connection may hold some.
const MANY_FRAMES = 4096;
// A connection with messages decoded ahead holds one. With 16 spares, 64 connections that
// receive lines of 1 KiB spend a quarter of their time on making new ones (measured).
const MAX_SPARE_MANY = 64;
const FEW_FRAMES = 256;
const MAX_SPARE_FEW = 512;
const FEW_BYTES = 8 * 1024;

/** The offsets of consecutive frames, in bytes from the front of the input. */
export class Frames {
  /**
   * Where each frame ends and the next one begins, less {@linkcode Frames.shift}. Its
   * length is the room for frames.
   */
  readonly ends: Int32Array;
  /** What is added to each of {@linkcode Frames.ends}. */
  shift = 0;
  /** How many there are. */
  count = 0;
  /**
   * How many bytes of a frame come before its message, if there are no {@linkcode heads}.
   */
  head = 0;
  /** The same for each frame, where they differ. */
  heads: Int32Array | undefined;
  /**
   * How many bytes of a frame come after its message, if there are no {@linkcode tails}.
   */
  tail = 0;
  /** The same for each frame, where they differ. */
  tails: Int32Array | undefined;
  // Kept for the next time.
  #heads: Int32Array | undefined;
  #tails: Int32Array | undefined;

  constructor(capacity: number) {
    this.ends = new Int32Array(capacity);
  }

  /** Removes all frames; the next ones all have the same head and tail. */
  clear(head: number, tail: number): void {
    this.count = this.shift = 0;
    this.head = head;
    this.tail = tail;
    this.heads = this.tails = undefined;
  }

  /** Adds a frame with its own head and tail; all must be added this way. */
  add(start: number, end: number, next: number): void {
    const at = this.count++;
    this.eachHead()[at] = start - this.endOf(at);
    this.eachTail()[at] = next - end;
    this.ends[at] = next;
  }

  /** Room for the head of each frame. */
  eachHead(): Int32Array {
    return this.heads = this.#heads ??= new Int32Array(this.ends.length);
  }

  /** Room for the tail of each frame. */
  eachTail(): Int32Array {
    return this.tails = this.#tails ??= new Int32Array(this.ends.length);
  }

  /** Where the message of an existing frame begins. */
  start(index: number): number {
    const { head, heads } = this;
    return this.endOf(index) + (heads === undefined ? head : heads[index]!);
  }

  /** Where the message of an existing frame ends. */
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
  /** Where the front of the input lies in it: offsets of frames count from there. */
  readonly start: number;
  /** Where the input ends in it. */
  readonly end: number;
}

/**
 * Finds the messages of one stream that are ranges of its bytes, without taking them.
 *
 * The offsets of the last one are left in fields: an object for each message would cost
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
  /** The bytes whose search {@linkcode FrameFinder.findMany} needs. */
  readonly sought: number | Uint8Array | undefined;
  /** ASCII text that is between messages, and never in one. */
  readonly separator: string | undefined;
  /**
   * Looks for the message that begins at `from`.
   *
   * @throws {FramingError} If there cannot be one.
   */
  find(input: ByteInput, from: number, ended: boolean): Found;
  /**
   * Adds the whole frames at the front, one after another. It stops before one that
   * `find` has to decide about: one that is not a message, or that has an effect beyond
   * its offsets. So it changes no state, and frames need not be taken.
   *
   * @param search The search for {@linkcode FrameFinder.sought}.
   */
  findMany(
    source: FrameSource,
    search: Search | undefined,
    frames: Frames,
  ): void;
}

// Free ones; users take them out.
const spareMany: Frames[] = [];
const spareFew: Frames[] = [];

/**
 * Room for the frames that are found together in `length` bytes, at most `most`; give it
 * back with {@linkcode giveBackFrames}.
 */
export function takeFrames(length: number, most: number = Infinity): Frames {
  return length < FEW_BYTES || most <= FEW_FRAMES
    ? spareFew.pop() ?? new Frames(FEW_FRAMES)
    : spareMany.pop() ?? new Frames(MANY_FRAMES);
}

/** Gives back a result of {@linkcode takeFrames}. */
export function giveBackFrames(frames: Frames): void {
  if (frames.ends.length === FEW_FRAMES) {
    if (spareFew.length < MAX_SPARE_FEW) spareFew.push(frames);
  } else if (spareMany.length < MAX_SPARE_MANY) {
    spareMany.push(frames);
  }
}
