import { withReason } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Asserts that a value is neither `null` nor `undefined`. */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual !== undefined && actual !== null) return;
  throw new AssertionError(
    withReason(`Expected a value but got ${actual}`, msg),
  );
}
