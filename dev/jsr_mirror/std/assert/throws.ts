import {
  checkError,
  errorCheck,
  type ErrorConstructor,
} from "./_error_check.ts";
import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that a function throws, and returns the thrown value. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that a function throws an expected error, and returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  typeOrReason?: ErrorConstructor<E> | string,
  messageIncludes?: string,
  reason?: string,
): unknown {
  const check = errorCheck(typeOrReason, messageIncludes, reason);
  try {
    fn();
  } catch (error) {
    return checkError(error, check);
  }
  throw new AssertionError(
    withReason("Expected function to throw", check.reason),
  );
}
