/**
 * The operations of the module: the same code over each version, which a program passes
 * as a {@linkcode Version}.
 */

import {
  type Decode,
  inMemory,
  type InMemoryOptions,
  JSON_DELIMITER,
  jsonHeader,
  lengthHeader,
  pipe,
} from "./_in_memory.ts";
import {
  makeMessages,
  messageAt,
  type Operation,
  type Run,
  Tally,
} from "./subject.mjs";

type Bytes = Uint8Array<ArrayBuffer>;

/** The interface of a connection that all versions have. */
export interface Connection<Message> extends AsyncIterable<Message> {
  readonly readable: ReadableStream<Message>;
  readonly writable: WritableStream<Message>;
  send(message: Message): Promise<void>;
  request(message: Message): Promise<Message>;
  batches(): AsyncIterable<Iterable<Message>>;
  [Symbol.asyncDispose](): PromiseLike<void>;
}

/** The framing and the transport of a connection. */
export interface Wire {
  /** A length of 4 bytes before each message, or lines as bytes. */
  framing: "lines" | "prefixed";
  isTls: boolean;
}

/** The parts in which versions of the module differ. */
export interface Version {
  connect(port: number, wire: Wire): Promise<Connection<Bytes>>;
  connectText(port: number): Promise<Connection<string>>;
  /** Serves on a free port, and returns the port. */
  serve(
    handler: (connection: Connection<Bytes>) => Promise<void>,
    wire: Wire,
  ): number | Promise<number>;
  /** Serves lines of text; `tell` sends one to all connections. */
  serveText(
    handler: (
      connection: Connection<string>,
      tell: Record<"broadcast" | "loop", (line: string) => unknown>,
    ) => Promise<void>,
  ): number | Promise<number>;
  /** Decoders for the named framings. */
  decode: {
    lines: Decode;
    crlf: Decode;
    almost: Decode;
    prefixed: Decode;
    text: Decode;
    fatal: Decode;
    json: Decode;
  };
  /** A stream that cuts at line feeds. */
  delimiterStream(): TransformStream<Bytes, Uint8Array>;
}

/** The number of messages sent before one is awaited. */
const WINDOW = 512;

const LINES: Wire = { framing: "lines", isTls: false };
const PREFIXED: Wire = { framing: "prefixed", isTls: false };
const TLS: Wire = { framing: "lines", isTls: true };

/** The operations of the module in one version. */
export function operationsOf(version: Version): Record<string, Operation> {
  function receive(
    act: (connection: Connection<Bytes>, tally: Tally) => Promise<void>,
    wire = LINES,
  ): Operation {
    return () => async (port) => {
      await using connection = await version.connect(port, wire);
      const tally = new Tally();
      await act(connection, tally);
      return tally;
    };
  }

  function send(
    act: (
      connection: Connection<Bytes>,
      messages: Bytes[],
      count: number,
    ) => Promise<void>,
  ): Operation {
    return (length): Run => {
      const messages = makeMessages(length);
      return async (port, count) => {
        await using connection = await version.connect(port, LINES);
        await act(connection, messages, count);
        return new Tally();
      };
    };
  }

  function request(wire = LINES): Operation {
    return (length, _chunkLength, kind): Run => {
      const messages = makeMessages(length, kind);
      return async (port, count) => {
        await using connection = await version.connect(port, wire);
        const tally = new Tally();
        for (let sent = 0; sent < count; sent++) {
          tally.add(await connection.request(messageAt(messages, sent)));
        }
        return tally;
      };
    };
  }

  function echoBatches(wire = LINES): Operation {
    return () =>
      version.serve(async (connection) => {
        for await (const batch of connection.batches()) {
          let sent: Promise<void> | undefined;
          for (const message of batch) sent = connection.send(message);
          await sent;
        }
      }, wire);
  }

  /** A chat: greets each connection, and sends each line to all. */
  function chat(way: "broadcast" | "loop"): Operation {
    return (length) => {
      const greeting = new TextDecoder().decode(makeMessages(length)[0]);
      return version.serveText(async (connection, tell) => {
        await connection.send(greeting);
        for await (const line of connection) await tell[way](line);
      });
    };
  }

  function decode(act: Decode, options: InMemoryOptions = {}): Operation {
    return (length, chunkLength, kind) =>
      inMemory(length, chunkLength, act, { kind, ...options });
  }

  async function addBatches(
    connection: Connection<Bytes>,
    tally: Tally,
  ): Promise<void> {
    for await (const batch of connection.batches()) {
      for (const message of batch) tally.add(message);
    }
  }

  return {
    "receive-batches": receive(addBatches),
    "receive-looked-at": receive(async (connection, tally) => {
      for await (const batch of connection.batches()) {
        for (const message of batch) tally.addLookedAt(message);
      }
    }),
    "receive-prefixed": receive(addBatches, PREFIXED),
    "receive-tls": receive(addBatches, TLS),
    "receive-iterating": receive(async (connection, tally) => {
      for await (const message of connection) tally.add(message);
    }),
    "receive-readable": receive(async (connection, tally) => {
      for await (const message of connection.readable) tally.add(message);
    }),
    "receive-text": () => async (port) => {
      await using connection = await version.connectText(port);
      const tally = new Tally();
      for await (const line of connection) tally.addText(line);
      return tally;
    },
    "send-windowed": send(async (connection, messages, count) => {
      for (let sent = 0; sent < count; sent++) {
        const hasRoom = connection.send(messageAt(messages, sent));
        if (sent % WINDOW === WINDOW - 1) await hasRoom;
      }
    }),
    "send-writer": send(async (connection, messages, count) => {
      const writer = connection.writable.getWriter();
      for (let sent = 0; sent < count; sent++) {
        await writer.ready;
        writer.write(messageAt(messages, sent));
      }
      await writer.close();
    }),
    "send-awaited": send(async (connection, messages, count) => {
      for (let sent = 0; sent < count; sent++) {
        await connection.send(messageAt(messages, sent));
      }
    }),
    "request": request(),
    "request-tls": request(TLS),
    "echo-batches": echoBatches(),
    "echo-tls": echoBatches(TLS),
    "echo-iterating": () =>
      version.serve(async (connection) => {
        for await (const message of connection) await connection.send(message);
      }, LINES),
    "broadcast": chat("broadcast"),
    "broadcast-loop": chat("loop"),
    "decode-lines": decode(version.decode.lines),
    "decode-crlf": decode(version.decode.crlf, { delimiter: "\r\n" }),
    "decode-almost": decode(version.decode.almost, { delimiter: "aab" }),
    "decode-prefixed": decode(version.decode.prefixed, {
      delimiter: "",
      header: lengthHeader,
    }),
    "decode-lines-apart": decode(version.decode.lines, { areApart: true }),
    "decode-prefixed-apart": decode(version.decode.prefixed, {
      delimiter: "",
      header: lengthHeader,
      areApart: true,
    }),
    "decode-text": decode(version.decode.text),
    "decode-fatal": decode(version.decode.fatal),
    "decode-json": decode(version.decode.json, {
      delimiter: JSON_DELIMITER,
      header: jsonHeader,
    }),
    "delimiter-stream": decode(async (chunks, tally) => {
      for await (const message of pipe(chunks, version.delimiterStream())) {
        // In this version an empty part follows the last delimiter.
        if (message.length > 0) tally.add(message);
      }
    }),
  };
}

/** Adds a message of bytes. */
export function addBytes(tally: Tally, message: Uint8Array): void {
  tally.add(message);
}

/** Adds a message of text. */
export function addText(tally: Tally, message: string): void {
  tally.addText(message);
}

/** Adds the text of an object that starts with {@linkcode jsonHeader}. */
export function addJson(tally: Tally, message: unknown): void {
  if (typeof message === "object" && message !== null && "text" in message) {
    tally.addText(`${message.text}`);
  }
}
