import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** A class of errors, with any constructor. */
export type ErrorConstructor<E extends Error> = abstract new (
  ...args: never[]
) => E;

/** The expectations of a thrown value. */
export interface ErrorCheck<E extends Error> {
  type?: ErrorConstructor<E> | undefined;
  messageIncludes?: string | undefined;
  reason?: string | undefined;
}

/** Sorts the arguments after the function that must fail. */
export function errorCheck<E extends Error>(
  typeOrReason: ErrorConstructor<E> | string | undefined,
  messageIncludes: string | undefined,
  reason: string | undefined,
): ErrorCheck<E> {
  return typeof typeOrReason === "string"
    ? { reason: typeOrReason }
    : { type: typeOrReason, messageIncludes, reason };
}

/** Returns a thrown value if it meets the expectations. */
export function checkError<E extends Error>(
  error: unknown,
  { type, messageIncludes, reason }: ErrorCheck<E>,
): unknown {
  if (!type) return error;
  if (!(error instanceof type)) {
    const found = error instanceof Error ? error.constructor.name : error;
    throw new AssertionError(
      withReason(`Expected ${type.name} but got ${found}`, reason),
    );
  }
  if (messageIncludes && !error.message.includes(messageIncludes)) {
    throw new AssertionError(withReason(
      `Expected error message to include "${messageIncludes}" but got "${error.message}"`,
      reason,
    ));
  }
  return error;
}
