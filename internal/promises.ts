import { Countdown } from "./countdown.ts";
import { keepAlive, ownTimer } from "./event_loop.ts";

/** A rejected promise that causes no unhandled rejection if nothing awaits it. */
export function rejected(error: unknown): Promise<never> {
  return unobserved(Promise.reject(error));
}

/** The same promise; it causes no unhandled rejection if nothing awaits it. */
export function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/**
 * Waits for `promise`, which must not reject, for some milliseconds at most. Time in
 * which this thread is busy does not count: the awaited bytes may lie in the sockets.
 */
export async function isSettledWithin(
  promise: Promise<void>,
  milliseconds: number,
): Promise<boolean> {
  const { promise: timedOut, resolve } = Promise.withResolvers<boolean>();
  const countdown = new Countdown(milliseconds, () => resolve(false));
  countdown.resume();
  const letDie = keepAlive(); // a countdown alone would let the process end
  const isSettled = await Promise.race([promise.then(() => true), timedOut]);
  letDie();
  countdown.stop();
  return isSettled;
}

/** Whether `promise`, which must not reject, settles before timers have their turn. */
export async function isSettledSoon(promise: Promise<void>): Promise<boolean> {
  const { promise: timedOut, resolve } = Promise.withResolvers<boolean>();
  const timer = ownTimer(() => resolve(false), 0);
  const isSettled = await Promise.race([promise.then(() => true), timedOut]);
  timer.cancel();
  return isSettled;
}
