/** The module of this checkout. */

import { broadcast, connect, serve } from "../../../mod.ts";
import {
  asJson,
  ChunkDecoder,
  delimited,
  DelimiterStream,
  type Framing,
  lengthPrefixed,
  lines,
} from "../../../framing.ts";
import { caCerts, certificate } from "../../testdata/certificates.ts";
import { operationsByPlaces, type Sockets } from "./_by_places.ts";
import {
  addBytes,
  addJson,
  addText,
  operationsOf,
  type Wire,
} from "./_framed.ts";
import type { Decode } from "./_in_memory.ts";
import { answerDriver, type Tally } from "./subject.mjs";

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

const sockets: Sockets = {
  connect: (port, wire) =>
    connect({
      hostname,
      port,
      framing: framingOf(wire),
      tls: wire.isTls && { caCerts },
    }),
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
};

const operations = operationsOf({
  ...sockets,
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

await answerDriver({ ...operations, ...operationsByPlaces(sockets) });
