/** A promise that is rejected, and no unhandled rejection if nothing awaits it. */
export function rejected(error: unknown): Promise<never> {
  return unobserved(Promise.reject(error));
}

/** The same promise, which is no unhandled rejection if nothing awaits it. */
export function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Waits for `promise`, which must not reject, or for some milliseconds at most. */
export async function isSettledWithin(
  promise: Promise<void>,
  milliseconds: number,
): Promise<boolean> {
  const { promise: timedOut, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), milliseconds);
  const isSettled = await Promise.race([promise.then(() => true), timedOut]);
  clearTimeout(timer);
  return isSettled;
}
