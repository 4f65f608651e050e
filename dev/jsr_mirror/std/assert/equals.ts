import { equal } from "./_equal.ts";
import { difference, withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(
    `${withReason("Values are not equal", msg)}\n${
      difference(actual, expected, "deepStrictEqual")
    }`,
  );
}
