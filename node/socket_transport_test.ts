import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { PassThrough } from "node:stream";
import { connect as dialTls, createSecureContext, TLSSocket } from "node:tls";
import { addressesOf, transportOf } from "./_socket_transport.ts";
import { serve } from "./serve.ts";
import { socketTransport } from "./socket_transport.ts";
import { Connection } from "../connection/connection.ts";
import { readProxyHeader } from "../connection/proxy_protocol.ts";
import type { Transport } from "../connection/transport.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { lines } from "../framing/lines.ts";

/** Two ends of one TCP connection over loopback. */
async function sockets(): Promise<
  AsyncDisposable & { near: Socket; far: Socket }
> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const near = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [[far]] = await Promise.all([
    once(server, "connection"),
    once(near, "connect"),
  ]);
  const closed = once(server, "close");
  server.close();
  assert(far instanceof Socket);
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      for (const socket of [near, far]) {
        if (socket.closed) continue;
        const isClosed = once(socket, "close").catch(() => {});
        socket.destroy();
        await isClosed;
      }
      await closed;
    },
  };
}

async function readToEnd(transport: Transport): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1000);
  let text = "";
  for (;;) {
    const length = await transport.read(buffer);
    if (length === null) return text;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

Deno.test("socketTransport() refuses what is no socket", () => {
  for (const wrong of [undefined, null, "127.0.0.1:80", {}]) {
    assertThrows(
      () => socketTransport(wrong as never),
      TypeError,
      "socket.pause must be a function",
    );
  }
  const duplex = new PassThrough();
  assertThrows(
    () => socketTransport(duplex as never),
    TypeError,
    "socket.unref must be a function",
  );
  assertEquals(duplex.listenerCount("data"), 0); // it is still its owner's
});

Deno.test("socketTransport() refuses a socket that is not connected", () => {
  assertThrows(() => socketTransport(new Socket()), TypeError, "connected");
});

Deno.test("socketTransport() refuses a socket with an encoding", async () => {
  await using ends = await sockets();
  ends.near.setEncoding("utf8");
  assertThrows(() => socketTransport(ends.near), TypeError, "utf8");
});

Deno.test("socketTransport() reports that a side had ended before", async () => {
  await using ends = await sockets();
  ends.far.end();
  ends.near.resume();
  await once(ends.near, "end");
  const near = socketTransport(ends.near);
  assertEquals(await readToEnd(near), "");

  const far = socketTransport(ends.far);
  const error = await assertRejects(() => far.write(new Uint8Array(1)));
  assertInstanceOf(error, Error);
  assertEquals(error.name, "BrokenPipe");
  await far.closeWrite();
});

Deno.test("transportOf() rejects calls on a socket that was closed while it waited", async () => {
  await using ends = await sockets();
  const addresses = addressesOf(ends.near);
  ends.near.on("error", () => {});
  ends.near.destroy(new Error("gone"));
  await new Promise((resolve) => ends.near.once("close", resolve));
  const near = transportOf(ends.near, addresses);
  await assertRejects(() => near.read(new Uint8Array(1)), Error, "gone");
  await assertRejects(() => near.write(new Uint8Array(1)), Error, "gone");
  near.close();
});

Deno.test("socketTransport() does not report a reset as an end", async () => {
  await using ends = await sockets();
  const near = socketTransport(ends.near);
  const reading = readToEnd(near);
  reading.catch(() => {});
  ends.far.write("cut", () => ends.far.resetAndDestroy());
  const error = await assertRejects(() => reading);
  assertInstanceOf(error, Error);
  assertEquals(error.name, "ConnectionReset");
});

Deno.test("socketTransport() refuses an invalid keepAliveInitialDelay", async () => {
  await using ends = await sockets();
  assertThrows(
    () => socketTransport(ends.near, { keepAliveInitialDelay: -1 }),
    RangeError,
    "keepAliveInitialDelay",
  );
});

Deno.test("socketTransport() takes a TCP socket whose peer has reset it already", async () => {
  await using ends = await sockets();
  // As the system reports it then, before the socket does.
  for (const name of ["remoteAddress", "remotePort", "remoteFamily"]) {
    Object.defineProperty(ends.near, name, { value: undefined });
  }
  await using connection = new Connection(socketTransport(ends.near), {
    framing: lines(),
    keepAlive: true,
    noDelay: false,
  });
  assertEquals(connection.localAddr?.transport, "tcp");
  assertEquals(connection.remoteAddr, undefined);
});

Deno.test("socketTransport() gives its addresses, also when it is closed", async () => {
  await using ends = await sockets();
  const transport = socketTransport(ends.near);
  transport.close();
  const { localAddr, remoteAddr } = transport;
  assert(localAddr?.transport === "tcp" && remoteAddr?.transport === "tcp");
  assertEquals(localAddr.hostname, "127.0.0.1");
  assert(localAddr.port > 0 && localAddr.port !== remoteAddr.port);
});

Deno.test("socketTransport() reads a chunk in pieces, and the end after it", async () => {
  await using ends = await sockets();
  const transport = socketTransport(ends.near);
  ends.far.end("hello");
  const buffer = new Uint8Array(2);
  const lengths: (number | null)[] = [];
  for (let i = 0; i < 4; i++) lengths.push(await transport.read(buffer));
  assertEquals(lengths, [2, 2, 1, null]);
});

Deno.test("socketTransport() can be written to after the peer's end", async () => {
  await using ends = await sockets();
  const [near, far] = [socketTransport(ends.near), socketTransport(ends.far)];
  await far.closeWrite();
  assertEquals(await readToEnd(near), "");
  await near.write(new TextEncoder().encode("still here"));
  await near.closeWrite();
  assertEquals(await readToEnd(far), "still here");
});

Deno.test("socketTransport() waits for a peer that does not read, and continues with it", async () => {
  await using ends = await sockets();
  const [near, far] = [socketTransport(ends.near), socketTransport(ends.far)];
  const bytes = new Uint8Array(64 * 1024);
  const pieces = 500; // more than the kernel takes
  let written = 0;
  const writing = (async () => {
    for (let i = 0; i < pieces; i++) written += await near.write(bytes);
    await near.closeWrite();
  })();
  const buffer = new Uint8Array(1000);
  let read = await far.read(buffer) ?? 0;
  assert(written < pieces * bytes.length, `${written} bytes`);
  for (;;) {
    const length = await far.read(buffer);
    if (length === null) break;
    read += length;
  }
  await writing;
  assertEquals([written, read], [pieces * bytes.length, written]);
});

Deno.test("socketTransport() keeps the process alive for a write or closeWrite() after unref()", async () => {
  await using ends = await sockets();
  const transport = socketTransport(ends.near);
  const calls: string[] = [];
  for (const name of ["ref", "unref"] as const) {
    const call = ends.near[name].bind(ends.near);
    Object.defineProperty(ends.near, name, {
      value: () => (calls.push(name), call()),
    });
  }
  transport.unref?.();
  const reading = transport.read(new Uint8Array(1));
  assertEquals(calls, []);
  await transport.closeWrite();
  assertEquals(calls, ["ref", "unref"]);
  transport.ref?.();
  ends.far.end();
  assertEquals(await reading, null);
});

Deno.test("socketTransport() rejects pending and later calls when it is closed", async () => {
  await using ends = await sockets();
  const transport = socketTransport(ends.near);
  const reading = transport.read(new Uint8Array(1));
  transport.close();
  assertEquals((await assertRejects(() => reading, Error)).name, "Interrupted");
  for (
    const act of [
      () => transport.read(new Uint8Array(1)),
      () => transport.write(new Uint8Array(1)),
      () => transport.closeWrite(),
    ]
  ) assertEquals((await assertRejects(act, Error)).name, "BadResource");
});

Deno.test("socketTransport() rejects calls after an error of its socket with that error", async () => {
  await using pair = await sockets();
  const transport = socketTransport(pair.near);
  const closed = once(pair.near, "close").catch(() => {});
  pair.near.destroy(
    Object.assign(new Error("wire cut"), { code: "ECONNRESET" }),
  );
  await closed;
  const buffer = new Uint8Array(1);
  for (
    const call of [() => transport.read(buffer), () => transport.write(buffer)]
  ) {
    const error = await assertRejects(call, Error, "wire cut");
    assertEquals(error.name, "ConnectionReset");
  }
  transport.close();
});

Deno.test("socketTransport() reports bytes that are not TLS on a socket that no server of Node has accepted", async () => {
  await using ends = await sockets();
  const below = socketTransport(ends.near);
  const client = new Connection(below, { framing: lines() });
  const socket = new TLSSocket(ends.far, {
    isServer: true,
    secureContext: createSecureContext(certificate),
  });
  await Promise.all([
    once(socket, "secure"),
    client.startTls({ serverName: "localhost", caCerts }),
  ]);
  const server = new Connection(socketTransport(socket), { framing: lines() });
  client.send("one");
  assertEquals(await server.receive(), "one");
  await below.write(new Uint8Array(50));
  const error = await assertRejects(() => server.receive(), Error);
  assertEquals(error.name, "InvalidData");
  client.abort();
  await client.closed.catch(() => {});
});

Deno.test("readProxyHeader() refuses a node:tls socket, whose header would come after the handshake", async () => {
  await using server = await serve({
    hostname: "127.0.0.1",
    port: 0,
    framing: lines(),
    tls: certificate,
  }, (connection) => connection.send("PROXY UNKNOWN\r"));
  const socket = dialTls({
    host: "127.0.0.1",
    port: server.addr.port,
    ca: caCerts,
  });
  await once(socket, "secureConnect");
  const transport = socketTransport(socket);
  await assertRejects(
    () => readProxyHeader(transport, (client) => client),
    TypeError,
    "before TLS",
  );
  const closed = once(socket, "close");
  transport.close();
  await closed;
});

Deno.test("socketTransport() rejects a write that the system refuses", async () => {
  await using pair = await sockets();
  const transport = socketTransport(pair.near);
  const refused = Object.assign(new Error("refused"), { code: "EPIPE" });
  Object.defineProperty(pair.near, "writableLength", { value: 1 }); // there is no room
  Object.assign(pair.near, {
    write: (_bytes: Uint8Array, done: (error: Error) => void) =>
      queueMicrotask(() => done(refused)),
  });
  const error = await assertRejects(() => transport.write(new Uint8Array(1)));
  assert(error instanceof Error);
  assertEquals(error.name, "BrokenPipe");
  transport.close();
});

Deno.test("socketTransport() refuses to write after its end, as Deno does", async () => {
  await using ends = await sockets();
  const transport = socketTransport(ends.near);
  await transport.closeWrite();
  await transport.closeWrite(); // does nothing more
  const error = await assertRejects(
    () => transport.write(new Uint8Array(1)),
    Error,
  );
  assertEquals(error.name, "BrokenPipe");
});

Deno.test("Connection.abort() resets a node:net socket", async () => {
  await using ends = await sockets();
  const options = { framing: lines() };
  const near = new Connection(socketTransport(ends.near), options);
  const far = new Connection(socketTransport(ends.far), options);
  await near.send("one");
  assertEquals(await far.receive(), "one");
  near.abort();
  const error = await assertRejects(() => far.receive());
  assertInstanceOf(error, Error);
  assertEquals(
    [error.name, Reflect.get(error, "code")],
    ["ConnectionReset", "ECONNRESET"],
  );
  await near.closed.catch(() => {});
  await far.closed.catch(() => {});
});

Deno.test("Connection.abort() ends a socket that is ending its side", async () => {
  await using ends = await sockets();
  const near = new Connection(socketTransport(ends.near), { framing: lines() });
  near.closeWrite();
  near.abort();
  await near.closed.catch(() => {});
  if (!ends.near.closed) await once(ends.near, "close");
  assertEquals(ends.near.destroyed, true);
});
