/** One line of `docs/reliability.md`: what a suite ran, and what became of it. */
export interface ReportRow {
  /** What the connections did, as "echo, 10,000 connections". */
  readonly workload: string;
  /** What was done to them; "none" if nothing. */
  readonly fault: string;
  /** How many messages, requests, programs or cases there were. */
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
