// How many bytes of consecutive frames are gathered. An output whose waiting frames span
// two runs needs a write for each (measured: 32 messages of 1 KiB to 1,000 receivers take
// half the time that they take with 16 KiB). A slow output keeps a run alive for one frame.
const RUN_BYTES = 64 * 1024;
// A longer frame is not copied: it would leave much of a run unused.
const MAX_GATHERED_BYTES = 16 * 1024;

/** Holds the frames that were shared last, in its first `used` bytes. */
let run = new Uint8Array(0);
let used = 0;

/**
 * A frame for many outputs, or several frames in a row. All outputs share one copy of the
 * bytes, which never change.
 *
 * Frames that are shared one after another are adjacent. So outputs with the same frames,
 * as after broadcasts, write one range of bytes, and share that too.
 */
export class SharedFrame {
  readonly #run: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  // These bytes and the following ones, made for the first output that needs them.
  #longer: SharedFrame | undefined;
  #bytes: Uint8Array | undefined;

  private constructor(run: Uint8Array, start: number, end: number) {
    this.#run = run;
    this.#start = start;
    this.#end = end;
  }

  /** Shares the bytes of a frame, which are copied if they are few. */
  static of(frame: Uint8Array): SharedFrame {
    const { length } = frame;
    if (length > MAX_GATHERED_BYTES) return new SharedFrame(frame, 0, length);
    if (used + length > run.length) {
      run = new Uint8Array(RUN_BYTES);
      used = 0;
    }
    run.set(frame, used);
    used += length;
    return new SharedFrame(run, used - length, used);
  }

  get length(): number {
    return this.#end - this.#start;
  }

  get bytes(): Uint8Array {
    return this.#bytes ??= this.#run.subarray(this.#start, this.#end);
  }

  /** The bytes of both, if those of `next` lie right after these. */
  through(next: SharedFrame): SharedFrame | undefined {
    if (next.#run !== this.#run || next.#start !== this.#end) return undefined;
    if (this.#longer === undefined || this.#longer.#end !== next.#end) {
      this.#longer = new SharedFrame(this.#run, this.#start, next.#end);
    }
    return this.#longer;
  }

  /** Does nothing: other outputs may need the bytes. */
  giveBack(): void {}
}
