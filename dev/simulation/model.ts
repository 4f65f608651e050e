/**
 * The allowed results of a program: messages in order and once, none lost unless an end
 * failed, every promise settled, and only known errors.
 *
 * @module
 */
import { assert } from "@std/assert";

/** A started operation, and how it ended. */
export interface Begun {
  readonly what: string;
  result: PromiseSettledResult<unknown> | undefined;
}

/** One call that takes messages. */
export interface Take {
  readonly messages: string[];
  /** Aborted, but it keeps its place. */
  isSwallowing: boolean;
}

/** The actions of an end that the model needs. */
export interface Deeds {
  readonly name: string;
  /** The accepted messages, in order. */
  readonly accepted: readonly string[];
  /** The calls that take messages, in order. */
  readonly takes: readonly Take[];
  readonly begun: readonly Begun[];
  /** Whether something was done after which messages may be missing. */
  readonly hasBroken: boolean;
  readonly wasClosed: boolean;
  readonly wasReset: boolean;
}

/** The reason of an aborted wait. */
export class GivenUp extends Error {
  override name = "GivenUp";
}

const KNOWN_ERRORS: readonly string[] = [
  "AbortError",
  "BrokenPipe",
  "ConnectionReset",
  "FramingError",
  "GivenUp",
  "InvalidStateError",
  "Odd",
  "TimeoutError",
  "UnexpectedEof",
];

// From a transport that its connection has not closed.
const CLOSED_BY_OTHERS: readonly string[] = ["BadResource", "Interrupted"];

/**
 * Asserts that `to` took the messages of `from` in order and once. Returns how many are
 * missing.
 */
export function checkOrder(from: Deeds, to: Deeds): number {
  let next = 0;
  let swallowed = 0;
  for (const { messages, isSwallowing } of to.takes) {
    for (const message of messages) {
      const place = from.accepted.indexOf(message, next);
      const isNext = place >= next && place <= next + swallowed;
      assert(
        isNext,
        `${to.name} took ${brief(message)} in place of ${
          brief(from.accepted[next])
        }`,
      );
      next = place + 1;
      swallowed = 0;
    }
    if (isSwallowing) swallowed++;
  }
  return from.accepted.length - next - swallowed;
}

/** Asserts that nothing is missing, unless something failed. */
export function checkDelivery(from: Deeds, to: Deeds): void {
  const missing = checkOrder(from, to);
  if (from.hasBroken || to.hasBroken || to.wasClosed) return;
  // An end that has closed does not read later bytes, which then reset the connection.
  if (from.wasClosed && to.accepted.length > 0) return;
  assert(
    missing <= 0,
    `${missing} of ${from.accepted.length} messages of ${from.name} were lost`,
  );
}

/** Asserts that everything settled, and failed only as documented. */
export function checkSettled({ begun, wasReset }: Deeds): void {
  for (const { what, result } of begun) {
    assert(result !== undefined, `${what} did not settle`);
    if (result.status === "fulfilled") continue;
    const { reason } = result;
    const isKnown = reason instanceof Error &&
      (KNOWN_ERRORS.includes(reason.name) ||
        wasReset && CLOSED_BY_OTHERS.includes(reason.name));
    if (!isKnown) {
      throw new Error(`${what} failed: ${reason}`, { cause: reason });
    }
  }
}

function brief(message: string | undefined): string {
  return message === undefined ? "nothing" : `"${message.slice(0, 20)}"`;
}
