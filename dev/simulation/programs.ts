/**
 * Programs of operations on the two ends of a connection and on the bytes between them:
 * one seed makes a program and its options.
 *
 * @module
 */
import { type Random, seededRandom } from "../../internal/random.ts";

const KINDS = [
  ["send", 12],
  ["sendSome", 6],
  ["request", 4],
  ["question", 2],
  ["receive", 10],
  ["iterate", 5],
  ["batch", 4],
  ["abortOne", 5],
  ["flush", 3],
  ["closeRead", 1],
  ["closeWrite", 2],
  ["close", 1],
  ["abort", 1],
  ["reframe", 2],
  ["detach", 2],
  ["settle", 10],
  ["sleep", 6],
  ["busy", 3],
  ["stall", 3],
  ["resume", 4],
  ["deliver", 5],
  ["cut", 3],
  ["zeroRead", 2],
  ["end", 1],
  ["reset", 1],
  ["failRead", 1],
  ["failWrite", 1],
] as const satisfies readonly (readonly [string, number])[];

/** The kinds of steps. */
export type Kind = typeof KINDS[number][0];

/** One operation, of an end or of the network. */
export interface Step {
  readonly kind: Kind;
  readonly end: 0 | 1;
  /** Bytes, milliseconds or a count, depending on the kind. */
  readonly size: number;
}

/** A program and its options. */
export interface Program {
  readonly seed: number;
  readonly framing: 0 | 1;
  readonly bufferSize: number;
  readonly readBufferSize: number;
  readonly highWaterMark: number;
  readonly receiveTimeout: number | undefined;
  readonly idleTimeout: number | undefined;
  readonly sendTimeout: number | undefined;
  readonly heartbeat: number | undefined;
  /** How the remaining messages are taken at the end. */
  readonly drain: "receive" | "iterate" | "batches" | "readable";
  /** Whether an abort resets the transport; Deno's transports cannot do that. */
  readonly canReset: boolean;
  /** Whether the ends are watched from the start, so that they read ahead. */
  readonly isWatched: boolean;
  /** Whether the ends switch framings; one loop then receives at each end. */
  readonly isSwitching: boolean;
  readonly steps: readonly Step[];
}

/** One of several values. */
export function oneOf<const T>(
  random: Random,
  first: T,
  ...others: readonly T[]
): T {
  return [first, ...others][random(others.length + 1)] ?? first;
}

/** Makes a program from a seed. */
export function programOf(seed: number): Program {
  const random = seededRandom(seed);
  const isSwitching = random(4) === 0;
  const whole = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
  const steps = Array.from({ length: 1 + random(40) }, (): Step => {
    let place = random(whole);
    const [kind] = KINDS.find(([, weight]) => (place -= weight) < 0) ??
      KINDS[0];
    const size = random(8) === 0 ? random(3000) : random(60);
    return { kind, end: random(2) === 0 ? 0 : 1, size };
  });
  // The module's clock counts multiples of 128 exactly.
  return {
    seed,
    framing: random(2) === 0 ? 0 : 1,
    bufferSize: oneOf(random, 2, 7, 64, 1000, 65_536),
    readBufferSize: oneOf(random, 1, 16, 1024, 65_536),
    highWaterMark: oneOf(random, 1, 100, 65_536),
    receiveTimeout: oneOf(random, undefined, undefined, 256, 1280),
    idleTimeout: oneOf(random, undefined, undefined, 256, 1280),
    sendTimeout: oneOf(random, undefined, undefined, 256, 1280),
    heartbeat: oneOf(random, undefined, undefined, 64, 512),
    drain: oneOf(random, "receive", "iterate", "batches", "readable"),
    canReset: random(2) === 0,
    isWatched: random(2) === 0,
    isSwitching,
    steps,
  };
}

/** A step as text. */
export function stepText({ kind, end, size }: Step): string {
  return `${kind}(${end}, ${size})`;
}
