/** The module itself, as it is here. */

import { broadcast, connect, type Connection, serve } from "../../../mod.ts";
import {
  asJson,
  type Batch,
  type Bytes,
  ChunkDecoder,
  delimited,
  DelimiterStream,
  type Framing,
  lengthPrefixed,
  lines,
} from "../../../framing.ts";
import { caCerts, certificate } from "../../testdata/certificates.ts";
import {
  addBytes,
  addJson,
  addText,
  operationsOf,
  type Wire,
} from "./_framed.ts";
import type { Decode } from "./_in_memory.ts";
import { answerDriver, type Operation, Tally } from "./subject.mjs";

const hostname = "127.0.0.1";

function framingOf({ framing }: Wire) {
  return framing === "lines" ? delimited("\n") : lengthPrefixed();
}

function decodeWith<In>(
  framing: Framing<In>,
  add: (tally: Tally, message: In) => void,
): Decode {
  return (chunks, tally) => {
    const decoder = new ChunkDecoder(framing);
    for (const chunk of chunks) {
      for (const message of decoder.decode(chunk)) add(tally, message);
    }
    for (const message of decoder.end()) add(tally, message);
  };
}

function connectTo(port: number, wire: Wire): Promise<Connection<Bytes>> {
  return connect({
    hostname,
    port,
    framing: framingOf(wire),
    tls: wire.isTls && { caCerts },
  });
}

/** Adds the messages of a batch by their number and length, once they were proved. */
function addCounted(tally: Tally, batch: Batch<Bytes>, overhead: number): void {
  if (Tally.readsContent) {
    for (const message of batch) tally.add(message);
    return;
  }
  tally.count += batch.length;
  tally.bytes += batch.framesOf().frames.length - batch.length * overhead;
}

/** Adds them by looking at four bytes of each, where they lie. */
function addLookedAt(tally: Tally, batch: Batch<Bytes>): void {
  addCounted(tally, batch, LINES_OVERHEAD);
  for (let i = 0; i < batch.length; i++) {
    for (let at = 0; at < 4; at++) tally.seen ^= batch.byteAt(i, at) ?? 0;
  }
}

const LINES: Wire = { framing: "lines", isTls: false };
const LINES_OVERHEAD = 1;
const PREFIXED: Wire = { framing: "prefixed", isTls: false };
const PREFIXED_OVERHEAD = 4;

function receiveBatches(
  add: (tally: Tally, batch: Batch<Bytes>) => void,
  wire: Wire,
): Operation {
  return () => async (port) => {
    await using connection = await connectTo(port, wire);
    const tally = new Tally();
    for await (const batch of connection.batches()) add(tally, batch);
    return tally;
  };
}

/** What no version before had: places of messages in place of views. */
const byPlaces: Record<string, Operation> = {
  "receive-counting": receiveBatches(
    (tally, batch) => addCounted(tally, batch, LINES_OVERHEAD),
    LINES,
  ),
  "receive-counting-prefixed": receiveBatches(
    (tally, batch) => addCounted(tally, batch, PREFIXED_OVERHEAD),
    PREFIXED,
  ),
  "receive-places-looked-at": receiveBatches(addLookedAt, LINES),
  "receive-batch-text": () => async (port) => {
    await using connection = await connect({
      hostname,
      port,
      framing: lines(),
    });
    const tally = new Tally();
    for await (const batch of connection.batches()) {
      for (const line of batch.allTexts()) tally.addText(line);
    }
    return tally;
  },
  "echo-forward": () => {
    const server = serve(
      { hostname, port: 0, framing: framingOf(LINES) },
      async (connection) => {
        for await (const batch of connection.batches()) {
          await connection.forward(batch);
        }
      },
    );
    return server.addr.port;
  },
};

const operations = operationsOf({
  connect: connectTo,
  connectText: (port) => connect({ hostname, port, framing: lines() }),
  serve(handler, wire) {
    const server = serve({
      hostname,
      port: 0,
      framing: framingOf(wire),
      tls: wire.isTls ? certificate : undefined,
    }, handler);
    return server.addr.port;
  },
  serveText(handler) {
    const server = serve(
      { hostname, port: 0, framing: lines() },
      (connection): Promise<void> =>
        handler(connection, {
          broadcast: (line): unknown => broadcast(server.connections, line),
          loop(line) {
            for (const each of server.connections) each.send(line);
          },
        }),
    );
    return server.addr.port;
  },
  decode: {
    lines: decodeWith(delimited("\n", { maxLength: Infinity }), addBytes),
    crlf: decodeWith(delimited("\r\n"), addBytes),
    almost: decodeWith(delimited("aab"), addBytes),
    prefixed: decodeWith(lengthPrefixed(), addBytes),
    text: decodeWith(lines(), addText),
    fatal: decodeWith(lines({ fatal: true }), addText),
    json: decodeWith(asJson(delimited("\n")), addJson),
  },
  delimiterStream: () => new DelimiterStream("\n"),
});

await answerDriver({ ...operations, ...byPlaces });
