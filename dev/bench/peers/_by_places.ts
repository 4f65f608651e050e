/** The operations of batches, which 0.1 does not have: positions instead of messages. */

import type { Connection } from "../../../connection.ts";
import type { Batch, Bytes } from "../../../framing.ts";
import type { Wire } from "./_framed.ts";
import { type Operation, Tally } from "./subject.mjs";

/** Makes connections in the runtime of the module. */
export interface Sockets {
  connect(port: number, wire: Wire): Promise<Connection<Bytes>>;
  connectText(port: number): Promise<Connection<string>>;
  /** Serves on a free port, and returns the port. */
  serve(
    handler: (connection: Connection<Bytes>) => Promise<void>,
    wire: Wire,
  ): number | Promise<number>;
}

const LINES: Wire = { framing: "lines", isTls: false };
const PREFIXED: Wire = { framing: "prefixed", isTls: false };
const TLS: Wire = { framing: "lines", isTls: true };
/** The number of bytes that a frame adds to its message. */
const OVERHEAD_BYTES = { lines: 1, prefixed: 4 } as const;

/**
 * Adds the messages of a batch by their number and length, after the first run has
 * verified them.
 */
function addCounted(
  tally: Tally,
  batch: Batch<Bytes>,
  { framing }: Wire,
): void {
  if (Tally.readsContent) {
    for (const message of batch) tally.add(message);
    return;
  }
  const { count, frames } = batch.framesOf();
  tally.count += count;
  tally.bytes += frames.length - count * OVERHEAD_BYTES[framing];
}

/** Adds them by reading four bytes of each in place. */
function addLookedAt(tally: Tally, batch: Batch<Bytes>, wire: Wire): void {
  addCounted(tally, batch, wire);
  for (let i = 0; i < batch.length; i++) {
    for (let at = 0; at < 4; at++) tally.seen ^= batch.byteAt(i, at) ?? 0;
  }
}

/** Adds them by reading the same four bytes as one integer. */
function addHeaders(tally: Tally, batch: Batch<Bytes>, wire: Wire): void {
  addCounted(tally, batch, wire);
  for (let i = 0; i < batch.length; i++) {
    tally.seen ^= batch.uintAt(i, 0, 4) ?? 0;
  }
}

/** The operations of batches. */
export function operationsByPlaces(
  { connect, connectText, serve }: Sockets,
): Record<string, Operation> {
  function receive(wire: Wire, add = addCounted): Operation {
    return () => async (port) => {
      await using connection = await connect(port, wire);
      const tally = new Tally();
      for await (const batch of connection.batches()) add(tally, batch, wire);
      return tally;
    };
  }

  function forward(wire: Wire): Operation {
    return () =>
      serve(async (connection) => {
        for await (const batch of connection.batches()) {
          await connection.forward(batch);
        }
      }, wire);
  }

  return {
    "receive-counting": receive(LINES),
    "receive-counting-prefixed": receive(PREFIXED),
    "receive-counting-tls": receive(TLS),
    "receive-places-looked-at": receive(LINES, addLookedAt),
    "receive-headers-looked-at": receive(LINES, addHeaders),
    "receive-batch-text": () => async (port) => {
      await using connection = await connectText(port);
      const tally = new Tally();
      for await (const batch of connection.batches()) {
        for (const line of batch.allTexts()) tally.addText(line);
      }
      return tally;
    },
    "echo-forward": forward(LINES),
    "echo-forward-tls": forward(TLS),
  };
}
