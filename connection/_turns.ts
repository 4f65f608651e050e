import { untilOthersAreServed } from "../internal/countdown.ts";
import {
  afterContinuations,
  nextTurn,
  operationsPerTurn,
  ownTimers,
  untilPoll,
} from "../internal/event_loop.ts";
import { Queue } from "../internal/queue.ts";

/** A task for the end of a turn. An object, to avoid a closure each time. */
export interface TurnTask {
  /** Does it. */
  onEndOfTurn(): void;
}

const waiting = new Queue<TurnTask>();
let turnEnd: PromiseWithResolvers<void> | undefined;
// Tasks are due at the end of this turn, or some were postponed to a later one.
let isScheduled = false;
let isPutOff = false;

/**
 * Calls `task` at the end of this turn of the event loop: once all promise continuations
 * have run, and before the next poll of timers and sockets. If there are many tasks, or
 * others need a turn, it is called in a later turn, in the order of the calls.
 */
export function atEndOfTurn(task: TurnTask): void {
  waiting.push(task);
  schedule();
}

/** Settles at the end of this turn, after all tasks there. */
export function endOfTurn(): Promise<void> {
  turnEnd ??= Promise.withResolvers();
  schedule();
  return turnEnd.promise;
}

/** The same, or `undefined` if there are no tasks. */
export function untilEndOfTurn(): Promise<void> | undefined {
  return isScheduled ? endOfTurn() : undefined;
}

function schedule(): void {
  if (isScheduled || isPutOff) return;
  isScheduled = true;
  afterContinuations(callAll);
}

function callAll(): void {
  isScheduled = isPutOff = false;
  const end = turnEnd;
  turnEnd = undefined;
  // Writers wait for that turn themselves. Waiting here too would be for all of them, on
  // one timer.
  const othersTurn = waiting.length === 0 || !ownTimers.areShared
    ? undefined
    : untilOthersHadTurn();
  if (othersTurn !== undefined) putOffUntil(othersTurn);
  else callWaiting();
  end?.resolve();
}

function callWaiting(): void {
  const tasks = waiting.takeAll();
  // As many reads may have settled in this turn.
  const most = operationsPerTurn() / 2;
  if (tasks.length > most) {
    waiting.fill(tasks.splice(most));
    putOffUntil(nextTurn());
  }
  for (const task of tasks) task.onEndOfTurn();
}

function putOffUntil(turn: Promise<void>): void {
  isPutOff = true;
  turn.then(callAll);
}

/** The most bytes, and the most reads and writes, without a poll of the sockets. */
const MAX_BYTES_MOVED = 256 * 1024;
const MAX_MOVES = 16;
/** How long the others may have to wait for a poll; a pause takes about 0.1 ms. */
const MIN_MS_BETWEEN_PAUSES = 3;
/**
 * The same while there seem to be no others (measured: a loop over messages of 64 bytes
 * takes 10 % longer if it pauses every 3 ms).
 */
const MAX_MS_BETWEEN_PAUSES = 12;
/** How much news in a row counts as polls: a transport in memory has news without one. */
const MAX_NEWS = 10_000;
/**
 * The most checks between two pauses, about as many as in 12 ms: in tests with fake timers
 * the clock stands still, and a transport in memory would let nothing else run.
 */
const MAX_CHECKS = 1000;

let bytesMoved = 0;
let moves = 0;
let news = 0;
let hasPolled = false;
let polledAt = 0;
let checks = 0;
let msBetweenPauses = MIN_MS_BETWEEN_PAUSES;
let pause: Promise<void> | undefined;
// Whether two connections were seen since the pause began: both wait, or one has read.
let hasOthers = false;

/** Notes that a read may have left more in the transport, or that a write was taken. */
export function noteMoved(length: number): void {
  bytesMoved += length;
  moves++;
}

/** Notes that the sockets must have been polled: one has news. */
export function noteNews(): void {
  if (news === MAX_NEWS) return;
  news++;
  bytesMoved = moves = 0;
  hasPolled = true;
}

/**
 * Notes a read by a connection that does not wait for others. Not all reads are news: only
 * some transports tell when they are empty.
 */
export function noteOthersRead(): void {
  hasOthers = true;
}

/** Notes that the sockets have been polled. Nothing is known of the others yet. */
export function notePoll(): void {
  news = 0;
  msBetweenPauses = MIN_MS_BETWEEN_PAUSES;
  noteNews();
}

/**
 * Settles when the next read or write may begin; `undefined` if that is now.
 *
 * Gives connections that wait for their peer a turn alongside those that never wait. In
 * Deno a read that finds bytes, or a write that finds room, settles within the turn of
 * the event loop. Deno polls the other sockets only when nothing more can be done
 * immediately, and otherwise once in 61 turns of the scheduler, of 128 reads and writes
 * each. So if a few connections are always ready, all others wait for that long
 * (measured: 20 peers that send as fast as they can held up 100 others for 50 to 150 ms,
 * and 20 that were sent lines of 30 bytes, for 1.8 s; now 2 to 10 ms). If each read leads
 * to much work, few bytes take long: 400 peers with 2 ms of work for each read kept a
 * server from accepting another for 30 s.
 */
export function untilOthersHadTurn(): Promise<void> | undefined {
  if (bytesMoved < MAX_BYTES_MOVED && moves < MAX_MOVES) {
    return untilOthersAreServed();
  }
  const polled = untilOthersArePolled();
  if (polled !== undefined) return polled;
  bytesMoved = moves = 0;
  return untilOthersAreServed();
}

/**
 * Settles when the sockets have been polled; `undefined` if that was so recently that
 * nothing waits for long. For a connection whose receivers have taken many messages.
 *
 * One read may bring thousands of messages, and a caller that awaits one after another
 * awaits nothing that gives others a turn. If several connections have such reads, all
 * others wait until all these messages are handled (measured: 20 peers that sent lines of
 * 6 bytes as fast as they could held up another for 140 to 300 ms, and for seconds if
 * `receive()` or `readable` took them; now 3 ms, 10 at the 99th percentile).
 */
export function untilOthersArePolled(): Promise<void> | undefined {
  if (pause === undefined && wasPolledLately()) return undefined;
  hasOthers = pause !== undefined;
  if (!ownTimers.areShared) return waitForOthers();
  return pause ??= waitForOthers();
}

let nextPoll: Promise<void> | undefined;

/** Settles when the sockets have been polled. All calls in a turn share one poll if they can. */
export function untilSharedPoll(): Promise<void> {
  return ownTimers.areShared ? nextPoll ??= pollNext() : pollNext();
}

async function pollNext(): Promise<void> {
  await nextTurn();
  nextPoll = undefined;
  await untilPoll();
}

/** Whether the sockets were polled so recently that nothing waits for long. */
function wasPolledLately(): boolean {
  // Not `performance.now`, which takes 0.3 µs. The clock may have been set back.
  const now = Date.now();
  if (hasPolled) {
    polledAt = now;
    checks = 0;
  }
  hasPolled = false;
  checks++;
  return checks < MAX_CHECKS && Math.abs(now - polledAt) < msBetweenPauses;
}

async function waitForOthers(): Promise<void> {
  await untilPoll();
  const longer = Math.min(2 * msBetweenPauses, MAX_MS_BETWEEN_PAUSES);
  pause = undefined;
  notePoll();
  if (!hasOthers) msBetweenPauses = longer;
}
