import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import {
  type AddressInfo,
  connect as dial,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import process from "node:process";
import { connect as dialTls, createServer as createTlsServer } from "node:tls";
import { Worker } from "node:worker_threads";
import { SocketListener } from "./_accepting.ts";
import { connect } from "./connect.ts";
import type {
  ConnectTcpOptions,
  ServeOptions,
  ServeTcpOptions,
  ServeTlsOptions,
  ServeUnixOptions,
} from "./options.ts";
import { reconnect } from "./reconnect.ts";
import { serve } from "./serve.ts";
import { socketTransport } from "./socket_transport.ts";
import { Connection } from "../connection/connection.ts";
import type { Address, Transport } from "../connection/transport.ts";
import type { ConnectionHandler } from "../server/handler.ts";
import type { ServeListener } from "../server/serve_listener.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { lines } from "../framing/lines.ts";
import { nextTurn } from "../internal/event_loop.ts";

const framing = lines();
const loopback = { hostname: "127.0.0.1", port: 0, framing };

async function echo(connection: Connection<string, string>): Promise<void> {
  for await (const line of connection) await connection.send(line);
}

Deno.test("serve() of node.ts throws immediately for invalid options", () => {
  const cases: [object, ErrorConstructor, string][] = [
    [{ framing: undefined }, TypeError, "framing"],
    [{ port: 65_536 }, RangeError, "port"],
    [{ heartbeat: { interval: 1, message: "\n" } }, TypeError, "line"],
    [{ backlog: 0 }, RangeError, "backlog"],
    [{ tcpBacklog: 1 }, TypeError, "backlog"],
    [{ reusePort: true }, TypeError, "reusePort"],
    [{ proxyProtocol: 1 }, TypeError, "proxyProtocol"],
    [{ proxyProtocol: true, tls: certificate }, TypeError, "with tls"],
    [{ proxyProtocol: true, path: "/x" }, TypeError, "with path"],
    [{ keepAliveInitialDelay: NaN }, RangeError, "keepAliveInitialDelay"],
    [{ tls: { cert: "x" } }, TypeError, "key"],
    // Node would accept connections, and refuse each handshake.
    [{ tls: { cert: "", key: "" } }, TypeError, "tls.cert"],
    [{ handshakeTimeout: 1 }, TypeError, "handshakeTimeout"],
    [{ cert: "x" }, TypeError, "tls"],
    [{ exclusive: 1 }, TypeError, "exclusive"],
    [{ ipv6Only: "no" }, TypeError, "ipv6Only"],
    [{ path: "/x", port: undefined, ipv6Only: true }, TypeError, "ipv6Only"],
    [{ path: "/x" }, TypeError, "port"],
    [{ listener: createServer(), port: undefined }, TypeError, "listen"],
    [{ listener: {}, port: undefined }, TypeError, "listener"],
  ];
  for (const [options, type, message] of cases) {
    const all: object = { port: 0, framing, ...options };
    assertThrows(() => serve(all as ServeTcpOptions, () => {}), type, message);
  }
});

Deno.test("serve() of node.ts refuses options that do not fit its listener, and leaves it open", async () => {
  const begin = serve; // in Node, calls of a name that starts with serve are awaited
  const { cert, key } = certificate;
  const cases: [Server, object, string][] = [
    [createServer(), { handshakeTimeout: 1 }, "handshakeTimeout"],
    [createServer(), { maxHandshakes: 1 }, "maxHandshakes"],
    [
      createTlsServer({ cert, key }),
      { handshakeTimeout: 1 },
      "does the handshake",
    ],
    [createTlsServer({ cert, key }), { proxyProtocol: true }, "before TLS"],
  ];
  for (const [listener, options, message] of cases) {
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    assertThrows(
      () => begin({ listener, framing, ...options }, () => {}),
      TypeError,
      message,
    );
    assert(listener.listening);
    const closed = once(listener, "close");
    listener.close();
    await closed;
  }
});

Deno.test("Server.shutdown() of node.ts closes a peer that starts the tls.Server handshake after the shutdown", async () => {
  const { cert, key } = certificate;
  const listener = createTlsServer({ cert, key });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const server = await serve({ listener, framing }, () => {});
  const { addr } = server;
  assert(addr.transport === "tcp");
  const accepted = once(listener, "connection");
  const socket = dial(addr.port, "127.0.0.1");
  await accepted;
  await server.shutdown();

  const [closed, allClosed] = [socket, listener].map((it) => once(it, "close"));
  const client = dialTls({ socket, host: "localhost", ca: caCerts });
  client.on("error", () => {}); // closed during the handshake
  client.resume();
  await Promise.all([closed, allClosed]);
});

Deno.test("serve() and connect() of node.ts have types that reject options which exclude each other", () => {
  // Not called: the type checker is the test.
  void ((
    tls: ServeTlsOptions,
    listener: Server,
    own: ServeListener,
    either: ServeTcpOptions<string> | ServeUnixOptions<string>,
    any: ServeOptions<string>,
    checked: (address: Address) => void,
    checks: ConnectionHandler<string>,
  ) => [
    // @ts-expect-error: one address
    connect({ framing, port: 1, path: "/x" }),
    // @ts-expect-error: a Unix socket has no TLS
    connect({ framing, path: "/x", tls: true }),
    // @ts-expect-error: a Unix socket has no TLS
    serve({ framing, path: "/x", tls }, echo),
    // @ts-expect-error: it is no address
    serve({ framing, path: "/x", ipv6Only: true }, echo),
    // @ts-expect-error: it has its address already
    serve({ framing, listener, port: 1 }, echo),
    // A server over a Unix socket has a path.
    serve({ framing, path: "/x" }, echo)
      .then(({ addr }) => connect({ framing, path: addr.path })),
    serve(
      { framing, path: "/x", onListen: ({ path }) => void path.length },
      echo,
    ),
    // Peers of both kinds of listener have addresses.
    serve(either, (_, { remoteAddr }) => checked(remoteAddr)),
    serve({ framing, listener }, checks),
    // @ts-expect-error: a listener's peers may have none
    serve(any, (_, { remoteAddr }) => checked(remoteAddr)),
    // @ts-expect-error: nor by a handler that says so
    serve({ framing, listener: own }, checks),
  ]);
});

Deno.test("serve() of node.ts rejects with the reason of a signal that aborts while it begins to listen", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const begin = serve; // in Node, calls of a name that starts with serve are awaited
  const serving = begin({ ...loopback, signal }, () => {});
  controller.abort(new Error("enough"));
  await assertRejects(() => serving, Error, "enough");
});

Deno.test("serve() of node.ts reports an error of accepting, and continues", async () => {
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const reported = Promise.withResolvers<unknown>();
  await using server = await serve({
    listener,
    framing,
    onError: (error) => reported.resolve(error),
  }, echo);
  assert(server.addr?.transport === "tcp");
  const { port } = server.addr;
  await using first = await connect({ port, framing });
  assertEquals(await first.request("one"), "one");
  const failure = Object.assign(new Error("too many"), { code: "EMFILE" });
  listener.emit("error", failure);
  const error = await reported.promise;
  assert(error instanceof Error && error.message.includes("accept"));
  await using second = await connect({ port, framing });
  assertEquals(await second.request("two"), "two");
});

Deno.test("serve() of node.ts takes a listener whose transports are not sockets", async () => {
  const { promise: closed, resolve: close } = Promise.withResolvers<never>();
  closed.catch(() => {});
  const [near, far] = transportPair();
  const transports: Transport[] = [far];
  const server = await serve({
    listener: {
      addr: { transport: "tcp", hostname: "memory", port: 1 },
      accept: () => Promise.resolve(transports.pop() ?? closed),
      close: () => close(Promise.reject(new Error("closed"))),
    },
    framing,
    onError() {},
  }, echo);
  const error = assertThrows(() => server.unref(), Error, "no method unref");
  assertEquals(error.name, "NotSupported");
  server.ref(); // the option would have no effect
  await using client = new Connection(near, { framing });
  assertEquals(await client.request("hello"), "hello");
  await client.close();
  await server.shutdown();
});

Deno.test("serve() of node.ts gives the ALPN protocol of a transport's handshake", async () => {
  const cases = [
    [{ alpnProtocol: "framed" }, "framed"],
    [{ alpnProtocol: null }, "null"],
    // Other options do not replace the transport's own.
    [{}, "own"],
    [true, "own"],
    [null, "own"],
    [undefined, "own"],
  ] as const;
  for (const [agreed, expected] of cases) {
    const { promise: closed, reject: close } = Promise.withResolvers<never>();
    closed.catch(() => {});
    const [near, far] = transportPair();
    const transports: Transport[] = [
      Object.assign(far, {
        alpnProtocol: "own",
        handshake: () => Promise.resolve(agreed),
      }),
    ];
    const server = await serve({
      listener: {
        addr: { transport: "tcp", hostname: "memory", port: 1 },
        accept: () => Promise.resolve(transports.pop() ?? closed),
        close: () => close(new Error("closed")),
      },
      framing,
      onError() {},
    }, (connection) => connection.send(`${connection.alpnProtocol}`));
    await using client = new Connection(near, { framing });
    assertEquals(await client.receive(), expected);
    await client.close();
    await server.shutdown();
  }
});

Deno.test("Server.unref() and ref() of node.ts apply to a transport that waits for a PROXY header", async () => {
  const calls: string[] = [];
  const accepting = Promise.withResolvers<void>();
  const { promise: closed, reject: close } = Promise.withResolvers<never>();
  closed.catch(() => {});
  const [near, far] = transportPair();
  const transports: Transport[] = [
    Object.assign(far, {
      ref: () => void calls.push("ref"),
      unref: () => void calls.push("unref"),
    }),
  ];
  const server = await serve({
    listener: {
      addr: { transport: "tcp", hostname: "memory", port: 1 },
      accept() {
        const transport = transports.pop();
        if (transport !== undefined) return Promise.resolve(transport);
        accepting.resolve();
        return closed;
      },
      close: () => close(new Error("closed")),
      unref() {},
    },
    framing,
    proxyProtocol: true,
    onError() {},
  }, echo);
  await accepting.promise; // connections accepted earlier wait
  server.unref();
  server.ref();
  assertEquals(calls, ["unref", "ref"]);
  near.close();
  await server.shutdown();
});

Deno.test("serve() of node.ts rejects with AddrInUse if the port is in use", async () => {
  await using server = await serve(loopback, () => {});
  const { port } = server.addr;
  const error = await assertRejects(
    () => serve({ ...loopback, port }, () => {}),
    Error,
    `Cannot listen on 127.0.0.1:${port}: `,
  );
  assertEquals(
    [error.name, Reflect.get(error, "code")],
    ["AddrInUse", "EADDRINUSE"],
  );
});

Deno.test("serve() of node.ts stops listening if onListen throws", async () => {
  const ports: number[] = [];
  await assertRejects(
    () =>
      serve({
        ...loopback,
        onListen({ port }) {
          ports.push(port);
          throw new Error("Enough");
        },
      }, () => {}),
    Error,
    "Enough",
  );
  const [port = 0] = ports;
  await using _server = await serve({ ...loopback, port }, () => {});
});

Deno.test({
  name: "serve() of node.ts rejects an invalid certificate",
  ignore: "deno" in process.versions, // its node:tls checks the certificate later
  async fn() {
    const tls = { cert: "no certificate", key: "no key" };
    const error = await assertRejects(
      () => serve({ ...loopback, tls }, () => {}),
      Error,
    );
    assertEquals(error.name, "InvalidData");
  },
});

Deno.test("serve() of node.ts distinguishes an end during the handshake from invalid data", async () => {
  const told = Promise.withResolvers<unknown>();
  await using server = await serve(
    { ...loopback, tls: certificate, onError: told.resolve },
    () => {},
  );
  const socket = dial(server.addr.port, "127.0.0.1");
  socket.end();
  const error = await told.promise;
  assertInstanceOf(error, Error);
  assertEquals(error.name, "UnexpectedEof");
  assertMatch(
    error.message,
    /^Cannot shake hands with 127\.0\.0\.1:\d+: the peer has ended the connection$/,
  );
  socket.destroy();
});

Deno.test("serve() of node.ts agrees with its client on a protocol by ALPN", async () => {
  const alpnProtocols = ["b", "a"];
  await using server = await serve(
    { ...loopback, tls: { ...certificate, alpnProtocols } },
    (connection) => connection.send(`${connection.alpnProtocol}`),
  );
  await using client = await connect({
    port: server.addr.port,
    framing,
    tls: { caCerts, alpnProtocols: ["a"] },
  });
  assertEquals([client.alpnProtocol, await client.receive()], ["a", "a"]);
});

// startTls() distinguishes a cut from an end; sockets of node:tls do not.
Deno.test("serve() of node.ts ends TLS when it closes a connection that has sent nothing", async () => {
  await using server = await serve({ ...loopback, tls: certificate }, () => {});
  await using client = await connect({ port: server.addr.port, framing });
  await client.startTls({ serverName: "localhost", caCerts });
  assertEquals(await client.receive(), undefined);
});

Deno.test("connect() of node.ts ends TLS when it closes a connection that has sent nothing", async () => {
  const received = Promise.withResolvers<unknown>();
  await using server = await serve(loopback, async (connection) => {
    await connection.startTls({ side: "server", ...certificate });
    const receiving = connection.receive();
    received.resolve(receiving);
    await receiving;
  });
  const client = await connect({
    port: server.addr.port,
    framing,
    tls: { caCerts },
  });
  await client.close();
  assertEquals(await received.promise, undefined);
});

Deno.test("serve() of node.ts takes a net.Server that listens, and closes it", async () => {
  const listener = createServer();
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const closed = once(listener, "close");
  const server = await serve({ listener, framing }, async (connection) => {
    const received = await Array.fromAsync(connection);
    await connection.send(`${received}`); // after the peer's end
  });
  assert(server.addr.transport === "tcp");
  await using client = await connect({ port: server.addr.port, framing });
  await client.send("hello");
  await client.closeWrite();
  assertEquals(await client.receive(), "hello");
  await server.shutdown();
  await closed;
});

Deno.test({
  name:
    "serve() of node.ts takes a net.Server on a Unix socket whose path is unknown",
  ignore: process.platform === "win32",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/app.sock`;
    try {
      for (const address of [null, {}]) { // in Node and in Bun
        const listener = createServer();
        listener.listen(path);
        await once(listener, "listening");
        Object.assign(listener, { address: () => address });
        await using server = await serve({ listener, framing }, echo);
        assertEquals(server.addr, { transport: "unix", path: null });
        await using client = await connect({ path, framing });
        assertEquals(await client.request("hello"), "hello");
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("serve() of node.ts takes a tls.Server that listens", async () => {
  const { cert, key } = certificate;
  const listener = createTlsServer({ cert, key, ALPNProtocols: ["framed"] });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  await using server = await serve({ listener, framing }, echo);
  const { addr } = server;
  assert(addr?.transport === "tcp");
  await using client = await connect({
    port: addr.port,
    framing,
    tls: { caCerts, alpnProtocols: ["framed"] },
  });
  assertEquals(await client.request("hello"), "hello");
  const [served] = server.connections;
  assertEquals(served?.alpnProtocol, "framed");
});

Deno.test({
  name: "serve() of node.ts gives the ALPN protocol of TLS over a Unix socket",
  ignore: process.platform === "win32",
  async fn() {
    const folder = await Deno.makeTempDir();
    const { cert, key } = certificate;
    const listener = createTlsServer({ cert, key, ALPNProtocols: ["framed"] });
    try {
      const path = `${folder}/app.sock`;
      listener.listen(path);
      await once(listener, "listening");
      const served: unknown[] = [];
      await using _server = await serve({ listener, framing }, (connection) => {
        served.push(connection.alpnProtocol);
      });
      const socket = dialTls({
        path,
        ca: caCerts,
        servername: "localhost",
        ALPNProtocols: ["framed"],
      });
      await once(socket, "connect");
      const transport = socketTransport(socket); // before its handshake
      await using client = new Connection(transport, { framing });
      assertEquals(await client.receive(), undefined);
      assertEquals(client.alpnProtocol, "framed");
      assertEquals(served, ["framed"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("serve() of node.ts ends when the owner closes its listener", async () => {
  const listener = createServer();
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const server = await serve({ listener, framing }, () => {});
  listener.close();
  await server.finished;
});

Deno.test("serve() of node.ts reads nothing from connections above maxConnections", async () => {
  await using server = await serve({ ...loopback, maxConnections: 1 }, echo);
  const { port } = server.addr;
  const first = await connect({ port, framing });
  assertEquals(await first.request("one"), "one");
  await using second = await connect({ port, framing });
  const answer = second.request("two");
  assertEquals(await first.request("three"), "three");
  assertEquals(server.connections.size, 1);
  await first.close();
  assertEquals(await answer, "two");
});

Deno.test("serve() of node.ts frees the place of a peer that resets before its TLS handshake", async () => {
  const told = Promise.withResolvers<unknown>();
  await using server = await serve({
    ...loopback,
    tls: certificate,
    backlog: 1,
    maxHandshakes: 1,
    handshakeTimeout: 2 ** 31 - 1,
    onError: told.resolve,
  }, echo);
  const { port } = server.addr;
  const sockets: Socket[] = [];
  for (let count = 0; count < 3; count++) {
    const socket = dial(port, "127.0.0.1").on("error", () => {}).resume();
    await once(socket, "connect");
    sockets.push(socket);
  }
  const [silent, gone, above] = sockets;
  assert(silent && gone && above);
  // It is closed, so the previous one is waiting.
  if (!above.closed) await once(above, "close");
  gone.resetAndDestroy();
  await once(gone, "close");
  silent.destroy();
  await told.promise;
  await using client = await connect({ port, framing, tls: { caCerts } });
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("serve() of node.ts knows the addresses of a peer that left while it waited", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
  const listener = new SocketListener(server, { addr });
  const socket = dial(port, "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  const incoming = await listener.accept();
  incoming.close();
  const { localAddr, remoteAddr } = incoming.transport();
  assertEquals(localAddr, addr);
  assertEquals(remoteAddr, incoming.remoteAddr);
  listener.close();
  socket.destroy();
  await once(server, "close");
});

Deno.test("serve() of node.ts over TLS reports bytes that are not TLS, after the messages before them", async () => {
  const received: string[] = [];
  const ended = Promise.withResolvers<unknown>();
  await using server = await serve(
    { ...loopback, tls: certificate, onError() {} },
    async (connection) => {
      connection.closed.then(ended.resolve, ended.resolve);
      for await (const line of connection) {
        received.push(line);
        await connection.send(line);
      }
    },
  );
  const socket = dial(server.addr.port, "127.0.0.1");
  await once(socket, "connect");
  const transport = socketTransport(socket);
  await using client = new Connection(transport, { framing });
  await client.startTls({ serverName: "localhost", caCerts });
  await client.request("one");
  await transport.write(new Uint8Array(50));

  const error = await ended.promise;
  assertInstanceOf(error, Error);
  assertEquals(error.name, "InvalidData");
  assertEquals(received, ["one"]);
});

Deno.test("serve() of node.ts closes waiting connections above its backlog", async () => {
  await using server = await serve(
    { ...loopback, maxConnections: 1, backlog: 1 },
    echo,
  );
  const { port } = server.addr;
  await using first = await connect({ port, framing });
  assertEquals(await first.request("one"), "one");
  await using _waiting = await connect({ port, framing });
  await using above = await connect({ port, framing });
  const end = await above.receive().catch((error: Error) => error.name);
  assert(end === undefined || end === "ConnectionReset", `${end}`);
});

/** Asserts that `serve()` finds another server, or another file, at the path. */
async function assertInUse(path: string): Promise<void> {
  const error = await assertRejects(
    () => serve({ path, framing }, echo),
    Error,
  );
  assertEquals(error.name, "AddrInUse");
}

Deno.test({
  name:
    "serve() of node.ts takes over only a Unix socket that a killed server has left",
  ignore: process.platform === "win32",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/app.sock`;
    try {
      await using server = await serve({ path, framing }, echo);
      assertEquals(server.addr, { transport: "unix", path });
      await using client = await connect({ path, framing });
      assertEquals(await client.request("hello"), "hello");
      assertEquals(client.remoteAddr, { transport: "unix", path });
      await assertInUse(path);
      await client.close();
      await server.shutdown();
      assertEquals(existsSync(path), false);

      await writeFile(path, "precious");
      await assertInUse(path);
      assert(existsSync(path));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Listens without accepting, so that all clients wait. */
const BUSY_SERVER = `
  const { createServer } = require("node:net");
  const { parentPort, workerData } = require("node:worker_threads");
  const { path, state } = workerData;
  createServer().listen({ path, backlog: 1 }, () => {
    parentPort.postMessage("listening");
    Atomics.wait(state, 0, 0);
    process.exit();
  });
`;

Deno.test({
  name:
    "serve() of node.ts leaves a Unix socket to a server whose queue is full",
  // On other systems such a server cannot be detected.
  ignore: process.platform !== "linux" || "deno" in process.versions,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/app.sock`;
    const state = new Int32Array(new SharedArrayBuffer(4));
    const workerData = { path, state };
    const worker = new Worker(BUSY_SERVER, { eval: true, workerData });
    const ended = once(worker, "exit");
    await once(worker, "message");
    const waiting: Socket[] = [];
    try {
      for (let isFull = false; !isFull;) {
        const socket = dial(path);
        waiting.push(socket);
        isFull = await once(socket, "connect").then(() => false, () => true);
      }
      await assertInUse(path);
      assert(existsSync(path));
    } finally {
      for (const socket of waiting) socket.destroy();
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
      await ended;
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Whether Python can be run: in Deno only with access to the environment. */
function hasPython(): boolean {
  try {
    return spawnSync("python3", ["--version"]).status === 0;
  } catch {
    return false;
  }
}

// Node has no Unix sockets for datagrams.
const RECEIVER = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print("bound", flush=True)
sys.stdin.read()
`;

Deno.test({
  name:
    "serve() of node.ts leaves a Unix socket to a program that receives datagrams",
  ignore: process.platform !== "linux" || !hasPython(),
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/app.sock`;
    const receiver = spawn("python3", ["-c", RECEIVER, path]);
    const ended = once(receiver, "close");
    try {
      await once(receiver.stdout, "data");
      await assertInUse(path);
      assert(existsSync(path));
    } finally {
      receiver.stdin.end();
      await ended;
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name:
    "connect() of node.ts rejects send() with BrokenPipe when the peer of a Unix socket is gone",
  ignore: process.platform === "win32",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/app.sock`;
    try {
      await using server = await serve(
        { path, framing },
        (connection) => connection.send("bye"),
      );
      const client = await connect({ path, framing });
      assertEquals(await Array.fromAsync(client), ["bye"]);
      await server.shutdown(); // the peer has closed its socket
      await nextTurn(); // Bun then closes the client's socket too
      await client.send("too late");
      const error = await assertRejects(() => client.flush(), Error);
      assertEquals(error.name, "BrokenPipe");
      await client.close();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name:
    "serve() and connect() of node.ts refuse a path that the system would cut",
  ignore: process.platform === "win32",
  async fn() {
    const begin = serve; // in Node, calls of a name that starts with serve are awaited
    for (const path of [`/tmp/${"x".repeat(200)}`, "/tmp/app\0.sock"]) {
      assertThrows(() => begin({ path, framing }, echo), TypeError, "path");
      await assertRejects(() => connect({ path, framing }), TypeError, "path");
    }
  },
});

Deno.test({
  name:
    "serve() of node.ts rejects with NotFound if the folder of its path is missing",
  ignore: process.platform === "win32",
  async fn() {
    const path = "/tmp/no folder of this name/app.sock";
    const error = await assertRejects(
      () => serve({ path, framing }, echo),
      Error,
      path,
    );
    assertEquals(
      [error.name, Reflect.get(error, "code")],
      ["NotFound", "ENOENT"],
    );
  },
});

Deno.test({
  name: "serve() of node.ts listens on a relative path in a deep folder",
  // In Deno other tests run in the same process, whose folder this would change too.
  ignore: process.platform === "win32" || "deno" in process.versions,
  async fn() {
    const start = process.cwd();
    const folder = await Deno.makeTempDir();
    const deep = `${folder}/${"x".repeat(100)}`;
    await mkdir(deep);
    process.chdir(deep);
    try {
      const path = "app.sock";
      await using _server = await serve({ path, framing }, echo);
      await using client = await connect({ path, framing });
      assertEquals(await client.request("hello"), "hello");
    } finally {
      process.chdir(start);
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("serve() of node.ts closes waiting sockets when it shuts down", async () => {
  const listener = createServer();
  const sockets: Socket[] = [];
  listener.on("connection", (socket) => sockets.push(socket));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const server = await serve({ listener, framing, maxConnections: 1 }, echo);
  assert(server.addr.transport === "tcp");
  const { port } = server.addr;
  await using first = await connect({ port, framing });
  assertEquals(await first.request("one"), "one");
  await using waiting = await connect({ port, framing });
  while (sockets.length < 2) await once(listener, "connection");
  const shutdown = server.shutdown();
  assertEquals(await first.receive(), undefined);
  await waiting.receive().catch(() => {});
  await first.close();
  await shutdown;
  assertEquals(sockets.every(({ destroyed }) => destroyed), true);
});

/** How many notes the runtime makes on each promise. */
function notesOnPromise(): number {
  return Object.getOwnPropertySymbols(Promise.resolve().then()).length;
}

// Node 22 notes each `AsyncLocalStorage` that was ever used on every promise.
Deno.test("Server.shutdown() of node.ts leaves nothing that slows down later promises", async () => {
  const before = notesOnPromise();
  const server = await serve(loopback, echo);
  const client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  await client.close();
  await server.shutdown();
  assert(notesOnPromise() <= before);
});

Deno.test("serve(), connect() and reconnect() of node.ts copy their options when they are called", async () => {
  const options: ServeTcpOptions<string, string> = { ...loopback };
  const serving = serve(options, echo);
  options.filter = () => false;
  await using server = await serving;
  const { port } = server.addr;
  const target: ConnectTcpOptions<string, string> = { port, framing };
  const calls = [
    connect(target).then(async (client) => {
      await using asking = client;
      return await asking.request("hello");
    }),
    reconnect(target, (client) => client.request("hello")),
  ];
  target.framing = lines({ maxLength: 1 });
  target.signal = AbortSignal.abort();
  assertEquals(await Promise.all(calls), ["hello", "hello"]);
});
