/** What the server under load tells of itself. */

/** Where it listens. */
export interface LoadServerAddress {
  readonly port: number;
  readonly tlsPort: number;
  readonly path: string;
}

/** What it holds, after a collection of garbage. */
export interface LoadServerState {
  readonly connections: number;
  /** For how many milliseconds one of them has waited for its peer. */
  readonly blockedTime: number;
  readonly descriptors: number;
  /** Bytes of objects and buffers. */
  readonly heap: number;
  /** Bytes of the process, now and at its most. */
  readonly resident: number;
  readonly peakResident: number;
  /** Errors of handlers and connections so far. */
  readonly errors: number;
  /** How many times there was no descriptor for a connection. */
  readonly shortages: number;
  /** Messages that were not sent to a subscriber with too much queued. */
  readonly leftOut: number;
}
