import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that a string contains another. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(
    withReason(`Expected "${actual}" to include "${expected}"`, msg),
  );
}
