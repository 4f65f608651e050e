/** The module itself. */

import { broadcast, connect, type Connection, serve } from "../../../mod.ts";
import {
  type Bytes,
  delimited,
  DelimiterStream,
  type Framing,
  lengthPrefixed,
  lines,
} from "../../../framing.ts";
import { inMemory, lengthHeader, pipe } from "./_in_memory.ts";
import {
  answerDriver,
  makeMessages,
  messageAt,
  type Operation,
  type Run,
  Tally,
} from "./subject.mjs";

const hostname = "127.0.0.1";
const framing = delimited("\n");

/** How many messages are sent before one of them is waited for. */
const WINDOW = 512;

const unlimited = { maxLength: Infinity };

function receive(
  act: (connection: Connection, tally: Tally) => Promise<void>,
): Run {
  return async (port) => {
    await using connection = await connect({
      hostname,
      port,
      framing,
    });
    const tally = new Tally();
    await act(connection, tally);
    return tally;
  };
}

function send(
  messageLength: number,
  act: (
    connection: Connection,
    messages: Uint8Array[],
    count: number,
  ) => Promise<void>,
): Run {
  const messages = makeMessages(messageLength);
  return async (port, count) => {
    await using connection = await connect({
      hostname,
      port,
      framing,
    });
    await act(connection, messages, count);
    return new Tally();
  };
}

function decodeWith<In>(
  framing: Framing<In>,
  add: (tally: Tally, message: In) => void,
) {
  return (chunks: Iterable<Bytes>, tally: Tally) => {
    const decoder = framing.decoder();
    for (const chunk of chunks) {
      for (const message of decoder.decode(chunk)) add(tally, message);
    }
    for (const message of decoder.end()) add(tally, message);
  };
}

function addBytes(tally: Tally, message: Uint8Array): void {
  tally.add(message);
}

function addText(tally: Tally, message: string): void {
  tally.addText(message);
}

/** A chat: greets each connection, and tells all what one of them says. */
function chat(
  length: number,
  tellAll: (
    connections: ReadonlySet<Connection<string, string>>,
    line: string,
  ) => unknown,
): number {
  const greeting = new TextDecoder().decode(makeMessages(length)[0]);
  const server = serve(
    { hostname, port: 0, framing: lines() },
    async (connection) => {
      await connection.send(greeting);
      for await (const line of connection) {
        await tellAll(server.connections, line);
      }
    },
  );
  return server.addr.port;
}

const operations: Record<string, Operation> = {
  "receive-batches": () =>
    receive(async (connection, tally) => {
      for await (const batch of connection.batches()) {
        for (const message of batch) tally.add(message);
      }
    }),
  "receive-iterating": () =>
    receive(async (connection, tally) => {
      for await (const message of connection) tally.add(message);
    }),
  "receive-readable": () =>
    receive(async (connection, tally) => {
      for await (const message of connection.readable) tally.add(message);
    }),
  "receive-text": () => async (port) => {
    await using connection = await connect({
      hostname,
      port,
      framing: lines(),
    });
    const tally = new Tally();
    for await (const line of connection) tally.addText(line);
    return tally;
  },
  "send-windowed": (length) =>
    send(length, async (connection, messages, count) => {
      for (let sent = 0; sent < count; sent++) {
        const hasRoom = connection.send(messageAt(messages, sent));
        if (sent % WINDOW === WINDOW - 1) await hasRoom;
      }
    }),
  "send-writer": (length) =>
    send(length, async (connection, messages, count) => {
      const writer = connection.writable.getWriter();
      for (let sent = 0; sent < count; sent++) {
        await writer.ready;
        writer.write(messageAt(messages, sent));
      }
      await writer.close();
    }),
  "send-awaited": (length) =>
    send(length, async (connection, messages, count) => {
      for (let sent = 0; sent < count; sent++) {
        await connection.send(messageAt(messages, sent));
      }
    }),
  "request": (length) => {
    const messages = makeMessages(length);
    return async (port, count) => {
      await using connection = await connect({
        hostname,
        port,
        framing,
      });
      const tally = new Tally();
      for (let sent = 0; sent < count; sent++) {
        tally.add(await connection.request(messageAt(messages, sent)));
      }
      return tally;
    };
  },
  "echo-batches": () => {
    const server = serve({ hostname, port: 0, framing }, async (connection) => {
      for await (const batch of connection.batches()) {
        let sent: Promise<void> | undefined;
        for (const message of batch) sent = connection.send(message);
        await sent;
      }
    });
    return server.addr.port;
  },
  "echo-iterating": () => {
    const server = serve({ hostname, port: 0, framing }, async (connection) => {
      for await (const message of connection) await connection.send(message);
    });
    return server.addr.port;
  },
  "broadcast": (length) => chat(length, broadcast),
  "broadcast-loop": (length) =>
    chat(length, (connections, line) => {
      for (const connection of connections) connection.send(line);
    }),
  "decode-lines": (length, chunkLength) =>
    inMemory(
      length,
      chunkLength,
      decodeWith(delimited("\n", unlimited), addBytes),
    ),
  "decode-crlf": (length, chunkLength) =>
    inMemory(length, chunkLength, decodeWith(delimited("\r\n"), addBytes), {
      delimiter: "\r\n",
    }),
  "decode-almost": (length, chunkLength) =>
    inMemory(length, chunkLength, decodeWith(delimited("aab"), addBytes), {
      letters: 1,
      delimiter: "aab",
    }),
  "decode-prefixed": (length, chunkLength) =>
    inMemory(length, chunkLength, decodeWith(lengthPrefixed(), addBytes), {
      delimiter: "",
      header: lengthHeader,
    }),
  "decode-text": (length, chunkLength) =>
    inMemory(length, chunkLength, decodeWith(lines(), addText)),
  "delimiter-stream": (length, chunkLength) =>
    inMemory(length, chunkLength, async (chunks, tally) => {
      for await (const message of pipe(chunks, new DelimiterStream("\n"))) {
        tally.add(message);
      }
    }),
};

await answerDriver(operations);
