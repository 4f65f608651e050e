import type { ByteInput } from "./byte_input.ts";
import type { Bytes } from "./bytes.ts";
import type { Decoder } from "./framing.ts";

/** What {@linkcode FrameFinder.find} has found. */
export type Found = typeof NOTHING | typeof MESSAGE | typeof PASSED;
/** No whole message is there. */
export const NOTHING = 0;
/** A message. */
export const MESSAGE = 1;
/** Bytes of no message, or of one that is dropped. */
export const PASSED = 2;

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
  /**
   * Looks for the message that begins at `from`.
   *
   * @throws {FramingError} If there can be none.
   */
  find(input: ByteInput, from: number, ended: boolean): Found;
}

/** Makes a decoder that takes the messages which `finder` finds. */
export function frameDecoder(finder: FrameFinder): Decoder<Bytes> {
  return new FrameDecoder(finder);
}

class FrameDecoder implements Decoder<Bytes> {
  readonly #finder: FrameFinder;

  constructor(finder: FrameFinder) {
    this.#finder = finder;
  }

  get maxFrameLength(): number {
    return this.#finder.maxFrameLength;
  }

  get pending(): boolean {
    return this.#finder.pending;
  }

  decode(input: ByteInput, ended: boolean): Bytes | undefined {
    const finder = this.#finder;
    const found = finder.find(input, 0, ended);
    if (found === NOTHING) return undefined;
    const message = found === MESSAGE
      ? input.bytesAt(finder.start, finder.end)
      : undefined;
    input.skip(finder.next);
    return message;
  }
}
