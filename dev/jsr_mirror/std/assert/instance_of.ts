import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that a value is an instance of a class. */
export function assertInstanceOf<
  T extends abstract new (...args: never[]) => unknown,
>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  throw new AssertionError(
    withReason(
      `Expected ${expectedType.name} but got ${Deno.inspect(actual)}`,
      msg,
    ),
  );
}
