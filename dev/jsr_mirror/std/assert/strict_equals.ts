import { difference, withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that two values are the same, by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(
    `${withReason("Values are not strictly equal", msg)}\n${
      difference(actual, expected, "strictEqual")
    }`,
  );
}
