import { Countdown } from "../internal/countdown.ts";
import { Queue } from "../internal/queue.ts";

/** Options for {@linkcode SendLimit}. */
export interface SendLimitOptions {
  /** Milliseconds. */
  readonly sendTimeout: number;
  /** How many bytes of the peer were read. */
  readonly bytesReceived: () => number;
  /** Told that the peer has not taken a message, or the end, in time. */
  readonly onTimeout: (error: DOMException) => void;
}

// How often a message may take `sendTimeout` if bytes of the peer come each time: it is
// there, and the system tells late of what it takes.
const MAX_TIMEOUTS = 4;

/** The limit for a message that is being sent, and for the end of this side. */
export class SendLimit {
  // One by one: an object of options would be kept by each idle connection.
  readonly #sendTimeout: number;
  readonly #bytesReceived: () => number;
  readonly #onTimeout: (error: DOMException) => void;
  #countdown: Countdown;
  // For the message that is being sent: how often its time was over, and what had been
  // received when it began anew.
  #timeouts = 0;
  #receivedBefore = 0;
  // Where in all bytes each message ends that is queued.
  readonly #messageEnds = new Queue<number>();
  #isForEnd = false;

  constructor(options: SendLimitOptions) {
    this.#sendTimeout = options.sendTimeout;
    this.#bytesReceived = options.bytesReceived;
    this.#onTimeout = options.onTimeout;
    this.#countdown = this.#newCountdown();
  }

  /** Goes on, as the transport is waited for. */
  resume(): void {
    this.#countdown.resume();
  }

  /** Pauses, as the transport is not waited for. */
  pause(): void {
    this.#countdown.pause();
  }

  /** Ends for good. */
  stop(): void {
    this.#countdown.stop();
  }

  /** Notes that a message was queued, which ends there in all bytes. */
  noteQueued(end: number): void {
    this.#messageEnds.push(end);
  }

  /** Notes that all messages were taken, and the end of this side is waited for. */
  noteEnd(): void {
    this.#isForEnd = true;
  }

  /** Gives the next message the whole time if one was taken. */
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

  /** Ends the wait for a peer that does not take a message, unless it is seen to live. */
  #noteTimeout(): void {
    const received = this.#bytesReceived();
    this.#timeouts++;
    if (received > this.#receivedBefore && this.#timeouts < MAX_TIMEOUTS) {
      this.#receivedBefore = received;
      this.#countdown = this.#newCountdown();
      this.#countdown.resume(); // as the write goes on
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
