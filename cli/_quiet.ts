import type { Connection } from "../connection.ts";
import { untilPoll } from "../internal/event_loop.ts";

/**
 * Ends receiving when nothing has arrived for some time. Time in which no call waits for
 * a message does not count: an output that is read slowly says nothing about the peer.
 */
export class Quiet implements Disposable {
  readonly #wait: number | undefined;
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasBegun = false;
  // While a call waits for a message.
  #receiving: Connection<unknown, never> | undefined;

  constructor(wait: number | undefined) {
    this.#wait = wait;
  }

  /** Whether nothing has arrived for that time. */
  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Starts to count. */
  begin(): void {
    this.#hasBegun = true;
    this.#update();
  }

  /** The next message; `undefined` at the end, or when it is over. */
  async receive<In, Out>(
    connection: Connection<In, Out>,
  ): Promise<In | undefined> {
    const { signal } = this.#controller;
    this.#receiving = connection;
    this.#update();
    try {
      return await connection.receive({ signal });
    } catch (error) {
      if (signal.aborted && error === signal.reason) return undefined;
      throw error;
    } finally {
      this.#receiving = undefined;
      this.#update();
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Restarts the timer if a call waits for a message. */
  #update(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const connection = this.#receiving;
    if (this.#wait === undefined) return;
    if (!this.#hasBegun || connection === undefined) return;
    const { bytesReceived } = connection.stats();
    const timer = setTimeout(async () => {
      // After the process was stopped, a message may be in the socket.
      await untilPoll();
      if (this.#timer !== timer) return;
      // A long message may be arriving.
      if (connection.stats().bytesReceived > bytesReceived) this.#update();
      else this.#controller.abort();
    }, this.#wait);
    this.#timer = timer;
  }
}
