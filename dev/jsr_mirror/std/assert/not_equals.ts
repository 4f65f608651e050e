import { equal } from "./_equal.ts";
import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(
    withReason(`Expected values to differ: ${Deno.inspect(actual)}`, msg),
  );
}
