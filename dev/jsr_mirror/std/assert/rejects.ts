import {
  checkError,
  errorCheck,
  type ErrorConstructor,
} from "./_error_check.ts";
import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** Asserts that a function's promise rejects, and returns the reason. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Asserts that a function's promise rejects with an expected error, and returns it. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  typeOrReason?: ErrorConstructor<E> | string,
  messageIncludes?: string,
  reason?: string,
): Promise<unknown> {
  const check = errorCheck(typeOrReason, messageIncludes, reason);
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (cause) {
    throw new AssertionError(
      withReason("Function throws when expected to reject", check.reason),
      { cause },
    );
  }
  if (typeof promise?.then !== "function") {
    throw new AssertionError(
      withReason("Expected function to return a promise", check.reason),
    );
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, check);
  }
  throw new AssertionError(
    withReason("Expected function to reject", check.reason),
  );
}
