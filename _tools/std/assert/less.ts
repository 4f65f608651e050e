import { AssertionError } from "./assertion_error.ts";

/** Asserts that the first value is less than the second. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (actual < expected) return;
  throw new AssertionError(
    msg ?? `Expect ${Deno.inspect(actual)} < ${Deno.inspect(expected)}`,
  );
}
