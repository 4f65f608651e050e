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
