/**
 * What the runtimes offer beyond the Web's own functions, with what comes closest to
 * it where they do not: a browser, or a worker without `process`.
 *
 * @module
 */

interface ProcessLike {
  readonly versions?: { readonly deno?: unknown };
  readonly nextTick?: (callback: () => void) => void;
  readonly getBuiltinModule?: (name: string) => unknown;
}

let nextTick: ((callback: () => void) => unknown) | undefined;

/**
 * Calls `callback` once all promise continuations of this turn of the event loop have
 * run, and before the next look at timers and sockets.
 *
 * `queueMicrotask` would come too early: between two turns of a loop that awaits
 * each message (measured: `nextTick` takes 0.3 µs, for all connections together,
 * where `setImmediate` takes 2.4).
 */
export function afterContinuations(callback: () => void): void {
  nextTick ??= processOf()?.nextTick ?? setTimeout;
  const later = nextTick;
  // From within a timer's callback, `nextTick` alone would come before the first
  // continuation.
  queueMicrotask(() => later(callback));
}

/** Settles in the next turn of the event loop, after a look at the sockets if there is time. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const own = ownTimers();
    if (own.setImmediate !== undefined) own.setImmediate(resolve);
    else own.setTimeout(resolve, 0);
  });
}

// How often a loop that is never out of work looks at its sockets: once in so many turns
// of Deno's scheduler (tokio's `event_interval`). Others do it in each turn.
const TURNS_PER_LOOK = 61;

/**
 * How many reads and writes may be begun or settle in one turn of the event loop.
 *
 * In Deno those above it wait for a later turn, even if the socket is ready, and take a
 * slower way (measured: a broadcast to 1,000 took 9.6 µs for each where all were written
 * to in one turn, and 7.7 in several).
 */
export function operationsPerTurn(): number {
  return isDeno() ? 128 : Infinity;
}

/**
 * Settles when the sockets have been looked at. It takes about 0.1 ms where none is ready.
 *
 * @param onTurn Is called after each turn of the event loop until then.
 */
export async function untilLook(onTurn?: () => void): Promise<void> {
  const turns = isDeno() ? TURNS_PER_LOOK : 1;
  for (let turn = 0; turn < turns; turn++) {
    await nextTurn();
    onTurn?.();
  }
}

/** A timer of this module's. */
export interface OwnTimer {
  /** Ends it before it fires. */
  cancel(): void;
}

// A number, or an object where the types of Node are.
type Timer = ReturnType<typeof setTimeout>;

interface Timers {
  setTimeout(callback: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
  setInterval(callback: () => void, milliseconds: number): Timer;
  clearInterval(timer: Timer): void;
  /** Browsers do not have it. */
  setImmediate?(callback: () => void): unknown;
}

/**
 * Calls `callback` after some milliseconds.
 *
 * Tests replace the global timers by those of a clock that stands still, and no call of
 * this module is to wait for that. So it goes by those of Node, where there are any.
 *
 * @param keepsAlive Whether the process lives on for it.
 */
export function ownTimer(
  callback: () => void,
  milliseconds: number,
  keepsAlive = true,
): OwnTimer {
  const own = ownTimers();
  const timer = own.setTimeout(callback, milliseconds);
  if (!keepsAlive && isUnrefable(timer)) timer.unref();
  return { cancel: () => own.clearTimeout(timer) };
}

/** Calls `callback` after some milliseconds, if the process is still there. */
export function backgroundTimer(
  callback: () => void,
  milliseconds: number,
): OwnTimer {
  return ownTimer(callback, milliseconds, false);
}

// A timer that never fires, for all practical purposes: more is too long for one.
const NEVER_MS = 2 ** 31 - 1;

/**
 * Keeps the process alive.
 *
 * @returns Lets it end.
 */
export function keepAlive(): () => void {
  const own = ownTimers();
  const timer = own.setInterval(() => {}, NEVER_MS);
  return () => own.clearInterval(timer);
}

function isUnrefable(timer: unknown): timer is { unref(): unknown } {
  return typeof timer === "object" && timer !== null && "unref" in timer;
}

let timers: Timers | undefined;

function ownTimers(): Timers {
  if (timers === undefined) {
    const ofNode = builtinModule<unknown>("node:timers");
    timers = hasTimers(ofNode) ? ofNode : globalThis;
  }
  return timers;
}

function hasTimers(timers: unknown): timers is Timers {
  return typeof timers === "object" && timers !== null &&
    "setTimeout" in timers && "clearTimeout" in timers &&
    "setInterval" in timers && "clearInterval" in timers;
}

/** A module of Node, where the runtime has it. */
export function builtinModule<T>(name: string): T | undefined {
  // Its type is what the caller uses of it.
  return processOf()?.getBuiltinModule?.(name) as T | undefined;
}

function isDeno(): boolean {
  return processOf()?.versions?.deno !== undefined;
}

function processOf(): ProcessLike | undefined {
  const process: unknown = Reflect.get(globalThis, "process");
  return typeof process === "object" && process !== null ? process : undefined;
}
