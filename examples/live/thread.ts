/// <reference lib="deno.worker" />
/**
 * The messages between a thread of the pipe and the thread that samples it.
 *
 * All threads pause for some milliseconds to be counted, so that every figure is from
 * the same moment and the sums are exact.
 *
 * @module
 */

/** A message to a thread. */
export type Order<Settings> =
  | { kind: "begin"; settings: Settings; port: number; gate: SharedArrayBuffer }
  | { kind: "set"; settings: Partial<Settings> }
  /** Count, answer, and pause while the gate shows this round. */
  | { kind: "look"; round: number };

/** A message from a thread. */
export type Report<Count> =
  | { kind: "open"; port: number }
  | { kind: "seen"; place: string; count: Count };

/** A thread of the pipe, from inside. */
export interface Thread<Settings> {
  /** The settings of the page, which may change at any time. */
  readonly page: Settings;
  /** The port to connect to; 0 for the thread that listens. */
  readonly port: number;
  /** Reports that a socket is open on this port. */
  open(port: number): void;
  /** Waits, and reports the place to the page. */
  at<T>(place: string, wait: PromiseLike<T>): Promise<T>;
}

/** The maximum pause of a thread, whatever happens to the sampling thread. */
const MAX_STILL_MS = 1000;

/**
 * Waits for the order to start, then answers every sample.
 *
 * @param count Counts what the thread has done so far.
 */
export function begin<Settings extends object, Count>(
  count: () => Count,
): Promise<Thread<Settings>> {
  const begun = Promise.withResolvers<Thread<Settings>>();
  const report = (report: Report<Count>) => self.postMessage(report);
  let gate: Int32Array<SharedArrayBuffer> | undefined;
  let settings: Settings | undefined;
  let place = "running";

  self.onmessage = ({ data: order }: MessageEvent<Order<Settings>>) => {
    switch (order.kind) {
      case "begin":
        gate = new Int32Array(order.gate);
        settings = order.settings;
        begun.resolve({
          page: settings,
          port: order.port,
          open: (port) => report({ kind: "open", port }),
          async at(newPlace, wait) {
            place = newPlace;
            const result = await wait;
            place = "running";
            return result;
          },
        });
        break;
      case "set":
        if (settings !== undefined) Object.assign(settings, order.settings);
        break;
      case "look":
        report({ kind: "seen", place, count: count() });
        if (gate === undefined) break;
        Atomics.wait(gate, 0, order.round, MAX_STILL_MS);
    }
  };
  return begun.promise;
}
