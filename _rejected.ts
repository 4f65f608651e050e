/** A promise that is rejected, and no unhandled rejection if nobody awaits it. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
