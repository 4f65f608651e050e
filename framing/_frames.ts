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

// So many are found together: their places stay in the processor's fastest cache.
const MANY_FRAMES = 1024;
// More than one is in use only while batches of several connections are.
const MAX_SPARE_FRAMES = 16;

/** Where frames lie that follow each other, in bytes from the front of the input. */
export class Frames {
  /**
   * For each frame: where its message begins and ends, and where the frame ends. There
   * is room for so many.
   */
  readonly places: Int32Array;
  /** How many there are. */
  count = 0;

  constructor(capacity: number) {
    this.places = new Int32Array(3 * capacity);
  }

  /** Adds one. */
  add(start: number, end: number, next: number): void {
    const at = 3 * this.count++;
    this.places[at] = start;
    this.places[at + 1] = end;
    this.places[at + 2] = next;
  }

  /** Where the last one ends. */
  get next(): number {
    return this.places[3 * this.count - 1] ?? 0;
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
const spareFrames: Frames[] = [];

/** Room for many frames, to be given back with {@linkcode giveBackFrames}. */
export function takeFrames(): Frames {
  return spareFrames.pop() ?? new Frames(MANY_FRAMES);
}

/** Gives back what {@linkcode takeFrames} gave. */
export function giveBackFrames(frames: Frames): void {
  if (spareFrames.length < MAX_SPARE_FRAMES) spareFrames.push(frames);
}
