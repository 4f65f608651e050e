/** Waits for promises with a limit, and returns how each ended. */

// Long enough that only a promise that never settles reaches it.
const NEVER_MS = 15_000;

/**
 * Waits until `promise` settles.
 *
 * @throws {Error} If it does not settle.
 */
export async function settlement<T>(
  promise: Promise<T>,
  what: string,
): Promise<PromiseSettledResult<T>> {
  const { promise: never, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${what} did not settle within ${NEVER_MS} ms`)),
    NEVER_MS,
  );
  try {
    const [result] = await Promise.race([Promise.allSettled([promise]), never]);
    return result;
  } finally {
    clearTimeout(timer);
  }
}
