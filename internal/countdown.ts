/**
 * Time limits that measure the peer, and not this thread.
 *
 * A timer that has fired does not show that a peer is silent: its bytes may lie in the
 * socket, as this thread was busy, the process was stopped, or a thousand others came
 * first. So all limits of a process go by one clock. It is observed regularly; time
 * between two observations counts only up to what was asked for; and it counts only
 * for the waits that have outlasted a look at all sockets after the observation. A wait
 * for what had arrived by then is over.
 *
 * One timer serves all countdowns, and running one is a matter of a few fields.
 *
 * @module
 */
import {
  type BackgroundTimer,
  backgroundTimer,
  untilLook,
} from "./event_loop.ts";

/** How often the clock is observed within the shortest limit: a countdown is so exact. */
const OBSERVATIONS = 32;
const MIN_PERIOD_MS = 4;
const MAX_PERIOD_MS = 500;
// Timers are late by about a millisecond.
const SLACK_MS = 1;
const SLACK = 0.25;
// Fewer show that no more was ready: Deno settles at most 128 at a look, or as many less
// as there are that take more than one step.
const FEW = 32;

let settled = 0;
let held: PromiseWithResolvers<void> | undefined;

/** Notes that a read or a write has settled. */
export function noteSettled(): void {
  settled++;
}

/**
 * Settles when the next read or write may begin; `undefined` if that is now. While it is
 * found out who is silent, those that were served just now are held back.
 */
export function untilOthersAreServed(): Promise<void> | undefined {
  return held?.promise;
}

class Clock {
  /** From where a wait counts that begins now. */
  from = 0;
  /** Up to where a wait counts that is not over now. */
  to = 0;
  readonly #countdowns = new Set<Countdown>();
  // No countdown is over before that.
  #nextDue = Infinity;
  #period = MAX_PERIOD_MS;
  #timer: BackgroundTimer | undefined;
  #isLooking = false;
  #observedAt = 0;
  #settledBefore = 0;
  #wasCalm = false;

  /** Begins to look after a countdown, which is resumed. */
  add(countdown: Countdown): void {
    this.#countdowns.add(countdown);
    const isStopped = this.#timer === undefined && !this.#isLooking;
    if (isStopped) {
      this.#observedAt = performance.now();
      this.#period = countdown.period;
      this.#setTimer();
    } else if (countdown.period < this.#period) {
      // What has passed of the longer period is not to count for the new one.
      this.#advance();
      this.#period = countdown.period;
      if (!this.#isLooking) this.#setTimer();
    }
    this.#nextDue = Math.min(this.#nextDue, this.from + countdown.left);
  }

  /** Looks no more after a countdown. */
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

  /** Goes on by the time since the last observation; tells whether that was long. */
  #advance(): boolean {
    const now = performance.now();
    const passed = now - this.#observedAt;
    const most = longest(this.#period);
    this.#observedAt = now;
    this.from += Math.min(passed, most);
    return passed > most;
  }

  async #observe(): Promise<void> {
    const isLate = this.#advance();
    const observed = this.from;
    // This thread had nothing to do: what is waited for was not there.
    if (!isLate && this.#wasCalm) this.to = observed;
    // Looking costs something, if only where a process would sleep.
    const isSilent = !isLate && settled === this.#settledBefore;
    const isDue = observed >= this.#nextDue;
    if (!isSilent || isDue) {
      this.#isLooking = true;
      this.#wasCalm = await this.#look(isLate || isDue ? 2 : 1);
      this.#isLooking = false;
    } else {
      this.#wasCalm = true;
    }
    this.#settledBefore = settled;
    this.to = observed;
    if (observed >= this.#nextDue) this.#endOverdue();
    if (this.#countdowns.size > 0) this.#setTimer();
  }

  /**
   * Settles when each read and write has settled that was ready.
   *
   * Where peers send more than this thread can take, there is no end of reads that are
   * ready, and Deno comes first to those that began last: some get no turn. So no others
   * begin until few settle at a look.
   *
   * @param quietLooks In how many looks in a row there must be few.
   * @returns Whether this thread had nothing to do.
   */
  async #look(quietLooks: number): Promise<boolean> {
    let isCalm = true;
    for (let quiet = 0; quiet < quietLooks && this.#countdowns.size > 0;) {
      const before = settled;
      await untilLook(() => this.#advance());
      const count = settled - before;
      if (count > 0) isCalm = false;
      if (count < FEW) {
        quiet++;
      } else {
        quiet = 0;
        held ??= Promise.withResolvers();
      }
    }
    held?.resolve();
    held = undefined;
    return isCalm;
  }

  #endOverdue(): void {
    const overdue: Countdown[] = [];
    this.#nextDue = Infinity;
    this.#period = MAX_PERIOD_MS;
    for (const countdown of this.#countdowns) {
      if (countdown.isRunning && countdown.left > 0) {
        this.#nextDue = Math.min(this.#nextDue, this.to + countdown.left);
        this.#period = Math.min(this.#period, countdown.period);
      } else {
        this.#countdowns.delete(countdown);
        countdown.isKnown = false;
        if (countdown.isRunning) overdue.push(countdown);
      }
    }
    for (const countdown of overdue) countdown.expire();
  }
}

const clock = new Clock();

/** How long the time between two observations may count. */
function longest(period: number): number {
  return period * (1 + SLACK) + SLACK_MS;
}

/** A time limit that runs only while it is resumed. */
export class Countdown {
  /** For the clock: how often it must be observed for this limit. */
  readonly period: number;
  /** For the clock: whether it looks after this, which it may do for a while when it is paused. */
  isKnown = false;
  readonly #limit: number;
  readonly #onExpire: () => void;
  // How long it ran until it was paused, and from where on it runs.
  #waited = 0;
  #from = 0;
  // How many wait for the peer now.
  #waits = 0;
  #isOver = false;

  /** Makes a countdown of `limit` milliseconds, which does not run yet. */
  constructor(limit: number, onExpire: () => void) {
    this.period = Math.min(
      MAX_PERIOD_MS,
      Math.max(MIN_PERIOD_MS, limit / OBSERVATIONS),
    );
    // The first observation counts in full for a wait that has begun just before it.
    this.#limit = limit + longest(this.period);
    this.#onExpire = onExpire;
  }

  /** Goes on with the time that remains, until as many calls of `pause`. */
  resume(): void {
    if (this.#isOver) return;
    this.#waits++;
    if (this.#waits > 1) return;
    this.#from = clock.from;
    if (this.isKnown) return;
    this.isKnown = true;
    clock.add(this);
    this.#from = clock.from; // which has gone on if the clock was to be more exact
  }

  /** Stops the clock; what remains is kept. */
  pause(): void {
    if (this.#waits === 0) return;
    this.#waits--;
    if (this.#waits > 0) return;
    const waited = clock.to - this.#from;
    if (waited > 0) this.#waited += waited;
  }

  /** Begins anew with the whole time, running or not as before. */
  reset(): void {
    this.#waited = 0;
    this.#from = clock.from;
  }

  /** Ends the countdown for good. */
  stop(): void {
    this.#isOver = true;
    this.#waits = 0;
    if (this.isKnown) clock.remove(this);
    this.isKnown = false;
  }

  /** Whether something waits for the peer. */
  get isRunning(): boolean {
    return this.#waits > 0;
  }

  /** For how much longer it may run, while it is running. */
  get left(): number {
    return this.#limit - this.#waited - Math.max(0, clock.to - this.#from);
  }

  /** For the clock: ends it, as its time is up. */
  expire(): void {
    if (this.#isOver) return; // by another that expired with it
    this.stop();
    this.#onExpire();
  }
}

/**
 * Calls `onTimeout` after some milliseconds of waiting for a peer.
 *
 * @returns Stops it.
 */
export function startTimer(
  milliseconds: number,
  onTimeout: () => void,
): () => void {
  const countdown = new Countdown(milliseconds, onTimeout);
  countdown.resume();
  return () => countdown.stop();
}
