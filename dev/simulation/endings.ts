/**
 * The table of endings as a model: what an end has seen from its transport and was
 * asked to do determines its row, and the row says what must have happened.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";

/** The rows of the table in CONTRIBUTING.md, as a copy. */
export const ROWS = {
  "both sides ended": {
    read: "delivered",
    unread: "read already",
    queued: "sent",
    isError: false,
  },
  "close()": {
    read: "delivered",
    unread: "dropped, up to 1 s",
    queued: "sent",
    isError: false,
  },
  "FramingError": {
    read: "delivered",
    unread: "dropped, up to 1 s",
    queued: "sent",
    isError: true,
  },
  "a write failed, the peer is gone": {
    read: "delivered",
    unread: "delivered, up to 1 s",
    queued: "dropped",
    isError: true,
  },
  "a timeout, any other error": {
    read: "delivered",
    unread: "dropped",
    queued: "dropped",
    isError: true,
  },
  "abort()": {
    read: "dropped",
    unread: "dropped",
    queued: "dropped",
    isError: true,
  },
} as const;

/** A cause of the table. */
export type Cause = keyof typeof ROWS;

/** The progress of an end. */
export interface Progress {
  readonly time: number;
  /** Bytes that its transport has read, and those that the connection has received. */
  readonly read: number;
  readonly takenIn: number;
  readonly received: number;
  readonly accepted: number;
  readonly written: number;
  /** Calls of its transport that it has started. */
  readonly reads: number;
  readonly writes: number;
  readonly ends: number;
}

/** Something that ends a connection, and the progress at that time. */
export interface Ended {
  readonly cause: Cause;
  readonly error?: unknown;
  readonly at: Progress;
}

/** The result of one end. */
export interface Outcome {
  readonly name: string;
  readonly messageLength: number;
  /**
   * What ended it before its transport was released, in order; several may be in one
   * moment.
   */
  readonly endings: readonly Ended[];
  /** When it stopped reading by `closeRead()`, if it did. */
  readonly stoppedReading: Progress | undefined;
  /** The position of a damaged byte in what it read, if any. */
  readonly damagedAt: number | undefined;
  readonly released: Progress;
  readonly last: Progress;
  readonly closed: PromiseSettledResult<void>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Asserts that all messages of an end arrive, if each of its endings sends the queue,
 * and if the other end, which reads all the time, has no ending or the one that
 * delivers the bytes in the kernel. The network must deliver everything.
 */
export function checkArrival(from: Outcome, to: Outcome): void {
  if (from.endings.some(({ cause }) => ROWS[cause].queued !== "sent")) return;
  if (to.stoppedReading !== undefined || to.damagedAt !== undefined) return;
  const delivers = to.endings.every(({ cause }) =>
    ROWS[cause].unread === "delivered, up to 1 s"
  );
  if (!delivers) return;
  assertEquals(
    to.last.received,
    from.last.accepted,
    `messages of ${from.name} that arrived at ${to.name}`,
  );
}

// As in the table, within about a tenth, like all limits.
const DRAIN_MS = 1000 * 1.1;

/** Asserts the table's rules for an end, and returns the rows that applied. */
export function checkEnding(outcome: Outcome): Cause[] {
  const { name, endings } = outcome;
  const first = endings[0]?.cause ?? "both sides ended";
  const failed = checkTold(outcome);
  checkReceived(outcome, failed);
  checkQueued(outcome);
  checkReads(outcome, failed);
  const row = failed?.cause ?? first;
  assert(row in ROWS, name);
  return endings.length === 0 ? [first] : endings.map(({ cause }) => cause);
}

/** Asserts that the right error was reported, or none, and returns its ending. */
function checkTold(
  { name, endings, closed, released, signal, stoppedReading }: Outcome,
): Ended | undefined {
  const errors = endings.filter(({ cause }) => ROWS[cause].isError);
  const [first] = errors;
  if (closed.status === "fulfilled") {
    // `close()` may finish in the moment in which something else fails.
    const isDone = endings[0]?.cause === "close()" &&
      first?.at.time === released.time;
    if (!isDone) assertEquals(first?.cause, undefined, `${name} told no error`);
    assert(signal?.aborted !== true, `the signal of ${name} was aborted`);
    return undefined;
  }
  const told = errors.find(({ error }) => error === closed.reason);
  assert(told !== undefined, `${name} told ${closed.reason}: it has no cause`);
  // If two errors come in one moment, as after a reset, either may be reported.
  assertEquals(told.at.time, first?.at.time, `${name} told a later error`);
  if (signal !== undefined) assertStrictEquals(signal.reason, closed.reason);
  const isOfReading = told.cause === "FramingError";
  assert(!(isOfReading && stoppedReading), `${name} decoded after closeRead()`);
  return told;
}

/** The columns of messages already read, and of bytes in the kernel. */
function checkReceived(outcome: Outcome, failed: Ended | undefined): void {
  const { name, endings, stoppedReading, damagedAt, last, messageLength } =
    outcome;
  const whole = (bytes: number) => Math.floor(bytes / messageLength);
  const aborted = endings.find(({ cause }) => cause === "abort()");
  if (aborted !== undefined) {
    assertEquals(last.received, aborted.at.received, `${name} after abort()`);
    return;
  }
  // The first event that stops reading counts.
  const stops = [stoppedReading, endings[0]?.at].filter((at) =>
    at !== undefined
  );
  const stop = stops.reduce<Progress | undefined>(
    (first, at) => first === undefined || at.time < first.time ? at : first,
    undefined,
  );
  const isKept = failed !== undefined && failed === endings[0] &&
    stoppedReading === undefined &&
    ROWS[failed.cause].unread === "delivered, up to 1 s";
  const until = stop === undefined || isKept ? last : stop;
  const limit = Math.min(damagedAt ?? Infinity, until.read);
  const least = Math.min(damagedAt ?? Infinity, until.takenIn);
  assert(
    last.received >= whole(least) && last.received <= whole(limit),
    `${name} received ${last.received} messages of ${least} to ${limit} bytes`,
  );
}

/** The columns of messages queued, and of this side's end. */
function checkQueued({ name, endings, last, messageLength }: Outcome): void {
  const first = endings[0];
  if (endings.every(({ cause }) => ROWS[cause].queued === "sent")) {
    assertEquals(
      last.written,
      last.accepted * messageLength,
      `${name} did not send all`,
    );
    if (first === undefined) assert(last.ends > 0, `${name} sent no end`);
    return;
  }
  const dropping = endings.find(({ cause }) =>
    ROWS[cause].queued === "dropped"
  );
  if (dropping === undefined) return;
  assertEquals(last.writes, dropping.at.writes, `${name} wrote after its end`);
  assertEquals(last.ends, dropping.at.ends, `${name} sent an end after it`);
}

/** What is read after an ending, and how long. */
function checkReads(outcome: Outcome, failed: Ended | undefined): void {
  const { name, endings, released, last } = outcome;
  const final = endings.findLast(({ cause }) =>
    ROWS[cause].unread === "dropped"
  );
  if (final !== undefined) {
    assertEquals(last.reads, final.at.reads, `${name} read after its end`);
    assertEquals(released.time, final.at.time, `${name} was released late`);
  }
  if (failed?.cause === "a write failed, the peer is gone") {
    const took = released.time - failed.at.time;
    assert(took <= DRAIN_MS, `${name} was released after ${took} ms`);
  }
}
