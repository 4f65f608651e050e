import type { Transport } from "../connection/transport.ts";

/**
 * One end of a {@linkcode transportPair}: a transport that behaves like TCP's, and
 * faults for tests.
 *
 * It does what Deno's sockets do over loopback on Linux, also after `close()` and a
 * reset. Its errors are recognized by their names: `BadResource` after `close()`,
 * `Interrupted` when `close()` comes during a read or a write, `BrokenPipe` and
 * `ConnectionReset`. A second read while one is under way is a `TypeError`, and so
 * is a second write, or `closeWrite()` during one.
 *
 * @example A message in three segments
 * ```ts
 * import { type PairedTransport, transportPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function readLengths(end: PairedTransport): Promise<number[]> {
 *   const lengths: number[] = [];
 *   const buffer = new Uint8Array(100);
 *   for (;;) {
 *     const length = await end.read(buffer);
 *     if (length === null) return lengths;
 *     lengths.push(length);
 *   }
 * }
 *
 * const [near, far] = transportPair();
 * far.cutAt([1, 7]);
 * await near.write(new Uint8Array(10));
 * near.close();
 *
 * assertEquals(await readLengths(far), [1, 6, 3]);
 * ```
 */
export interface PairedTransport
  extends Required<Omit<Transport, "alpnProtocol">>, Disposable {
  /**
   * Closes this end; it may be called again. What is in flight still arrives, and
   * then the end, unless there are unread bytes: these reset the connection, and
   * what is in flight is lost.
   */
  close(): void;
  /**
   * Closes this end with a reset. The peer reads what has arrived, then an error
   * named `ConnectionReset`, once. What is in flight is lost.
   */
  reset(): void;

  /**
   * Stalls what this end sends: its bytes, its end and its reset stay in flight.
   * A peer that vanished is one that is stalled for good.
   */
  stall(): void;
  /** Ends {@linkcode PairedTransport.stall}: what was held arrives now. */
  resume(): void;
  /**
   * Lets some bytes in flight arrive, though this end is stalled, as far as the
   * peer has room. The end counts as one byte, after the last; a reset arrives
   * with any call.
   *
   * @throws {RangeError} If `count` is not a whole number of at least 1.
   */
  deliver(count: number): void;

  /**
   * Cuts what this end reads: no read passes a place, counted in bytes from the
   * first one that this end has read. Takes the place of all cuts before.
   *
   * @param places Ascending, and as many as are pulled: a generator may go on for
   * ever.
   * @throws {RangeError} If a place is not above the one before, or is not after
   * what was read; from `read()`, if it is not the first.
   */
  cutAt(places: Iterable<number>): void;
  /**
   * The most bytes that a read of this end gives.
   *
   * @default {Infinity}
   */
  maxRead: number;

  /** How many bytes have arrived at this end, and were not read. */
  readonly arrived: number;
  /** How many bytes this end has written that have not arrived at the peer. */
  readonly inFlight: number;
  /** Whether a read is under way, and waits. */
  readonly isReading: boolean;
  /** Whether a write is under way, and waits for room. */
  readonly isWriting: boolean;
  /** Whether this end was closed, or reset. */
  readonly isClosed: boolean;
  /** `false` after `unref()`. */
  readonly isReferenced: boolean;
  /** What `setNoDelay()` was called with last; it changes nothing else. */
  readonly noDelay: boolean;
  /** What `setKeepAlive()` was called with last; it changes nothing else. */
  readonly keepAlive: boolean;
}
