import { FramingError } from "./framing_error.ts";

/**
 * Asks the user's own functions about a message to send. A {@linkcode FramingError} that
 * they throw is the sender's mistake here, not the peer's: a `TypeError`.
 *
 * @param what What cannot be encoded then, and why.
 */
export function askForSending<Said>(what: string, ask: () => Said): Said {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    throw new TypeError(`Cannot encode ${what}`, { cause: error });
  }
}
