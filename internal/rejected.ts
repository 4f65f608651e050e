/** A promise that is rejected, and no unhandled rejection if nobody awaits it. */
export function rejected(error: unknown): Promise<never> {
  return unobserved(Promise.reject(error));
}

/** The same promise, which is no unhandled rejection if nobody awaits it. */
export function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
