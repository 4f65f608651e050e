/**
 * Time limits that measure the peer, not this thread.
 *
 * A timer that has fired does not show that a peer is silent: its bytes may lie in the
 * socket, because this thread was busy, the process was stopped, or a thousand other
 * peers came first. So all limits of a process use one clock. It is observed regularly;
 * time between two observations counts only up to the planned interval; and it counts
 * only for waits that are still pending after a poll of all sockets following the
 * observation. By then, a wait for bytes that had arrived is over.
 *
 * One timer serves all countdowns, and running one only changes a few fields. If timers
 * cannot be shared, each countdown has a clock of its own.
 *
 * @module
 */
import {
  backgroundTimer,
  type OwnTimer,
  ownTimers,
  untilPoll,
} from "./event_loop.ts";

/** How often the clock is observed within the shortest limit, which sets the accuracy. */
const OBSERVATIONS = 32;
/** The same for a thread that is always busy: each observation then takes long. */
const BUSY_OBSERVATIONS = 3;
/**
 * How many polls come before a wait of several steps is over: the name, the connection
 * and two answers within the handshake may each need one; doubled to be safe.
 */
const POLLS_FOR_STEPS = 8;
const MIN_PERIOD_MS = 4;
const MAX_PERIOD_MS = 500;
// Timers are late by about a millisecond.
const SLACK_MS = 1;
const SLACK = 0.25;
// Fewer settled operations show that no more were ready: Deno settles at most 128 per
// poll, less those that take more than one step.
const FEW = 32;

let settled = 0;

/** Notes that a read or a write has settled. */
export function noteSettled(): void {
  settled++;
}

/**
 * Settles when the next read or write may begin; `undefined` if that is now. While the
 * clock finds out who is silent, connections that were just served are held back.
 */
export function untilOthersAreServed(): Promise<void> | undefined {
  return sharedClock.held?.promise;
}

/**
 * The clock. A long time between two observations counts little: the process may have
 * been stopped, and still have to send answers to its peers. If long times follow each
 * other, the thread is overloaded, and a silent peer would stay very long. So each one
 * then counts for a part of the limit, but only for waits that were already pending at
 * the previous observation: for them it is never too early.
 */
class Clock {
  /** The time that has counted so far. */
  now = 0;
  /** The time up to which a wait counts that is still pending. */
  to = 0;
  /** The part of `now`, and of `to`, that comes from overloads. */
  overload = 0;
  overloadTo = 0;
  /** The most that the next observation may add for an overload. */
  pending = 0;
  /** Holds back reads and writes while they would never end. */
  held: PromiseWithResolvers<void> | undefined;
  readonly #countdowns = new Set<Countdown>();
  // No countdown is over before this time.
  #nextDue = Infinity;
  #period = MAX_PERIOD_MS;
  #mostOverload = Infinity;
  #timer: OwnTimer | undefined;
  #isObserving = false;
  #observedAt = 0;
  // Time since the last observation that does not count.
  #uncounted = 0;
  #settledBefore = 0;
  #wasCalm = false;

  /** Adds a countdown, which has been resumed. */
  add(countdown: Countdown): void {
    this.#countdowns.add(countdown);
    const isStopped = this.#timer === undefined && !this.#isObserving;
    if (isStopped) {
      // Nothing is known from before: the simulation repeats runs exactly.
      this.#observedAt = ownTimers.now();
      this.#uncounted = this.pending = 0;
      this.#settledBefore = settled;
      this.#wasCalm = false;
      this.#nextDue = this.#mostOverload = Infinity;
      this.#period = countdown.period;
      this.#setTimer();
    } else if (countdown.period < this.#period) {
      // The elapsed part of the longer period must not count for the new one.
      this.#advance();
      this.#period = countdown.period;
      if (!this.#isObserving) this.#setTimer();
    }
    this.#mostOverload = Math.min(this.#mostOverload, countdown.mostOverload);
    this.#nextDue = Math.min(this.#nextDue, this.now + countdown.left);
  }

  /** Removes a countdown. */
  remove(countdown: Countdown): void {
    this.#countdowns.delete(countdown);
    if (this.#countdowns.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #setTimer(): void {
    this.#timer?.cancel();
    this.#timer = backgroundTimer(() => {
      this.#timer = undefined;
      this.#observe();
    }, this.#period);
  }

  /** Advances by the time since the last observation; returns whether that was long. */
  #advance(): boolean {
    const now = ownTimers.now();
    const passed = now - this.#observedAt;
    const most = longest(this.#period);
    this.#observedAt = now;
    this.now += Math.min(passed, most);
    this.#uncounted += Math.max(0, passed - most);
    return passed > most;
  }

  /** Advances for an overload, if this long time follows another. */
  #advanceInOverload(): void {
    const added = Math.min(this.pending, this.#uncounted);
    this.now += added;
    this.overload += added;
    this.pending = Math.min(this.#uncounted, this.#mostOverload);
    this.#uncounted = 0;
  }

  async #observe(): Promise<void> {
    this.#isObserving = true;
    const isLate = this.#advance();
    this.#advanceInOverload();
    const observed = this.now;
    const observedOverload = this.overload;
    // This thread had nothing to do: the awaited bytes had not arrived.
    if (!isLate && this.#wasCalm) {
      this.to = observed;
      this.overloadTo = observedOverload;
    }
    // Polling costs something, if only because the process could sleep.
    const isSilent = !isLate && settled === this.#settledBefore;
    const isDue = observed >= this.#nextDue;
    if (!isSilent || isDue) {
      const quietPolls = isDue && this.#hasSteps
        ? POLLS_FOR_STEPS
        : isLate || isDue
        ? 2
        : 1;
      this.#wasCalm = await this.#poll(quietPolls);
    } else {
      this.#wasCalm = true;
    }
    this.#settledBefore = settled;
    this.to = observed;
    this.overloadTo = observedOverload;
    if (observed >= this.#nextDue) this.#endOverdue();
    // Not earlier: a countdown that another's end begins must not set the period alone.
    this.#isObserving = false;
    if (this.#countdowns.size > 0) this.#setTimer();
  }

  /**
   * Settles when every read and write that was ready has settled.
   *
   * If peers send more than this thread can take, there is no end of ready reads, and
   * Deno serves first those that began last: some get no turn. So no others begin until
   * few settle in a poll; from the start if the thread is late or a limit is over,
   * because a poll takes many turns, and in each all peers could take their time.
   *
   * @param quietPolls How many polls in a row must settle few.
   * @returns Whether this thread had nothing to do.
   */
  async #poll(quietPolls: number): Promise<boolean> {
    let isCalm = true;
    if (quietPolls > 1) this.held ??= Promise.withResolvers();
    for (let quiet = 0; quiet < quietPolls && this.#countdowns.size > 0;) {
      const before = settled;
      await untilPoll(() => this.#advance());
      const count = settled - before;
      if (count > 0) isCalm = false;
      if (count < FEW || this !== sharedClock) {
        quiet++; // only the shared clock can hold the others back
      } else {
        quiet = 0;
        this.held ??= Promise.withResolvers();
      }
    }
    this.held?.resolve();
    this.held = undefined;
    return isCalm;
  }

  /** Whether a wait of several steps may be over. */
  get #hasSteps(): boolean {
    for (const countdown of this.#countdowns) {
      if (countdown.hasSteps && countdown.isRunning) return true;
    }
    return false;
  }

  #endOverdue(): void {
    const overdue: Countdown[] = [];
    this.#nextDue = Infinity;
    this.#period = MAX_PERIOD_MS;
    this.#mostOverload = Infinity;
    for (const countdown of this.#countdowns) {
      if (countdown.isRunning && countdown.left > 0) {
        this.#nextDue = Math.min(this.#nextDue, this.to + countdown.left);
        this.#period = Math.min(this.#period, countdown.period);
        this.#mostOverload = Math.min(
          this.#mostOverload,
          countdown.mostOverload,
        );
      } else {
        this.#countdowns.delete(countdown);
        countdown.isKnown = false;
        if (countdown.isRunning) overdue.push(countdown);
      }
    }
    for (const countdown of overdue) countdown.expire();
  }
}

const sharedClock = new Clock();

/** How much of the time between two observations may count. */
function longest(period: number): number {
  return period * (1 + SLACK) + SLACK_MS;
}

/** Options for {@linkcode Countdown}. */
export interface CountdownOptions {
  /**
   * Whether a wait takes several steps of both sides, like a handshake: the steps are not
   * visible here, and in an overload each takes long. Then its time does not count, and
   * each step gets a poll of the sockets before the wait is over.
   */
  readonly hasSteps?: boolean | undefined;
}

/** A time limit that runs only while it is resumed. */
export class Countdown {
  /** For the clock: how often it must be observed for this limit. */
  readonly period: number;
  /** For the clock: the most that an observation may count in an overload. */
  readonly mostOverload: number;
  /** For the clock: see {@linkcode CountdownOptions}. */
  readonly hasSteps: boolean;
  /**
   * For the clock: whether it has this countdown, which may stay for a while when paused.
   */
  isKnown = false;
  readonly #clock = ownTimers.areShared ? sharedClock : new Clock();
  readonly #limit: number;
  readonly #onExpire: () => void;
  // How long it ran until it was paused, and when it was resumed.
  #waited = 0;
  #from = 0;
  #overloadFrom = 0;
  // How many wait for the peer now.
  #waits = 0;
  #isOver = false;

  /** Makes a countdown of `limit` milliseconds, which does not run yet. */
  constructor(
    limit: number,
    onExpire: () => void,
    { hasSteps = false }: CountdownOptions = {},
  ) {
    this.hasSteps = hasSteps;
    this.mostOverload = limit / BUSY_OBSERVATIONS;
    this.period = Math.min(
      MAX_PERIOD_MS,
      Math.max(MIN_PERIOD_MS, limit / OBSERVATIONS),
    );
    // The first observation counts in full even for a wait that has just begun.
    this.#limit = limit + longest(this.period);
    this.#onExpire = onExpire;
  }

  /** Continues with the remaining time, until `pause` was called as often. */
  resume(): void {
    if (this.#isOver) return;
    this.#waits++;
    if (this.#waits > 1) return;
    this.#begin();
    if (this.isKnown) return;
    this.isKnown = true;
    this.#clock.add(this);
    this.#begin(); // the clock may have advanced to become more exact
  }

  #begin(): void {
    // Overload time of the next observation counts only for earlier waits.
    this.#from = this.#clock.now + this.#clock.pending;
    this.#overloadFrom = this.#clock.overload + this.#clock.pending;
  }

  /** How long it has run since it was resumed, as far as known. */
  get #running(): number {
    const ran = this.#clock.to - this.#from;
    const inOverload = this.#clock.overloadTo - this.#overloadFrom;
    return Math.max(
      0,
      this.hasSteps && inOverload > 0 ? ran - inOverload : ran,
    );
  }

  /** Pauses the countdown; the remaining time is kept. */
  pause(): void {
    if (this.#waits === 0) return;
    this.#waits--;
    if (this.#waits > 0) return;
    this.#waited += this.#running;
  }

  /** Restarts with the whole time, running or not as before. */
  reset(): void {
    this.#waited = 0;
    this.#begin();
  }

  /** Ends the countdown for good. */
  stop(): void {
    this.#isOver = true;
    this.#waits = 0;
    if (this.isKnown) this.#clock.remove(this);
    this.isKnown = false;
  }

  /** Whether something waits for the peer. */
  get isRunning(): boolean {
    return this.#waits > 0;
  }

  /** How much longer it may run, while it is running. */
  get left(): number {
    return this.#limit - this.#waited - this.#running;
  }

  /** For the clock: ends it because its time is up. */
  expire(): void {
    if (this.#isOver) return; // ended by another that expired with it
    this.stop();
    this.#onExpire();
  }
}

/**
 * Calls `onTimeout` after some milliseconds of waiting for a peer to connect or to finish
 * its handshake.
 *
 * @returns A function that stops it.
 */
export function startTimer(
  milliseconds: number,
  onTimeout: () => void,
): () => void {
  const countdown = new Countdown(milliseconds, onTimeout, {
    hasSteps: true,
  });
  countdown.resume();
  return () => countdown.stop();
}
