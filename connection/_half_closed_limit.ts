import { Countdown } from "../internal/countdown.ts";

/** The connection as a {@linkcode HalfClosedLimit} sees it. */
export interface HalfClosed {
  /** A number that grows whenever something is received or sent. */
  readonly moved: () => number;
  /** Whether something waits to be sent: then the peer is slow, not this side silent. */
  readonly isSending: () => boolean;
  /** Called after too long a silence. */
  readonly onTimeout: (error: DOMException) => void;
}

/**
 * The limit for a connection whose peer has closed its side. A peer that has hung up
 * looks like one that waits for its answer; only a long silence of this side separates
 * them.
 */
export class HalfClosedLimit {
  readonly #timeout: number;
  readonly #halfClosed: HalfClosed;
  #countdown: Countdown | undefined;

  constructor(timeout: number, halfClosed: HalfClosed) {
    this.#timeout = timeout;
    this.#halfClosed = halfClosed;
  }

  /** Starts at the peer's end; does nothing if already started. */
  start(): void {
    if (this.#countdown === undefined) this.#begin();
  }

  /** Stops for good. */
  stop(): void {
    this.#countdown?.stop();
  }

  #begin(): void {
    const { moved, isSending, onTimeout } = this.#halfClosed;
    const movedBefore = moved();
    this.#countdown = new Countdown(this.#timeout, () => {
      if (moved() > movedBefore || isSending()) return this.#begin();
      onTimeout(
        new DOMException(
          `Cannot go on: the peer has ended its side, and nothing was received or sent since, within halfClosedTimeout of ${this.#timeout} ms`,
          "TimeoutError",
        ),
      );
    });
    this.#countdown.resume();
  }
}
