/**
 * A thread of the pipe, seen from outside.
 *
 * @module
 */
import type { Order, Report } from "./thread.ts";

/** What a thread was doing when it was looked at. */
export interface Seen<Count> {
  /** The place at which it waits, or `running`. */
  place: string;
  count: Count;
}

/** Gives orders to a thread, and hears what it reports. */
export class Actor<Settings, Count> {
  readonly #worker: Worker;
  readonly #ended = Promise.withResolvers<never>();
  readonly #opened = Promise.withResolvers<number>();
  #seen = Promise.withResolvers<Seen<Count>>();

  /**
   * @param worker The thread, which has called `begin` of `thread.ts`.
   * @param onFailure Told why the thread has ended by itself.
   */
  constructor(worker: Worker, onFailure: (reason: string) => void) {
    this.#worker = worker;
    this.#ended.promise.catch(() => {}); // those who wait are told by a race with it
    worker.onmessage = ({ data: report }: MessageEvent<Report<Count>>) => {
      if (report.kind === "open") this.#opened.resolve(report.port);
      else this.#seen.resolve(report);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#ended.reject(new Error(event.message));
      onFailure(event.message);
    };
  }

  /** Lets the thread begin; settles when it has opened a socket, with its port. */
  begin(
    start: { settings: Settings; port: number; gate: SharedArrayBuffer },
  ): Promise<number> {
    this.#order({ kind: "begin", ...start });
    return Promise.race([this.#opened.promise, this.#ended.promise]);
  }

  /** Changes settings. */
  set(settings: Partial<Settings>): void {
    this.#order({ kind: "set", settings });
  }

  /** Has the thread count and stand still, for as long as the gate shows `round`. */
  look(round: number): Promise<Seen<Count>> {
    this.#seen = Promise.withResolvers();
    this.#order({ kind: "look", round });
    return Promise.race([this.#seen.promise, this.#ended.promise]);
  }

  /** Ends the thread, and closes its sockets. What waits for it is rejected. */
  end(): void {
    this.#ended.reject(new Error("The run was stopped"));
    this.#worker.terminate();
  }

  #order(order: Order<Settings>): void {
    this.#worker.postMessage(order);
  }
}
