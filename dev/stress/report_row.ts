/** One line of `report.md`: a part of a suite, and its result. */
export interface ReportRow {
  /** What the connections did, as "echo, 10,000 connections". */
  readonly workload: string;
  /** The faults; "none" if there are none. */
  readonly fault: string;
  /**
   * The number of messages, requests, programs or cases. If 0, this machine could not
   * run it, and `note` says why.
   */
  readonly operations: number;
  /** Acknowledged messages that did not arrive. */
  readonly lost: number;
  /** Messages that arrived twice or out of order. */
  readonly duplicated: number;
  /** Promises that did not settle in time. */
  readonly unsettled: number;
  /** The maximum memory of the process, in bytes. */
  readonly peakMemory: number;
  /** A ratio or another figure of this line, or nothing. */
  readonly note: string;
}

/** The time and the seed of a suite. */
export interface SuiteOptions {
  /** The approximate time in seconds. */
  readonly seconds: number;
  readonly seed: number;
}

/** A suite, as a generator of lines. It throws errors that it finds. */
export type Suite = (options: SuiteOptions) => AsyncIterable<ReportRow>;

/** The line of a suite that cannot run on this machine. */
export function skippedRow(workload: string, why: string): ReportRow {
  return {
    workload,
    fault: "",
    operations: 0,
    lost: 0,
    duplicated: 0,
    unsettled: 0,
    peakMemory: 0,
    note: `not run: ${why}`,
  };
}
