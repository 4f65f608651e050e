/**
 * What may come of a program: messages in order and once, none lost unless an end broke,
 * every promise settled, each failure a known one.
 *
 * @module
 */
import { assert } from "@std/assert";

/** Something that was begun, and how it ended. */
export interface Begun {
  readonly what: string;
  result: PromiseSettledResult<unknown> | undefined;
}

/** One call that takes messages, in the order of calling. */
export interface Take {
  readonly messages: string[];
  /** Given up, though its place was kept. */
  isSwallowing: boolean;
}

/** What an end has done, as far as the model needs it. */
export interface Deeds {
  readonly name: string;
  /** The messages that were let in, in order. */
  readonly accepted: readonly string[];
  /** The calls that take messages, in order. */
  readonly takes: readonly Take[];
  readonly begun: readonly Begun[];
  /** Something was done after which messages may be missing. */
  readonly hasBroken: boolean;
  readonly wasClosed: boolean;
  readonly wasReset: boolean;
}

/** Why a wait was given up. */
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

// Of a transport that was not closed by its connection.
const CLOSED_BY_OTHERS: readonly string[] = ["BadResource", "Interrupted"];

/** Asserts that `to` took what `from` sent, in order and once. Gives how many are missing. */
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

/** Asserts that nothing is missing, unless something broke. */
export function checkDelivery(from: Deeds, to: Deeds): void {
  const missing = checkOrder(from, to);
  if (from.hasBroken || to.hasBroken || to.wasClosed) return;
  // Who closes does not read what then comes, by which the connection is reset.
  if (from.wasClosed && to.accepted.length > 0) return;
  assert(
    missing <= 0,
    `${missing} of ${from.accepted.length} messages of ${from.name} were lost`,
  );
}

/** Asserts that everything settled, and failed only as it is documented. */
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
