import { Countdown } from "../internal/countdown.ts";

/** What a {@linkcode HalfClosedLimit} goes by. */
export interface HalfClosed {
  /** A number that grows whenever something is received or sent. */
  readonly moved: () => number;
  /** Whether something waits to be sent: then the peer is slow, and this side not silent. */
  readonly isSending: () => boolean;
  /** Told that nothing was for too long. */
  readonly onTimeout: (error: DOMException) => void;
}

/**
 * The limit for a connection whose peer has ended its side. A peer that has hung up
 * looks like one that waits for its answer, so only silence of this side tells them apart.
 */
export class HalfClosedLimit {
  readonly #timeout: number;
  readonly #halfClosed: HalfClosed;
  #countdown: Countdown | undefined;

  constructor(timeout: number, halfClosed: HalfClosed) {
    this.#timeout = timeout;
    this.#halfClosed = halfClosed;
  }

  /** Begins with the peer's end; does nothing if it has begun. */
  start(): void {
    if (this.#countdown === undefined) this.#begin();
  }

  /** Ends for good. */
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
