/** The module over `node:net`, as one file for Node and Bun. */

import { broadcast } from "../../../connection.ts";
import { delimited, lengthPrefixed, lines } from "../../../framing.ts";
import { connect, serve } from "../../../node.ts";
import { operationsByPlaces, type Sockets } from "./_by_places.ts";
import { operationsOf, type Wire } from "./_framed.ts";
import { answerDriver } from "./subject.mjs";

const hostname = "127.0.0.1";

function framingOf({ framing }: Wire) {
  return framing === "lines" ? delimited("\n") : lengthPrefixed();
}

function isNotMeasured(): never {
  throw new Error("It is the same code as in Deno");
}

const sockets: Sockets = {
  connect: (port, wire) =>
    connect({ hostname, port, framing: framingOf(wire) }),
  connectText: (port) => connect({ hostname, port, framing: lines() }),
  async serve(handler, wire) {
    const server = await serve(
      { hostname, port: 0, framing: framingOf(wire) },
      handler,
    );
    return server.addr.port;
  },
};

const operations = operationsOf({
  ...sockets,
  async serveText(handler) {
    const server = await serve(
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
    lines: isNotMeasured,
    crlf: isNotMeasured,
    almost: isNotMeasured,
    prefixed: isNotMeasured,
    text: isNotMeasured,
    fatal: isNotMeasured,
    json: isNotMeasured,
  },
  delimiterStream: isNotMeasured,
});

await answerDriver({ ...operations, ...operationsByPlaces(sockets) });
