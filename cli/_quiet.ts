import type { Connection } from "../connection.ts";

/** Ends receiving when nothing has arrived for some time. */
export class Quiet implements Disposable {
  readonly #wait: number | undefined;
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasBegun = false;

  constructor(wait: number | undefined) {
    this.#wait = wait;
  }

  /** Whether nothing has arrived for that time. */
  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Starts the timer. */
  begin(): void {
    this.#hasBegun = true;
    this.#restart();
  }

  /** The next message; `undefined` at the end, or when it is over. */
  async receive<In, Out>(
    connection: Connection<In, Out>,
  ): Promise<In | undefined> {
    const { signal } = this.#controller;
    try {
      const message = await connection.receive({ signal });
      if (this.#hasBegun) this.#restart();
      if (message === undefined) clearTimeout(this.#timer);
      return message;
    } catch (error) {
      clearTimeout(this.#timer);
      if (signal.aborted && error === signal.reason) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #restart(): void {
    clearTimeout(this.#timer);
    if (this.#wait === undefined) return;
    this.#timer = setTimeout(() => this.#controller.abort(), this.#wait);
  }
}
