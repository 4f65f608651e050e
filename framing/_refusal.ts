import { isFramingError } from "./framing_error.ts";

/**
 * Calls the user's functions for a message to send. A {@linkcode FramingError} that they
 * throw is the sender's mistake here, not the peer's, so it becomes a `TypeError`.
 *
 * @param what What then cannot be encoded, and why.
 */
export function askForSending<Said>(what: string, ask: () => Said): Said {
  try {
    return ask();
  } catch (error) {
    if (!isFramingError(error)) throw error;
    throw new TypeError(`Cannot encode ${what}`, { cause: error });
  }
}
