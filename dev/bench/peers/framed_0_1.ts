/**
 * Version 0.1 of the module, for comparison. Its files are not in the working tree: the
 * driver takes them out of git, and `BENCH_FRAMED_0_1` names their folder.
 */

import { caCerts, certificate } from "../../testdata/certificates.ts";
import {
  addBytes,
  addJson,
  addText,
  type Connection,
  operationsOf,
  type Wire,
} from "./_framed.ts";
import type { Decode } from "./_in_memory.ts";
import { answerDriver, type Tally } from "./subject.mjs";

type Bytes = Uint8Array<ArrayBuffer>;

interface Framing<Message> {
  decoder(): {
    decode(chunk: Bytes): Message[];
    end(): Message[];
  };
}

interface Endpoint<Message> {
  hostname: string;
  port: number;
  framing: Framing<Message>;
}

interface Server<Message> {
  readonly addr: { readonly port: number };
  readonly connections: ReadonlySet<Connection<Message>>;
}

/** The part of the module that is used here. */
interface FramedTcp {
  asJson(framing: Framing<Bytes>): Framing<unknown>;
  broadcast<Message>(
    connections: Iterable<Connection<Message>>,
    message: Message,
  ): unknown;
  connect<Message>(
    options: Endpoint<Message> & { tls?: false | { caCerts: string[] } },
  ): Promise<Connection<Message>>;
  delimited(
    delimiter: string,
    options?: { maxLength: number },
  ): Framing<Bytes>;
  DelimiterStream: new (
    delimiter: string,
  ) => TransformStream<Bytes, Uint8Array>;
  lengthPrefixed(): Framing<Bytes>;
  lines(options?: { fatal: boolean }): Framing<string>;
  serve<Message>(
    options: Endpoint<Message> & { cert?: string; key?: string },
    handler: (connection: Connection<Message>) => Promise<void>,
  ): Server<Message>;
}

const {
  asJson,
  broadcast,
  connect,
  delimited,
  DelimiterStream,
  lengthPrefixed,
  lines,
  serve,
}: FramedTcp = await import(`${Deno.env.get("BENCH_FRAMED_0_1")}/mod.ts`);

const hostname = "127.0.0.1";

function framingOf({ framing }: Wire): Framing<Bytes> {
  return framing === "lines" ? delimited("\n") : lengthPrefixed();
}

function decodeWith<Message>(
  framing: Framing<Message>,
  add: (tally: Tally, message: Message) => void,
): Decode {
  return (chunks, tally) => {
    const decoder = framing.decoder();
    for (const chunk of chunks) {
      for (const message of decoder.decode(chunk)) add(tally, message);
    }
    for (const message of decoder.end()) add(tally, message);
  };
}

await answerDriver(operationsOf({
  connect: (port, wire) =>
    connect({
      hostname,
      port,
      framing: framingOf(wire),
      tls: wire.isTls && { caCerts },
    }),
  connectText: (port) => connect({ hostname, port, framing: lines() }),
  serve(handler, wire) {
    const options = { hostname, port: 0, framing: framingOf(wire) };
    const server = wire.isTls
      ? serve({ ...options, ...certificate }, handler)
      : serve(options, handler);
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
}));
