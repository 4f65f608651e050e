/** The state that the server under load reports. */

/** The addresses that it listens on. */
export interface LoadServerAddress {
  readonly port: number;
  readonly tlsPort: number;
  readonly path: string;
}

/** Its resources, after a garbage collection. */
export interface LoadServerState {
  readonly connections: number;
  /** The time in milliseconds that one of them has waited for its peer. */
  readonly blockedTime: number;
  readonly descriptors: number;
  /** Bytes of objects and buffers. */
  readonly heap: number;
  /** Bytes of the process, now and at its peak. */
  readonly resident: number;
  readonly peakResident: number;
  /** Errors of handlers and connections so far. */
  readonly errors: number;
  /** How often there was no descriptor for a connection. */
  readonly shortages: number;
  /** Messages not sent to subscribers with too much queued. */
  readonly leftOut: number;
}
