import { isFramingError } from "../framing/framing_error.ts";
import { isError } from "../internal/realms.ts";
import { codeOf } from "../internal/system_error.ts";

/**
 * How a connection ends, by cause. `Connection` follows this table.
 */
export interface Ending {
  /** What happens to messages that were read but not received. */
  readonly received: "delivered" | "dropped";
  /**
   * What happens to the bytes in the system's receive buffer: they are dropped when the
   * transport closes, or first read for up to {@linkcode DRAIN_MS}, and then dropped or
   * delivered.
   */
  readonly unread: "dropped" | "drained" | "delivered";
  /** What happens to messages that are queued for sending. */
  readonly queued: "sent" | "dropped";
  /** Whether it is reported as an error. */
  readonly isError: boolean;
}

/** How long a peer that still sends may take to receive the rest and close its side. */
export const DRAIN_MS = 1000;

// If queued messages are sent, the end of this side (FIN) follows them.
export const ENDINGS = {
  /** Both sides have ended, and everything has been read. */
  ended: {
    received: "delivered",
    unread: "dropped", // there is nothing
    queued: "sent", // already
    isError: false,
  },
  /** `close()`. */
  closed: {
    received: "delivered",
    unread: "drained",
    queued: "sent",
    isError: false,
  },
  /** The peer's bytes broke a rule of the framing. */
  malformed: {
    received: "delivered",
    unread: "drained",
    queued: "sent",
    isError: true,
  },
  /** A write failed because the peer is gone. */
  peerGone: {
    received: "delivered",
    unread: "delivered",
    queued: "dropped",
    isError: true,
  },
  /** A timeout, or any other error. */
  failed: {
    received: "delivered",
    unread: "dropped",
    queued: "dropped",
    isError: true,
  },
  /** `abort()`, or a signal. */
  aborted: {
    received: "dropped",
    unread: "dropped",
    queued: "dropped",
    isError: true,
  },
} as const satisfies Record<string, Ending>;

/** The ending for an error of reading. */
export function endingOfRead(error: unknown): Ending {
  return isFramingError(error) ? ENDINGS.malformed : ENDINGS.failed;
}

/** The ending for an error of a write. */
export function endingOfWrite(error: unknown): Ending {
  return isPeerGone(error) ? ENDINGS.peerGone : ENDINGS.failed;
}

// By name in Deno, by code in Node.
const GONE: ReadonlySet<unknown> = new Set([
  "BrokenPipe",
  "ConnectionReset",
  "ConnectionAborted",
  "EPIPE",
  "ECONNRESET",
  "ECONNABORTED",
  // A stream of Node that was closed, such as the input of a child process that has
  // exited; the first is what its web stream makes of it.
  "ABORT_ERR",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_DESTROYED",
]);

const goneByStreams = new WeakSet<object>();

/**
 * Notes the error of a write to a byte stream: that the peer is gone. Each kind of stream
 * says it in its own words, often in a mere `TypeError`.
 */
export function noteGone(error: object): void {
  goneByStreams.add(error);
}

function isPeerGone(error: unknown): boolean {
  if (typeof error === "object" && error !== null && goneByStreams.has(error)) {
    return true;
  }
  return isError(error) && (GONE.has(error.name) || GONE.has(codeOf(error)));
}
