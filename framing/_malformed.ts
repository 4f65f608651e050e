import { drops, noteDropped } from "../internal/drops.ts";
import { logRejection } from "../internal/log_error.ts";
import { checkChoice } from "./_limits.ts";
import { type FramingError, isFramingError } from "./framing_error.ts";
import type { MalformedOptions } from "./malformed.ts";

/** What happens to a malformed message: it is reported and dropped, or it is an error. */
export type Malformed = ((error: FramingError) => void) | undefined;

/** Checks the option `onMalformed` of `name`. */
export function checkMalformed(
  name: string,
  { onMalformed = "error" }: MalformedOptions,
): Malformed {
  if (typeof onMalformed === "function") return onMalformed;
  checkChoice(name, "onMalformed", onMalformed, ["error", "discard"]);
  return onMalformed === "discard" ? drop : undefined;
}

/** Whether a function of the user gets reports of dropped messages. */
export function isReported(malformed: Malformed): boolean {
  return malformed !== undefined && malformed !== drop;
}

function drop(): void {}

/** Throws `error`, unless its message is dropped. */
export function refuse(error: unknown, malformed: Malformed): void {
  if (malformed === undefined || !isFramingError(error)) throw error;
  noteDropped(drops);
  logRejection(malformed(error));
}
