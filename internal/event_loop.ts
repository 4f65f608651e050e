/**
 * Functions that runtimes offer beyond the Web's, with the closest substitutes for those
 * without: a browser, or a worker without `process`.
 *
 * @module
 */

import { Queue } from "./queue.ts";

interface ProcessLike {
  readonly versions?: { readonly deno?: unknown };
  readonly nextTick?: (callback: () => void) => void;
  readonly getBuiltinModule?: (name: string) => unknown;
}

// A number, or an object with Node's types.
type Timer = ReturnType<typeof setTimeout>;

interface Timers {
  setTimeout(callback: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
  setInterval(callback: () => void, milliseconds: number): Timer;
  clearInterval(timer: Timer): void;
  /** Browsers do not have it. */
  setImmediate?(callback: () => void): unknown;
}

/** The functions by which this module waits, and its clock. */
export interface OwnTimers extends Timers {
  nextTick(callback: () => void): unknown;
  queueMicrotask(callback: () => void): void;
  /** Milliseconds, from any start; never set back. */
  now(): number;
  /**
   * Whether a timer may serve several connections. In Workers it belongs to the request
   * that sets it: if that request is over, the timer never fires, and all that waits for
   * it waits forever.
   */
  areShared: boolean;
}

/**
 * The runtime's own timers and clock, preferably Node's, as they are when this module is
 * loaded. Programs replace them in their tests by fake ones, those of `node:timers` too,
 * and this module must not wait for those. Its own tests replace them here.
 */
export const ownTimers: OwnTimers = timersOfRuntime();

/**
 * Calls `callback` once all promise continuations of this turn of the event loop have
 * run, and before the next poll of timers and sockets.
 *
 * `queueMicrotask` would come too early: between two turns of a loop that awaits each
 * message (measured: `nextTick` takes 0.3 µs for all connections together, `setImmediate`
 * 2.4).
 */
export function afterContinuations(callback: () => void): void {
  // From within a timer's callback, `nextTick` alone would come before the first
  // continuation.
  ownTimers.queueMicrotask(() => ownTimers.nextTick(callback));
}

/**
 * Settles in the next turn of the event loop, after a poll of the sockets if there is
 * time.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (ownTimers.setImmediate !== undefined) ownTimers.setImmediate(resolve);
    else ownTimers.setTimeout(resolve, 0);
  });
}

// A loop that always has work polls its sockets once in this many turns of Deno's
// scheduler (tokio's `event_interval`). Other runtimes poll in each turn.
const TURNS_PER_POLL = 61;

/**
 * How many reads and writes may begin or settle in one turn of the event loop.
 *
 * In Deno any more wait for a later turn, even if the socket is ready, and take a slower
 * path (measured: a broadcast to 1,000 took 9.6 µs each when all were written in one
 * turn, and 7.7 in several).
 */
export function operationsPerTurn(): number {
  return isDeno() ? 128 : Infinity;
}

/**
 * Settles when the sockets have been polled. It takes about 0.1 ms if none is ready.
 *
 * @param onTurn Called after each turn of the event loop until then.
 */
export async function untilPoll(onTurn?: () => void): Promise<void> {
  const turns = isDeno() ? TURNS_PER_POLL : 1;
  for (let turn = 0; turn < turns; turn++) {
    await nextTurn();
    onTurn?.();
  }
}

/** A timer of this module. */
export interface OwnTimer {
  /** Cancels it before it fires. */
  cancel(): void;
}

/**
 * Calls `callback` after some milliseconds.
 *
 * @param keepsAlive Whether it keeps the process alive.
 */
export function ownTimer(
  callback: () => void,
  milliseconds: number,
  keepsAlive = true,
): OwnTimer {
  const timer = ownTimers.setTimeout(callback, milliseconds);
  if (!keepsAlive && isUnrefable(timer)) timer.unref();
  return { cancel: () => ownTimers.clearTimeout(timer) };
}

/** Calls `callback` after some milliseconds, if the process still runs. */
export function backgroundTimer(
  callback: () => void,
  milliseconds: number,
): OwnTimer {
  return ownTimer(callback, milliseconds, false);
}

// Practically never: the longest time that a timer supports.
const NEVER_MS = 2 ** 31 - 1;

/**
 * Keeps the process alive.
 *
 * @returns A function that lets it end.
 */
export function keepAlive(): () => void {
  const timer = ownTimers.setInterval(() => {}, NEVER_MS);
  return () => ownTimers.clearInterval(timer);
}

function isUnrefable(timer: unknown): timer is { unref(): unknown } {
  return typeof timer === "object" && timer !== null && "unref" in timer;
}

function timersOfRuntime(): OwnTimers {
  const ofNode = builtinModule<unknown>("node:timers");
  const timers: Timers = hasTimers(ofNode) ? ofNode : globalThis;
  // Browsers refuse to call theirs on another object.
  const setTimeout = timers.setTimeout.bind(timers);
  const queueMicrotask = globalThis.queueMicrotask.bind(globalThis);
  const areShared = !isWorkers();
  const setImmediate = timers.setImmediate?.bind(timers) ??
    (areShared ? messagingImmediate() : undefined);
  return {
    setTimeout,
    clearTimeout: timers.clearTimeout.bind(timers),
    setInterval: timers.setInterval.bind(timers),
    clearInterval: timers.clearInterval.bind(timers),
    ...(setImmediate && { setImmediate }),
    // Only microtasks are sure to run before a request is over.
    nextTick: areShared
      ? processOf()?.nextTick ?? setImmediate ??
        ((callback) => setTimeout(callback, 0))
      : queueMicrotask,
    queueMicrotask,
    now: performance.now.bind(performance),
    areShared,
  };
}

/**
 * `setImmediate` for browsers, by messages. A timer of 0 ms takes them 4 ms, and in a hidden
 * page a second or a minute.
 */
function messagingImmediate(): Timers["setImmediate"] | undefined {
  if (!("MessageChannel" in globalThis)) return undefined;
  const callbacks = new Queue<() => void>();
  // Made when it is needed: importing the module does nothing.
  let port: MessagePort | undefined;
  const open = () => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => callbacks.shift()();
    return port2;
  };
  return (callback) => {
    callbacks.push(callback);
    (port ??= open()).postMessage(undefined);
  };
}

function hasTimers(timers: unknown): timers is Timers {
  return typeof timers === "object" && timers !== null &&
    "setTimeout" in timers && "clearTimeout" in timers &&
    "setInterval" in timers && "clearInterval" in timers;
}

/** A Node module, if the runtime has it. */
export function builtinModule<T>(name: string): T | undefined {
  // The caller names the type.
  return processOf()?.getBuiltinModule?.(name) as T | undefined;
}

function isDeno(): boolean {
  return processOf()?.versions?.deno !== undefined;
}

/** Whether this is Cloudflare Workers, which have a class of their own for WebSockets. */
export function isWorkers(): boolean {
  return "WebSocketPair" in globalThis;
}

function processOf(): ProcessLike | undefined {
  const process: unknown = Reflect.get(globalThis, "process");
  return typeof process === "object" && process !== null ? process : undefined;
}
