/** What happens to an error if no `onError` is given. */
export function logError(error: unknown): void {
  try {
    // deno-lint-ignore no-console -- an error must not go unseen
    console.error(error);
  } catch { // of its own, such as of a message that is computed
    // deno-lint-ignore no-console -- as above
    console.error("An error that cannot be shown, as showing it throws");
  }
}

/**
 * Logs what a report to the user rejects with, as an async function: it is too late to end
 * anything, and an unhandled rejection would end the process.
 */
export function logRejection(given: unknown): void {
  if (typeof given === "object") Promise.resolve(given).catch(logError);
}
