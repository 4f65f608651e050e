/**
 * What networks do to bytes: they delay, cut, stall and break.
 *
 * @module
 */
import { delay } from "@std/async/delay";
import type { Flags } from "./_flags.ts";
import { parseCount, UsageError } from "./_values.ts";

/** What happens to the bytes of each direction. */
export interface Faults {
  /** The least delay of each byte, in milliseconds. */
  readonly latency: number;
  /** The most additional delay, in milliseconds. */
  readonly jitter: number;
  /** The most bytes in a second. */
  readonly rate: number;
  /** The lengths of the pieces that the bytes are cut into. */
  readonly cut: { readonly min: number; readonly max: number } | undefined;
  /** After this many bytes nothing passes. */
  readonly stallAfter: number;
  /** After this many bytes both sides are reset. */
  readonly resetAfter: number;
  /** After this many bytes the receiver sees the end; the rest is dropped. */
  readonly halfCloseAfter: number;
  /** The seed of the random numbers. */
  readonly seed: number;
}

const NAMES = [
  "latency",
  "jitter",
  "rate",
  "cut",
  "stall-after",
  "reset-after",
  "half-close-after",
] as const;

/** Reads the flags of faults; `undefined` if there are none. */
export function parseFaults(flags: Flags): Faults | undefined {
  if (!NAMES.some((name) => flags.has(name))) {
    if (flags.has("seed")) throw new UsageError("--seed goes with a fault");
    return undefined;
  }
  const rate = flags.size("rate") ?? Infinity;
  if (rate === 0) {
    throw new UsageError(
      "--rate must be at least 1: nothing passes with --stall-after 0",
    );
  }
  return {
    latency: flags.duration("latency") ?? 0,
    jitter: flags.duration("jitter") ?? 0,
    rate,
    cut: parseCut(flags.text("cut")),
    stallAfter: flags.size("stall-after") ?? Infinity,
    resetAfter: flags.size("reset-after") ?? Infinity,
    halfCloseAfter: flags.size("half-close-after") ?? Infinity,
    seed: flags.count("seed", 0) ?? Math.floor(Math.random() * 2 ** 32),
  };
}

/** Whether any fault is random, so that the seed matters. */
export function isRandom({ jitter, cut }: Faults): boolean {
  return jitter > 0 || cut !== undefined && cut.min < cut.max;
}

function parseCut(text: string | undefined): Faults["cut"] {
  if (text === undefined) return undefined;
  const [first = "", second = first, ...others] = text.split("-");
  const min = parseCount("--cut", first);
  const max = parseCount("--cut", second);
  if (max < min || others.length > 0) {
    throw new UsageError(
      `--cut must be a length such as 3, or two such as 1-7: current value is "${text}"`,
    );
  }
  return { min, max };
}

/** Numbers from 0 to 1, the same for the same seed (splitmix32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** What a {@linkcode FaultyLine} does at its end. */
export interface LineEnd {
  write(bytes: Uint8Array): Promise<void>;
  end(): void;
  /** Resets both sides. */
  reset(): void;
  /** Ends all waits. */
  readonly signal: AbortSignal;
}

interface Piece {
  readonly bytes: Uint8Array;
  /** When it may leave. */
  readonly due: number;
}

// How much may be in flight before the sender has to wait, as in a network.
const MAX_QUEUED_BYTES = 1024 * 1024;
/**
 * How often a second a slow line passes bytes: it must not be still for
 * seconds.
 */
export const PIECES_A_SECOND = 20;

/** One direction, with its faults. Without faults every byte arrives once and in order. */
export class FaultyLine {
  readonly #faults: Faults;
  // Separate, so that cuts are in the same places for any chunks.
  readonly #cutRandom: () => number;
  readonly #jitterRandom: () => number;
  readonly #end: LineEnd;
  readonly #pieces: Piece[] = [];
  #queued = 0;
  #passed = 0;
  #cutLeft = 0;
  #lastDue = 0;
  #freeAt = 0;
  #hasEnded = false;
  #isDropping = false;
  #wake = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  readonly #done: Promise<void>;

  constructor(faults: Faults, seed: number, end: LineEnd) {
    this.#faults = faults;
    this.#cutRandom = randomFrom(seed);
    this.#jitterRandom = randomFrom(~seed);
    this.#end = end;
    this.#done = this.#run();
    this.#done.catch(() => {});
  }

  /** Takes bytes; settles when there is room for more. */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.#isDropping) return;
    const { latency, jitter } = this.#faults;
    const due = performance.now() + latency + jitter * this.#jitterRandom();
    // Later bytes arrive later, as in TCP.
    this.#lastDue = Math.max(this.#lastDue, due);
    this.#pieces.push({ bytes, due: this.#lastDue });
    this.#queued += bytes.length;
    this.#wake.resolve();
    while (this.#queued > MAX_QUEUED_BYTES) {
      this.#room = Promise.withResolvers();
      await Promise.race([this.#room.promise, this.#done]);
    }
  }

  /** Says that no more bytes come; settles when all have arrived. */
  async finish(): Promise<void> {
    this.#hasEnded = true;
    this.#wake.resolve();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    const aborted = new Promise<never>((_, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
    });
    aborted.catch(() => {});
    if (this.#actAtPlace()) return await this.#stop(aborted);
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece === undefined) {
        if (this.#hasEnded) break;
        this.#wake = Promise.withResolvers();
        await Promise.race([this.#wake.promise, aborted]);
        continue;
      }
      await this.#waitUntil(piece.due);
      for (let at = 0; at < piece.bytes.length;) {
        const part = piece.bytes.subarray(
          at,
          at + this.#partLength(piece.bytes.length - at),
        );
        await this.#pace(part.length);
        await this.#end.write(part);
        at += part.length;
        this.#passed += part.length;
        if (this.#actAtPlace()) return await this.#stop(aborted);
      }
      this.#queued -= piece.bytes.length;
      this.#room.resolve();
    }
    this.#end.end();
  }

  /** Passes nothing more: drops bytes after an end, or lets them wait. */
  async #stop(aborted: Promise<never>): Promise<void> {
    if (this.#passed < this.#faults.halfCloseAfter) await aborted;
    this.#isDropping = true;
    this.#pieces.length = 0;
    this.#queued = 0;
    this.#room.resolve();
  }

  /** The length of the next part: up to a cut, or to the offset of a fault. */
  #partLength(length: number): number {
    const { cut, rate, stallAfter, resetAfter, halfCloseAfter } = this.#faults;
    if (cut !== undefined && this.#cutLeft === 0) {
      this.#cutLeft = cut.min +
        Math.floor(this.#cutRandom() * (cut.max - cut.min + 1));
    }
    const places = [stallAfter, resetAfter, halfCloseAfter]
      .map((place) => place - this.#passed).filter((left) => left > 0);
    const part = Math.min(
      length,
      ...places,
      cut === undefined ? Infinity : this.#cutLeft,
      Math.max(1, Math.ceil(rate / PIECES_A_SECOND)),
    );
    if (cut !== undefined) this.#cutLeft -= part;
    return part;
  }

  async #pace(length: number): Promise<void> {
    const { rate, cut } = this.#faults;
    if (rate !== Infinity) {
      const start = Math.max(this.#freeAt, performance.now());
      this.#freeAt = start + length * 1000 / rate;
      await this.#waitUntil(this.#freeAt);
    }
    // The receiver reads between two pieces.
    if (cut !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.#end.signal.throwIfAborted();
  }

  async #waitUntil(due: number): Promise<void> {
    const left = due - performance.now();
    if (left > 0) await delay(left, { signal: this.#end.signal });
  }

  /** Applies a fault at this offset; returns whether nothing more passes. */
  #actAtPlace(): boolean {
    const { stallAfter, resetAfter, halfCloseAfter } = this.#faults;
    if (this.#passed >= resetAfter) this.#end.reset();
    else if (this.#passed >= halfCloseAfter) this.#end.end();
    else if (this.#passed < stallAfter) return false;
    return true;
  }
}
