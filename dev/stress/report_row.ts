/** One line of `report.md`: what a suite ran, and what became of it. */
export interface ReportRow {
  /** What the connections did, as "echo, 10,000 connections". */
  readonly workload: string;
  /** What was done to them; "none" if nothing. */
  readonly fault: string;
  /**
   * How many messages, requests, programs or cases there were. If none, it could
   * not be run on this machine, and `note` says why.
   */
  readonly operations: number;
  /** Messages that were acknowledged and did not arrive. */
  readonly lost: number;
  /** Messages that arrived twice or out of order. */
  readonly duplicated: number;
  /** Promises that did not settle in time. */
  readonly unsettled: number;
  /** The most memory that the process held, in bytes. */
  readonly peakMemory: number;
  /** A ratio or a figure that belongs to this line, or nothing. */
  readonly note: string;
}

/** How long a suite runs, and what its random numbers begin with. */
export interface SuiteOptions {
  /** About how many seconds it has. */
  readonly seconds: number;
  readonly seed: number;
}

/** A suite, as a generator of lines. It throws what it finds wrong. */
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
