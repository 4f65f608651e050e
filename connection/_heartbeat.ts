import { checkNotAsync, isFunction } from "../internal/checks.ts";
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

/** Heartbeats with one timer for all, so that sending a message costs nothing. */
class Heartbeats {
  readonly #heartbeats = new Set<Heartbeat>();
  #timer: OwnTimer | undefined;
  #period = Infinity;

  add(heartbeat: Heartbeat): void {
    this.#heartbeats.add(heartbeat);
    if (heartbeat.period < this.#period) this.#setTimer();
  }

  remove(heartbeat: Heartbeat): void {
    this.#heartbeats.delete(heartbeat);
    if (this.#heartbeats.size === 0) this.#setTimer();
  }

  #setTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#period = Infinity;
    for (const { period } of this.#heartbeats) {
      this.#period = Math.min(this.#period, period);
    }
    if (this.#heartbeats.size === 0) return;
    this.#timer = backgroundTimer(() => this.#checkAll(), this.#period);
  }

  #checkAll(): void {
    const now = ownTimers.now();
    for (const heartbeat of this.#heartbeats) heartbeat.check(now);
    this.#setTimer();
  }
}

const shared = new Heartbeats();

/** Calls `beat` whenever nothing was sent for `interval` milliseconds. */
export class Heartbeat {
  /** How often to check whether this is due. */
  readonly period: number;
  readonly #heartbeats = ownTimers.areShared ? shared : new Heartbeats();
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
    this.#heartbeats.add(this);
  }

  /** Stops for good. */
  stop(): void {
    this.#heartbeats.remove(this);
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

/** The message of the next heartbeat. */
export function beatOf<Out>(message: Out | (() => Out)): Out {
  if (!isFunction(message)) return message;
  const beat = message();
  checkNotAsync("send heartbeat", "heartbeat.message", beat);
  return beat;
}
