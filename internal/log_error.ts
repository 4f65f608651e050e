import { onRejection } from "./on_rejection.ts";

/** What happens to an error if no `onError` is given. */
export function logError(error: unknown): void {
  try {
    // deno-lint-ignore no-console -- an error must not go unseen
    console.error(error);
  } catch { // console.error() has thrown, for example in a getter of the error
    // deno-lint-ignore no-console -- as above
    console.error("An error that cannot be shown, as showing it throws");
  }
}

/**
 * Logs the rejection of an async callback: it is too late to end a connection with it,
 * and an unhandled rejection would end the process.
 */
export function logRejection(given: unknown): void {
  onRejection(given, logError);
}
