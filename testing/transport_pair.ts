import { pairedEnds } from "./_paired_end.ts";
import type { PairedTransport } from "./paired_transport.ts";

/**
 * Options for {@linkcode transportPair}.
 *
 * @example A slow peer
 * ```ts
 * import { transportPair, type TransportPairOptions } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const small: TransportPairOptions = { bufferSize: 4 };
 * const [near, far] = transportPair(small);
 *
 * assertEquals(await near.write(new Uint8Array(10)), 4);
 * const more = near.write(new Uint8Array(6)); // waits for room
 * assertEquals(near.isWriting, true);
 *
 * await far.read(new Uint8Array(2));
 * assertEquals(await more, 2);
 * ```
 */
export interface TransportPairOptions {
  /**
   * The most bytes that may be written but not read, in each direction. Half of
   * them wait at the reader; the rest is in flight until there is room, and is
   * lost if the connection is reset.
   *
   * @default {65_536}
   */
  bufferSize?: number | undefined;
}

/**
 * Makes the two ends of a connection in memory. They behave like TCP: buffers
 * fill and block, and there are half-closes, ends and resets.
 *
 * Nothing waits for a timer or for the event loop. The same calls give the same
 * results in the same order, so a test can be replayed exactly.
 *
 * @returns The two ends. Each has the address of a TCP socket on 127.0.0.1.
 * @throws {RangeError} If `bufferSize` is not a whole number of at least 1.
 *
 * @example Testing code that reads from a transport, without a socket
 * ```ts
 * import type { Transport } from "@framed/tcp/connection";
 * import { transportPair } from "@framed/tcp/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * async function countToEnd(transport: Transport): Promise<number> {
 *   const buffer = new Uint8Array(1024);
 *   for (let count = 0;;) {
 *     const length = await transport.read(buffer);
 *     if (length === null) return count;
 *     count += length;
 *   }
 * }
 *
 * const [near, far] = transportPair();
 * await near.write(new Uint8Array(5000));
 * await near.closeWrite();
 * assertEquals(await countToEnd(far), 5000);
 *
 * near.reset();
 * await assertRejects(() => far.write(new Uint8Array(1)), Error, "closed");
 * ```
 */
export function transportPair(
  options: TransportPairOptions = {},
): [PairedTransport, PairedTransport] {
  return pairedEnds(options.bufferSize);
}
