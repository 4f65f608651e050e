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
import { backgroundTimer, type OwnTimer, untilLook } from "./event_loop.ts";

/** How often the clock is observed within the shortest limit: a countdown is so exact. */
const OBSERVATIONS = 32;
/** The same for a thread that is always busy, where each observation takes long. */
const BUSY_OBSERVATIONS = 3;
/**
 * How many looks come before a wait of several steps is over: the name, the connection and
 * two answers within the handshake may each need one, and twice as many are to be safe.
 */
const LOOKS_FOR_STEPS = 8;
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

/**
 * The clock. A long time between two observations counts little: the process may have
 * been stopped, and what it owes its peers is still to be sent. If such times follow each
 * other the thread is overloaded, and a silent peer would stay for very long. So each then
 * counts for a part of the limit, though only for the waits that go on from the observation
 * before: it is never early for them.
 */
class Clock {
  /** How far it has come. */
  now = 0;
  /** Up to where a wait counts that is not over now. */
  to = 0;
  /** What of `now`, and of `to`, is for the time of an overload. */
  overload = 0;
  overloadTo = 0;
  /** The most that the next observation may add for an overload. */
  pending = 0;
  readonly #countdowns = new Set<Countdown>();
  // No countdown is over before that.
  #nextDue = Infinity;
  #period = MAX_PERIOD_MS;
  #mostOverload = Infinity;
  #timer: OwnTimer | undefined;
  #isLooking = false;
  #observedAt = 0;
  // What has passed since the last observation and does not count.
  #uncounted = 0;
  #settledBefore = 0;
  #wasCalm = false;

  /** Begins to look after a countdown, which is resumed. */
  add(countdown: Countdown): void {
    this.#countdowns.add(countdown);
    const isStopped = this.#timer === undefined && !this.#isLooking;
    if (isStopped) {
      this.#observedAt = performance.now();
      this.#uncounted = this.pending = 0;
      this.#period = countdown.period;
      this.#mostOverload = countdown.mostOverload;
      this.#setTimer();
    } else if (countdown.period < this.#period) {
      // What has passed of the longer period is not to count for the new one.
      this.#advance();
      this.#period = countdown.period;
      this.#mostOverload = countdown.mostOverload;
      if (!this.#isLooking) this.#setTimer();
    }
    this.#nextDue = Math.min(this.#nextDue, this.now + countdown.left);
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
    this.now += Math.min(passed, most);
    this.#uncounted += Math.max(0, passed - most);
    return passed > most;
  }

  /** Goes on for an overload, if this long time follows another. */
  #advanceInOverload(): void {
    const added = Math.min(this.pending, this.#uncounted);
    this.now += added;
    this.overload += added;
    this.pending = Math.min(this.#uncounted, this.#mostOverload);
    this.#uncounted = 0;
  }

  async #observe(): Promise<void> {
    const isLate = this.#advance();
    this.#advanceInOverload();
    const observed = this.now;
    const observedOverload = this.overload;
    // This thread had nothing to do: what is waited for was not there.
    if (!isLate && this.#wasCalm) {
      this.to = observed;
      this.overloadTo = observedOverload;
    }
    // Looking costs something, if only where a process would sleep.
    const isSilent = !isLate && settled === this.#settledBefore;
    const isDue = observed >= this.#nextDue;
    if (!isSilent || isDue) {
      this.#isLooking = true;
      const quietLooks = isDue && this.#hasSteps
        ? LOOKS_FOR_STEPS
        : isLate || isDue
        ? 2
        : 1;
      this.#wasCalm = await this.#look(quietLooks);
      this.#isLooking = false;
    } else {
      this.#wasCalm = true;
    }
    this.#settledBefore = settled;
    this.to = observed;
    this.overloadTo = observedOverload;
    if (observed >= this.#nextDue) this.#endOverdue();
    if (this.#countdowns.size > 0) this.#setTimer();
  }

  /**
   * Settles when each read and write has settled that was ready.
   *
   * Where peers send more than this thread can take, there is no end of reads that are
   * ready, and Deno comes first to those that began last: some get no turn. So no others
   * begin until few settle at a look; from the start if the thread is late or a limit is
   * over, as a look is many turns, in each of which all peers could take their time.
   *
   * @param quietLooks In how many looks in a row there must be few.
   * @returns Whether this thread had nothing to do.
   */
  async #look(quietLooks: number): Promise<boolean> {
    let isCalm = true;
    if (quietLooks > 1) held ??= Promise.withResolvers();
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

  /** Whether a wait may be over that takes several steps. */
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

const clock = new Clock();

/** How long the time between two observations may count. */
function longest(period: number): number {
  return period * (1 + SLACK) + SLACK_MS;
}

/** Options for {@linkcode Countdown}. */
export interface CountdownOptions {
  /**
   * Whether a wait can take several steps of both sides, as a handshake: none of them is
   * seen here, and in an overload each takes long. Its time does not count then, and each
   * step gets a look at the sockets before it is over.
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
  /** For the clock: whether it looks after this, which it may do for a while when it is paused. */
  isKnown = false;
  readonly #limit: number;
  readonly #onExpire: () => void;
  // How long it ran until it was paused, and from where on it runs.
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
    // The first observation counts in full for a wait that has begun just before it.
    this.#limit = limit + longest(this.period);
    this.#onExpire = onExpire;
  }

  /** Goes on with the time that remains, until as many calls of `pause`. */
  resume(): void {
    if (this.#isOver) return;
    this.#waits++;
    if (this.#waits > 1) return;
    this.#begin();
    if (this.isKnown) return;
    this.isKnown = true;
    clock.add(this);
    this.#begin(); // as it has gone on if the clock was to be more exact
  }

  #begin(): void {
    // What the next observation adds for an overload is for those that wait already.
    this.#from = clock.now + clock.pending;
    this.#overloadFrom = clock.overload + clock.pending;
  }

  /** How long it has run since it was resumed, as far as is known. */
  get #running(): number {
    const ran = clock.to - this.#from;
    const inOverload = clock.overloadTo - this.#overloadFrom;
    return Math.max(
      0,
      this.hasSteps && inOverload > 0 ? ran - inOverload : ran,
    );
  }

  /** Stops the clock; what remains is kept. */
  pause(): void {
    if (this.#waits === 0) return;
    this.#waits--;
    if (this.#waits > 0) return;
    this.#waited += this.#running;
  }

  /** Begins anew with the whole time, running or not as before. */
  reset(): void {
    this.#waited = 0;
    this.#begin();
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
    return this.#limit - this.#waited - this.#running;
  }

  /** For the clock: ends it, as its time is up. */
  expire(): void {
    if (this.#isOver) return; // by another that expired with it
    this.stop();
    this.#onExpire();
  }
}

/**
 * Calls `onTimeout` after some milliseconds of waiting for a peer to connect or to shake
 * hands.
 *
 * @returns Stops it.
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
