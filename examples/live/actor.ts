/**
 * A thread of the pipe, as controlled from outside.
 *
 * @module
 */
import type { Order, Report } from "./thread.ts";

/** What a thread was doing when it was sampled. */
export interface Seen<Count> {
  /** The place where it waits, or `running`. */
  place: string;
  count: Count;
}

/** Sends orders to a thread, and receives its reports. */
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
    this.#ended.promise.catch(() => {}); // pending calls race with it
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

  /** Starts the thread; resolves with its port when it has opened a socket. */
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

  /** Makes the thread count and pause while the gate shows `round`. */
  look(round: number): Promise<Seen<Count>> {
    this.#seen = Promise.withResolvers();
    this.#order({ kind: "look", round });
    return Promise.race([this.#seen.promise, this.#ended.promise]);
  }

  /** Ends the thread, and closes its sockets. Pending calls reject. */
  end(): void {
    this.#ended.reject(new Error("The run was stopped"));
    this.#worker.terminate();
  }

  #order(order: Order<Settings>): void {
    this.#worker.postMessage(order);
  }
}
