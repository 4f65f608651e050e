/**
 * Deno alone: `conn.read` and `conn.write`, `conn.readable` and `conn.writable`. Most
 * operations do not look for messages, and so show the lower limit.
 */

import { inMemory } from "./_in_memory.ts";
import { caCerts, certificate } from "../../testdata/certificates.ts";
import {
  answerDriver,
  makeFrames,
  messageAt,
  type Operation,
  type Run,
  Tally,
} from "./subject.mjs";

const hostname = "127.0.0.1";
const READ_BUFFER_LENGTH = 2 ** 16;
const ECHO_BUFFER_LENGTH = 2 ** 12;
const SMALL_BUFFER_LENGTH = 512;

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await conn.write(bytes.subarray(written));
  }
}

/** Views of `length` bytes each: messages whose ends are known. */
function viewsOf(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array[] {
  const { buffer, byteOffset } = bytes;
  const views: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += length) {
    const viewLength = Math.min(length, bytes.length - start);
    views.push(new Uint8Array(buffer, byteOffset + start, viewLength));
  }
  return views;
}

/** Copies each message, as a program that changes it would. */
function copying(
  length: number,
): (bytes: Uint8Array<ArrayBuffer>) => Uint8Array {
  const copies = new Uint8Array(ECHO_BUFFER_LENGTH);
  return (bytes) => {
    let copied = 0;
    for (const view of viewsOf(bytes, length)) {
      copies.set(view, copied);
      copied += view.length;
    }
    return copies.subarray(0, copied);
  };
}

function serveEach<Conn extends Deno.Conn>(
  listener: Deno.Listener<Conn, Deno.NetAddr>,
  act: (conn: Conn) => Promise<void>,
): number {
  (async () => {
    for await (const conn of listener) act(conn);
  })();
  return listener.addr.port;
}

function serveTcp(act: (conn: Deno.TcpConn) => Promise<void>): number {
  return serveEach(Deno.listen({ hostname, port: 0 }), (conn) => {
    conn.setNoDelay(true);
    return act(conn);
  });
}

async function echo(
  conn: Deno.Conn,
  answerTo: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array,
  bufferLength = ECHO_BUFFER_LENGTH,
): Promise<void> {
  const buffer = new Uint8Array(bufferLength);
  for (;;) {
    const length = await conn.read(buffer);
    if (length === null) break;
    await writeAll(conn, answerTo(buffer.subarray(0, length)));
  }
  conn.close();
}

async function connectTcp(port: number): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname, port });
  conn.setNoDelay(true);
  return conn;
}

async function connectTls(port: number): Promise<Deno.TlsConn> {
  return await Deno.startTls(await connectTcp(port), { hostname, caCerts });
}

/** Requests one message after the other, with a read buffer of the given length. */
function request(
  frames: Uint8Array<ArrayBuffer>[],
  bufferLength: number,
  connect: (port: number) => Promise<Deno.Conn> = connectTcp,
): Run {
  return async (port, count) => {
    using conn = await connect(port);
    const tally = new Tally();
    const buffer = new Uint8Array(bufferLength);
    for (let sent = 0; sent < count; sent++) {
      const frame = messageAt(frames, sent);
      await writeAll(conn, frame);
      for (let filled = 0; filled < frame.length;) {
        const read = await conn.read(buffer.subarray(filled));
        if (read === null) {
          throw new Deno.errors.UnexpectedEof("The far side closed");
        }
        filled += read;
      }
      tally.add(buffer.subarray(0, frame.length - 1));
    }
    return tally;
  };
}

/** Reads to the end, without looking at the bytes. */
function receive(connect: (port: number) => Promise<Deno.Conn>): Run {
  return async (port) => {
    using conn = await connect(port);
    const tally = new Tally();
    const buffer = new Uint8Array(READ_BUFFER_LENGTH);
    for (
      let length = await conn.read(buffer);
      length !== null;
      length = await conn.read(buffer)
    ) {
      tally.bytes += length;
    }
    return tally;
  };
}

const operations: Record<string, Operation> = {
  "receive-read": () => receive(connectTcp),
  "receive-tls": () => receive(connectTls),
  // The receiver keeps the messages, so each read has its own buffer.
  "receive-views": (length) => async (port) => {
    using conn = await Deno.connect({ hostname, port });
    const tally = new Tally();
    for (;;) {
      const buffer = new Uint8Array(READ_BUFFER_LENGTH);
      const read = await conn.read(buffer);
      if (read === null) break;
      const views = viewsOf(buffer.subarray(0, read), length + 1);
      for (const view of views) tally.add(view);
    }
    return tally;
  },
  "receive-readable": () => async (port) => {
    const conn = await Deno.connect({ hostname, port });
    const tally = new Tally();
    for await (const chunk of conn.readable) tally.bytes += chunk.length;
    return tally;
  },
  "send-write": (length) => {
    const frames = makeFrames(length);
    return async (port, count) => {
      using conn = await connectTcp(port);
      for (let sent = 0; sent < count; sent++) {
        await writeAll(conn, messageAt(frames, sent));
      }
      return new Tally();
    };
  },
  "send-writer": (length) => {
    const frames = makeFrames(length);
    return async (port, count) => {
      const conn = await connectTcp(port);
      const writer = conn.writable.getWriter();
      for (let sent = 0; sent < count; sent++) {
        await writer.ready;
        writer.write(messageAt(frames, sent));
      }
      await writer.close();
      return new Tally();
    };
  },
  // If the answer fills the buffer and is already there, the read takes one turn of the
  // event loop less: only a read that leaves room shows that a socket is empty.
  "request": (length) => request(makeFrames(length), length + 1),
  "request-any-length": (length, _chunkLength, kind) =>
    request(makeFrames(length, kind), READ_BUFFER_LENGTH),
  "request-tls": (length) =>
    request(makeFrames(length), READ_BUFFER_LENGTH, connectTls),
  "echo": () => serveTcp((conn) => echo(conn, (bytes) => bytes)),
  "echo-small": () =>
    serveTcp((conn) => echo(conn, (bytes) => bytes, SMALL_BUFFER_LENGTH)),
  "echo-tls": () =>
    serveEach(
      Deno.listenTls({ hostname, port: 0, ...certificate }),
      (conn) => echo(conn, (bytes) => bytes),
    ),
  "echo-views": (length) => serveTcp((conn) => echo(conn, copying(length + 1))),
  "broadcast": (length) => {
    const greeting = messageAt(makeFrames(length), 0);
    const conns: Deno.Conn[] = [];
    return serveTcp(async (conn) => {
      conns.push(conn);
      await writeAll(conn, greeting);
      const buffer = new Uint8Array(ECHO_BUFFER_LENGTH);
      for (;;) {
        const read = await conn.read(buffer);
        if (read === null) return;
        const bytes = buffer.slice(0, read);
        for (const each of conns) writeAll(each, bytes);
      }
    });
  },
  "decode-views": (length, chunkLength) =>
    inMemory(length, chunkLength, (chunks, tally) => {
      for (const chunk of chunks) {
        for (const view of viewsOf(chunk, length + 1)) tally.add(view);
      }
    }),
  "scan": (length, chunkLength) =>
    inMemory(length, chunkLength, (chunks, tally) => {
      for (const chunk of chunks) {
        for (
          let at = chunk.indexOf(10);
          at !== -1;
          at = chunk.indexOf(10, at + 1)
        ) tally.count++;
        tally.bytes += chunk.length;
      }
    }),
};

await answerDriver(operations);
