import { withReason } from "./_message.ts";
import { AssertionError } from "./_assertion_error.ts";

/** A class of errors, however its instances are made. */
export type ErrorConstructor<E extends Error> = abstract new (
  ...args: never[]
) => E;

/** What a thrown value has to be. */
export interface ErrorCheck<E extends Error> {
  type?: ErrorConstructor<E> | undefined;
  messageIncludes?: string | undefined;
  reason?: string | undefined;
}

/** Sorts the arguments after the function that is to fail. */
export function errorCheck<E extends Error>(
  typeOrReason: ErrorConstructor<E> | string | undefined,
  messageIncludes: string | undefined,
  reason: string | undefined,
): ErrorCheck<E> {
  return typeof typeOrReason === "string"
    ? { reason: typeOrReason }
    : { type: typeOrReason, messageIncludes, reason };
}

/** Passes a thrown value on when it is what was expected. */
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
