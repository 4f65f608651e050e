/**
 * A time limit that runs only while it is resumed.
 *
 * Setting and clearing a timer costs more than reading a message (1.1 µs), so
 * one timer is left running, and looks at the clock when it fires.
 */
export class Countdown {
  readonly #limit: number;
  readonly #onExpire: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #remaining: number;
  #resumedAt: number | undefined;
  #isOver = false;
  // How many wait for the peer now.
  #waits = 0;

  /** Makes a countdown of `limit` milliseconds, which does not run yet. */
  constructor(limit: number, onExpire: () => void) {
    this.#limit = limit;
    this.#remaining = limit;
    this.#onExpire = onExpire;
  }

  /** Goes on with the time that remains, until as many calls of `pause`. */
  resume(): void {
    this.#waits++;
    if (this.#waits > 1) return;
    this.#resumedAt = performance.now();
    if (this.#timer === undefined) this.#setTimer(this.#remaining);
  }

  /** Stops the clock; what remains is kept. */
  pause(): void {
    this.#waits = Math.max(0, this.#waits - 1);
    if (this.#waits > 0 || this.#resumedAt === undefined) return;
    this.#remaining -= performance.now() - this.#resumedAt;
    this.#resumedAt = undefined;
  }

  /** Begins anew with the whole time, running or not as before. */
  reset(): void {
    this.#remaining = this.#limit;
    this.#isOver = false;
    if (this.#resumedAt !== undefined) this.#resumedAt = performance.now();
  }

  /** Ends the countdown for good. */
  stop(): void {
    this.#resumedAt = undefined;
    this.#waits = Infinity; // no `resume` is the first any more
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #setTimer(milliseconds: number): void {
    const timer = setTimeout(() => this.#check(), milliseconds);
    // The socket that is waited for keeps the process alive, or was told not to.
    Deno.unrefTimer(timer);
    this.#timer = timer;
  }

  #check(): void {
    this.#timer = undefined;
    if (this.#resumedAt === undefined) return;
    const remaining = this.#remaining - (performance.now() - this.#resumedAt);
    if (remaining > 0) {
      this.#setTimer(Math.ceil(remaining));
    } else if (!this.#isOver) {
      // Where this thread was busy, the peer's bytes may lie in the socket: a
      // timer comes before them.
      this.#isOver = true;
      this.#setTimer(0);
    } else {
      this.stop();
      this.#onExpire();
    }
  }
}
