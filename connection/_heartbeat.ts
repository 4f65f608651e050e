import {
  backgroundTimer,
  type OwnTimer,
  ownTimers,
} from "../internal/event_loop.ts";

/** The connection as a {@linkcode Heartbeat} sees it. */
export interface Beating {
  /** How many messages were sent. */
  readonly messagesSent: number;
  /**
   * How many bytes have not left: while there are any, this side is not silent.
   */
  readonly bufferedAmount: number;
}

/** How many times per interval a heartbeat checks whether it is due. */
const CHECKS_PER_INTERVAL = 16;
const MAX_PERIOD_MS = 1000;

// One timer for all, so that sending a message costs nothing.
const heartbeats = new Set<Heartbeat>();
let timer: OwnTimer | undefined;
let period = Infinity;

function setTimer(): void {
  timer?.cancel();
  timer = undefined;
  period = Infinity;
  for (const heartbeat of heartbeats) {
    period = Math.min(period, heartbeat.period);
  }
  if (heartbeats.size > 0) timer = backgroundTimer(checkAll, period);
}

function checkAll(): void {
  const now = ownTimers.now();
  for (const heartbeat of heartbeats) heartbeat.check(now);
  setTimer();
}

/** Calls `beat` whenever nothing was sent for `interval` milliseconds. */
export class Heartbeat {
  /** How often to check whether this is due. */
  readonly period: number;
  readonly #due: number;
  readonly #beating: Beating;
  readonly #beat: () => void;
  #messagesSent: number;
  #since = ownTimers.now();

  constructor(interval: number, beating: Beating, beat: () => void) {
    this.period = Math.min(interval / CHECKS_PER_INTERVAL, MAX_PERIOD_MS);
    // A send is noticed up to one check later.
    this.#due = interval - this.period;
    this.#beating = beating;
    this.#messagesSent = beating.messagesSent;
    this.#beat = beat;
    heartbeats.add(this);
    if (this.period < period) setTimer();
  }

  /** Stops for good. */
  stop(): void {
    heartbeats.delete(this);
    if (heartbeats.size === 0) setTimer();
  }

  /** Beats if it is due. */
  check(now: number): void {
    const { messagesSent, bufferedAmount } = this.#beating;
    if (messagesSent !== this.#messagesSent || bufferedAmount > 0) {
      this.#messagesSent = messagesSent;
      this.#since = now;
    } else if (now - this.#since >= this.#due) {
      this.#beat();
      this.#messagesSent = this.#beating.messagesSent;
      this.#since = now;
    }
  }
}
