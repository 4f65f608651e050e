import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that a string matches a pattern. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  throw new AssertionError(
    withReason(`Expected "${actual}" to match ${expected}`, msg),
  );
}
