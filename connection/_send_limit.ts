import { Countdown } from "../internal/countdown.ts";
import { Queue } from "../internal/queue.ts";

/** Options for {@linkcode SendLimit}. */
export interface SendLimitOptions {
  /** Milliseconds. */
  readonly sendTimeout: number;
  /** How many bytes were read from the peer. */
  readonly bytesReceived: () => number;
  /** Called if the peer has not taken a message, or the end, in time. */
  readonly onTimeout: (error: DOMException) => void;
}

// How many times `sendTimeout` a message may take if bytes of the peer come each time:
// the peer is alive, and the system is late to report what it takes.
const MAX_TIMEOUTS = 4;

/** The limit for a message that is being sent, and for the end of this side. */
export class SendLimit {
  // Not the options object: every idle connection would hold one.
  readonly #sendTimeout: number;
  readonly #bytesReceived: () => number;
  readonly #onTimeout: (error: DOMException) => void;
  #countdown: Countdown;
  // For the message being sent: how often its time was over, and how much had been
  // received when it last restarted.
  #timeouts = 0;
  #receivedBefore = 0;
  // Where each queued message ends, counted in all bytes sent.
  readonly #messageEnds = new Queue<number>();
  #isForEnd = false;

  constructor(options: SendLimitOptions) {
    this.#sendTimeout = options.sendTimeout;
    this.#bytesReceived = options.bytesReceived;
    this.#onTimeout = options.onTimeout;
    this.#countdown = this.#newCountdown();
  }

  /** Runs while the transport takes bytes, or the end. */
  resume(): void {
    this.#countdown.resume();
  }

  /** Pauses while no write is pending. */
  pause(): void {
    this.#countdown.pause();
  }

  /** Stops for good. */
  stop(): void {
    this.#countdown.stop();
  }

  /** Notes that a message was queued. It ends at `end`, counted in all bytes sent. */
  noteQueued(end: number): void {
    this.#messageEnds.push(end);
  }

  /** Notes that all messages were taken, and the end of this side comes next. */
  noteEnd(): void {
    this.#isForEnd = true;
  }

  /** Restarts the time for the next message if one was taken. */
  noteSent(bytesSent: number): void {
    const ends = this.#messageEnds;
    if ((ends.first ?? Infinity) > bytesSent) return;
    while ((ends.first ?? Infinity) <= bytesSent) ends.shift();
    this.#countdown.reset();
    this.#timeouts = 0;
    this.#receivedBefore = this.#bytesReceived();
  }

  #newCountdown(): Countdown {
    return new Countdown(this.#sendTimeout, () => this.#noteTimeout());
  }

  /** Ends the wait for a peer that does not take a message, unless it sends. */
  #noteTimeout(): void {
    const received = this.#bytesReceived();
    this.#timeouts++;
    if (received > this.#receivedBefore && this.#timeouts < MAX_TIMEOUTS) {
      this.#receivedBefore = received;
      this.#countdown = this.#newCountdown();
      this.#countdown.resume(); // because the write continues
      return;
    }
    this.#onTimeout(
      new DOMException(
        `Cannot send ${
          this.#isForEnd
            ? "the end of this side: the transport did not take it"
            : "message: the system reported no room for all of it"
        } within sendTimeout of ${this.#sendTimeout} ms`,
        "TimeoutError",
      ),
    );
  }
}
