import { AssertionError as NodeAssertionError } from "node:assert";

/** Ends a failure's message with the reason that the test gave. */
export function withReason(
  message: string,
  reason: string | undefined,
): string {
  return reason ? `${message}: ${reason}` : `${message}.`;
}

/** Shows how two values differ. */
export function difference(
  actual: unknown,
  expected: unknown,
  operator: "deepStrictEqual" | "strictEqual",
): string {
  return new NodeAssertionError({ actual, expected, operator }).message;
}
