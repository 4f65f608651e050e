import { Countdown } from "../internal/countdown.ts";
import { keepAlive } from "../internal/event_loop.ts";

/** The connection as {@linkcode LeftAlone} sees it. */
export interface Leavable {
  /** Whether the peer has ended, and no caller was told or waits to be told. */
  readonly isEndUntold: () => boolean;
  /** How many messages were received. */
  readonly received: () => number;
  /** How many messages were sent. */
  readonly sent: () => number;
  /** Whether something waits to be sent. */
  readonly isSending: () => boolean;
  /** Closes the connection. */
  readonly close: () => void;
}

// How long after the peer's end a handler that only waits may do nothing.
const LEFT_ALONE_MS = 1000;

/**
 * Closes a connection of `reconnect()` some time after the peer's end, if its handler can
 * only be waiting for `closed`: that was the last thing it asked for, nothing else tells
 * it of the end, and it has sent nothing since. Nothing is lost: everything the peer sent
 * was read, and can still be received.
 */
export class LeftAlone {
  readonly #connection: Leavable;
  // How many messages had been received when `closed` was last asked for.
  #receivedBefore = 0;
  #stopWaiting: (() => void) | undefined;

  constructor(connection: Leavable) {
    this.#connection = connection;
  }

  /** Notes that `closed` was asked for. */
  noteAsked(): void {
    this.#receivedBefore = this.#connection.received();
    this.start();
  }

  /** Begins to wait if the peer has ended; does nothing if already waiting. */
  start(): void {
    const { isEndUntold, received, sent, isSending, close } = this.#connection;
    if (this.#stopWaiting !== undefined || !isEndUntold()) return;
    const sentBefore = sent();
    const countdown = new Countdown(LEFT_ALONE_MS, () => {
      this.stop();
      const isAlone = isEndUntold() && !isSending() &&
        received() === this.#receivedBefore && sent() === sentBefore;
      if (isAlone) close();
    });
    countdown.resume();
    const letDie = keepAlive(); // otherwise the process could end first
    this.#stopWaiting = () => {
      countdown.stop();
      letDie();
    };
  }

  /** Stops waiting. */
  stop(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
  }
}
