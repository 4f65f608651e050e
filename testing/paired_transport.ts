import type { Transport } from "../connection/transport.ts";

/**
 * One end of a {@linkcode transportPair}: a transport that behaves like TCP, with faults
 * for tests.
 *
 * It behaves like Deno's sockets over loopback on Linux, even after `close()` and a
 * reset. Recognize its errors by their names: `BadResource` after `close()`,
 * `Interrupted` when `close()` comes during a read or a write, `BrokenPipe` and
 * `ConnectionReset`. A second read while one is pending is a `TypeError`, and so is a
 * second write, or `closeWrite()` during a write.
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
   * Closes this end; may be called again. Bytes in flight still arrive, and then the end,
   * unless this end has unread bytes: these reset the connection, and the bytes in flight
   * are lost.
   */
  close(): void;
  /**
   * Closes this end with a reset. The peer reads what has arrived, then an error named
   * `ConnectionReset`, once. Bytes in flight are lost.
   */
  reset(): void;

  /**
   * Stalls what this end sends: its bytes, its end and its reset stay in flight. To
   * simulate a peer that vanished, stall it and never resume.
   */
  stall(): void;
  /** Ends {@linkcode PairedTransport.stall}: everything held back now arrives. */
  resume(): void;
  /**
   * Lets some bytes in flight arrive although this end is stalled, as far as the peer has
   * room. The end counts as one byte, after the last; a reset arrives with any call.
   *
   * @throws {RangeError} If `count` is not a whole number of at least 1.
   */
  deliver(count: number): void;

  /**
   * Cuts what this end reads: no read passes any of these offsets, counted in bytes from
   * the first one that this end has read. Replaces all earlier cuts.
   *
   * @param places The offsets, ascending. They are pulled as needed, so a generator may
   * be endless.
   * @throws {RangeError} If an offset is not above the one before, or not after the bytes
   * already read; only the first offset is checked here, the others in `read()`.
   */
  cutAt(places: Iterable<number>): void;
  /**
   * The most bytes that a read of this end gives.
   *
   * @default {Infinity}
   */
  maxRead: number;

  /** How many bytes have arrived at this end but were not read. */
  readonly arrived: number;
  /** How many bytes this end has written that have not arrived at the peer. */
  readonly inFlight: number;
  /** Whether a read is pending. */
  readonly isReading: boolean;
  /** Whether a write is pending, waiting for room. */
  readonly isWriting: boolean;
  /** Whether this end was closed, or reset. */
  readonly isClosed: boolean;
  /** `false` after `unref()`. */
  readonly isReferenced: boolean;
  /** The last argument of `setNoDelay()`, which has no other effect. */
  readonly noDelay: boolean;
  /** The last argument of `setKeepAlive()`, which has no other effect. */
  readonly keepAlive: boolean;
}
