import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  backgroundTimers,
  isPending,
  MORE_THAN_KERNEL_TAKES,
  overriding,
  Peer,
  unhandledRejectionsIn,
  unlessReset,
  until,
} from "../connection/_testing.ts";
import { connect } from "../client/connect.ts";
import { Connection } from "../connection/connection.ts";
import { fixedLength, type FramingError, lines } from "../framing.ts";
import type { ConnectionHandler } from "./handler.ts";
import type {
  ServeOptions,
  ServeTcpOptions,
  ServeUnixOptions,
} from "./options.ts";
import type { ServeListener } from "./serve_listener.ts";
import type { Address, Transport } from "../connection/transport.ts";
import { serve } from "./serve.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { replacing } from "../dev/testdata/replacing.ts";
import { start } from "../dev/testdata/start.ts";

const framing = lines();
const loopback = { hostname: "127.0.0.1", port: 0, framing };

async function echo(connection: Connection<string, string>): Promise<void> {
  for await (const line of connection) await connection.send(line);
}

/** Collects the errors of a server; a test can wait for the next one. */
function errorLog(): {
  readonly errors: unknown[];
  readonly next: Promise<unknown>;
  readonly onError: (error: unknown) => void;
} {
  const errors: unknown[] = [];
  let deferred = Promise.withResolvers<unknown>();
  return {
    errors,
    get next() {
      return deferred.promise;
    },
    onError(error) {
      errors.push(error);
      deferred.resolve(error);
      deferred = Promise.withResolvers();
    },
  };
}

/** A raw client. */
async function dial(port: number): Promise<Peer> {
  return new Peer(await Deno.connect({ hostname: "127.0.0.1", port }));
}

/** Replaces methods of the listeners that `serve` creates. */
function replacingListener(
  change: (listener: Deno.Listener) => Partial<Deno.Listener>,
): Disposable {
  const listen = Deno.listen;
  return replacing(Deno as { listen: unknown }, {
    listen(options: Deno.TcpListenOptions) {
      const listener: Deno.Listener = listen(options);
      return overriding(listener, change(listener));
    },
  });
}

/** Records calls of `console.error` until the end of the scope. */
function recordingConsoleErrors(): Disposable & { readonly errors: unknown[] } {
  const errors: unknown[] = [];
  const restore = replacing(console, { error: (error) => errors.push(error) });
  return { errors, [Symbol.dispose]: () => restore[Symbol.dispose]() };
}

Deno.test("serve() has types that reject options which exclude each other", () => {
  // Not called: the type checker is the test.
  void ((
    listener: Deno.Listener,
    port: number,
    own: ServeListener,
    either: ServeTcpOptions<string> | ServeUnixOptions<string>,
    any: ServeOptions<string>,
    checked: (address: Address) => void,
    checks: ConnectionHandler<string>,
  ) => [
    // @ts-expect-error: one address
    serve({ framing: lines(), port: 1, path: "/x" }, () => {}),
    // @ts-expect-error: a Unix socket has no TLS
    serve({ framing: lines(), path: "/x", tls: certificate }, () => {}),
    // @ts-expect-error: it has its address already
    serve({ framing: lines(), listener, port: 1 }, () => {}),
    // Peers of both kinds of listener have addresses.
    serve(either, (_, { remoteAddr }) => checked(remoteAddr)),
    serve({ framing: lines(), listener: Deno.listen({ port }) }, checks),
    // @ts-expect-error: a listener's peers may have none
    serve(any, (_, { remoteAddr }) => checked(remoteAddr)),
    // @ts-expect-error: nor by a handler that says so
    serve({ framing: lines(), listener: own }, checks),
  ]);
});

Deno.test("serve() refuses invalid options before it listens", () => {
  using _nothing = replacing(
    Deno as { listen: unknown; listenTls: unknown },
    {
      listen: () => {
        throw new Error("Listened");
      },
      listenTls: () => {
        throw new Error("Listened");
      },
    },
  );
  const path = "/tmp/socket";
  const listener = {
    addr: { transport: "unix", path },
    accept: () => Promise.reject(new Error("Accepted")),
    close: () => {},
  };
  const cases: [object, ErrorConstructor, string][] = [
    [{ path, port: 0 }, TypeError, "port with path"],
    [{ path, hostname: "localhost" }, TypeError, "hostname with path"],
    [{ path, tls: certificate }, TypeError, "tls with path"],
    [{ path, ...certificate }, TypeError, "cert outside tls"],
    [{ reusePort: null }, TypeError, "reusePort as it must be true or false"],
    [{ path, reusePort: false }, TypeError, "reusePort with path"],
    [{ path, tcpBacklog: 1 }, TypeError, "tcpBacklog with path"],
    [{ path, noDelay: true }, TypeError, "noDelay over Unix socket"],
    [{ path, keepAlive: true }, TypeError, "keepAlive over Unix socket"],
    [{ path: "" }, TypeError, "path"],
    [{ path: "x".repeat(200) }, TypeError, "bytes: current value has 200"],
    [{ path: "a\0b" }, TypeError, "no zero byte"],
    [{ listener: null }, TypeError, "listener.accept"],
    [{ listener: {} }, TypeError, "listener.accept"],
    [{ listener: { accept() {} } }, TypeError, "listener.close"],
    [{ listener, port: 0 }, TypeError, "port with listener"],
    [{ listener, hostname: "::" }, TypeError, "hostname with listener"],
    [{ listener, path }, TypeError, "path with listener"],
    [{ listener, tls: certificate }, TypeError, "tls with listener"],
    [{ listener, reusePort: true }, TypeError, "reusePort with listener"],
    [{ listener, tcpBacklog: 1 }, TypeError, "tcpBacklog with listener"],
    [{ listener, noDelay: true }, TypeError, "noDelay over Unix socket"],
    [{ ...certificate }, TypeError, "cert outside tls: give it inside tls"],
    [{ key: certificate.key }, TypeError, "key outside tls"],
    [{ alpnProtocols: ["echo"] }, TypeError, "alpnProtocols outside tls"],
    [{ tls: { cert: certificate.cert } }, TypeError, "both cert and key"],
    [{ tls: { key: certificate.key } }, TypeError, "both cert and key"],
    [{ tls: { alpnProtocols: ["echo"] } }, TypeError, "both cert and key"],
    [{ tls: { ...certificate, cert: "" } }, TypeError, "tls.cert"],
    [{ tls: { ...certificate, key: "" } }, TypeError, "tls.key"],
    [{ tls: true }, TypeError, "both cert and key"],
    [{ tls: { ...certificate, caCerts } }, TypeError, "asks clients for no"],
    [{ tls: null }, TypeError, "both cert and key"],
    [{ tls: certificate, noDelay: true }, TypeError, "noDelay over TLS"],
    [{ tls: certificate, keepAlive: true }, TypeError, "keepAlive over TLS"],
    [{ port: NaN }, RangeError, "port"],
    [{ port: -1 }, RangeError, "port"],
    [{ port: 65_536 }, RangeError, "port"],
    [{ tcpBacklog: 0 }, RangeError, "tcpBacklog"],
    [{ tcpBacklog: NaN }, RangeError, "tcpBacklog"],
    [{ tcpBacklog: 2 ** 31 }, RangeError, "tcpBacklog"],
    [{ maxConnections: 0 }, RangeError, "maxConnections"],
    [{ maxConnections: 1.5 }, RangeError, "maxConnections"],
    [{ maxConnections: NaN }, RangeError, "maxConnections"],
    [{ maxConnectionsPerAddress: 0 }, RangeError, "maxConnectionsPerAddress"],
    [{ path, maxConnectionsPerAddress: 1 }, TypeError, "over Unix socket"],
    [{ listener, maxConnectionsPerAddress: 1 }, TypeError, "over Unix socket"],
    [{ tls: certificate, maxHandshakes: 0 }, RangeError, "maxHandshakes"],
    [{ tls: certificate, handshakeTimeout: 0 }, RangeError, "handshakeTimeout"],
    [{ maxHandshakes: 1 }, TypeError, "maxHandshakes without tls"],
    [{ handshakeTimeout: 1 }, TypeError, "handshakeTimeout without tls"],
    [{ path, maxHandshakes: 1 }, TypeError, "over Unix socket"],
    [{ path, handshakeTimeout: 1 }, TypeError, "over Unix socket"],
    [{ listener, handshakeTimeout: 1 }, TypeError, "over Unix socket"],
    [{ filter: true }, TypeError, "filter"],
    [{ onListen: true }, TypeError, "onListen"],
    [{ onError: "log" }, TypeError, "onError"],
    [{ framing: {} }, TypeError, "framing"],
    [{ hostname: null }, TypeError, "hostname"],
    [{ hostname: "" }, TypeError, "hostname"],
    [{ signal: null }, TypeError, "signal"],
    [{ keepAlive: 60_000 }, TypeError, "keepAlive"],
    [{ noDelay: "yes" }, TypeError, "noDelay"],
    [
      { tls: { ...certificate, alpnProtocols: "h2" } },
      TypeError,
      "tls.alpnProtocols",
    ],
    [
      { tls: { ...certificate, alpnProtocols: ["h2", "é".repeat(128)] } },
      RangeError,
      "at most 255 bytes: one has 256",
    ],
    [{ readBufferSize: 0 }, RangeError, "readBufferSize"],
    [{ highWaterMark: -1 }, RangeError, "highWaterMark"],
    [{ idleTimeout: 0 }, RangeError, "idleTimeout"],
    [{ messageTimeout: NaN }, RangeError, "messageTimeout"],
    [{ sendTimeout: Infinity }, RangeError, "sendTimeout"],
  ];
  for (const [options, errorClass, message] of cases) {
    assertThrows(
      () =>
        serve(
          { framing, ...options } as ServeTcpOptions<string, string>,
          () => {},
        ),
      errorClass,
      message,
    );
  }
  for (const options of [undefined, {}, { path, framing: undefined }, echo]) {
    assertThrows(
      () => serve(options as ServeTcpOptions, () => {}),
      TypeError,
      "framing must be given",
    );
  }
  const signal = AbortSignal.abort(new Error("Not any more"));
  assertThrows(
    () => serve({ framing, signal }, () => {}),
    Error,
    "Not any more",
  );
});

Deno.test("serve() refuses a handler that is not a function", () => {
  for (const handler of [undefined, null, {}] as unknown[]) {
    assertThrows(
      () => serve(loopback, handler as typeof echo),
      TypeError,
      "handler must be a function",
    );
  }
});

Deno.test("serve() listens on port 8000 of all interfaces by default", async () => {
  await using program = start("deno", [
    "run",
    "--no-prompt",
    "serve_on_default_port.ts",
  ]);
  const { code, stderr } = await program.ended;
  assertEquals(code, 1);
  assertMatch(stderr, /Requires net access to "0\.0\.0\.0:8000"/);
});

Deno.test("serve() throws immediately if the port is in use", () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  assertThrows(
    () => serve({ ...loopback, port: taken.addr.port }, echo),
    Deno.errors.AddrInUse,
    `Cannot listen on 127.0.0.1:${taken.addr.port}: `,
  );
});

Deno.test("serve() calls onListen once with its address", async () => {
  const addrs: Deno.NetAddr[] = [];
  await using server = serve(
    { ...loopback, onListen: (addr) => addrs.push(addr) },
    echo,
  );
  assertEquals(addrs, [server.addr]);
  assert(server.addr.port > 0);
});

Deno.test("serve() stops listening if onListen throws", () => {
  const mistake = new Error("Mistake");
  let port = 0;
  const error = assertThrows(() =>
    serve({
      ...loopback,
      onListen(addr) {
        port = addr.port;
        throw mistake;
      },
    }, echo)
  );
  assertStrictEquals(error, mistake);
  Deno.listen({ hostname: "127.0.0.1", port }).close();
});

Deno.test("serve() calls onError when an async onListen rejects, and continues", async () => {
  const mistake = new Error("Mistake");
  const reports: [unknown, unknown][] = [];
  const unhandled = await unhandledRejectionsIn(async () => {
    await using server = serve({
      ...loopback,
      async onListen() {
        await Promise.resolve();
        throw mistake;
      },
      onError: (error, connection) => reports.push([error, connection]),
    }, echo);
    await using client = await connect({ port: server.addr.port, framing });
    assertEquals(await client.request("hello"), "hello");
  });
  assertEquals(unhandled, []);
  assertEquals(reports, [[mistake, undefined]]);
});

Deno.test("serve() takes connections from a listener of the caller's, and closes it", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = serve({ listener, framing }, echo);
  assertEquals(server.addr, listener.addr);
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  await server.shutdown();
  assertEquals(await client.receive(), undefined);
  assertThrows(() => listener.close(), Deno.errors.BadResource);
});

Deno.test("serve() takes a listener whose transports are not sockets", async () => {
  const [near, far] = transportPair();
  const closed = Promise.withResolvers<never>();
  const accepts = [Promise.resolve(far)];
  const server = serve({
    listener: {
      addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
      accept: () => accepts.pop() ?? closed.promise,
      close: () => closed.reject(new Error("Closed")),
    },
    framing,
  }, (connection, { remoteAddr }) => {
    connection.send(`${remoteAddr?.transport}`);
    return echo(connection);
  });
  await using client = new Connection(near, { framing });
  assertEquals(await client.receive(), "tcp");
  assertEquals(await client.request("hello"), "hello");
  await server.shutdown();
});

Deno.test("serve() names the path of a Unix socket that it cannot create", async () => {
  const path = "/no/such/folder/socket";
  // In Node a missing folder is reported as missing permission.
  await assertRejects(
    async () => await serve({ path, framing }, echo),
    Error,
    `listen on ${path}`,
  );
});

Deno.test("serve() reports an invalid transport of its listener, and continues", async () => {
  const [near, far] = transportPair();
  // As from JavaScript.
  const accepted: unknown[] = [{ close() {} }, far];
  const reported: unknown[] = [];
  const server = serve({
    listener: listenerOf(accepted as Transport[], () => {
      throw new Error("cannot close");
    }),
    framing,
    onError: (error) => void reported.push(error),
  }, echo);
  await using client = new Connection(near, { framing });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(reported.map((each) => each instanceof TypeError), [true]);
  await client.close();
  // shutdown() rejects with the error of the listener's close().
  await assertRejects(
    async () => await server.shutdown(),
    Error,
    "cannot close",
  );
});

Deno.test("serve() continues when its listener gives a connection that is already closed", async () => {
  const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let accepts = 0;
  const { next, onError } = errorLog();
  await using _server = serve({
    listener: {
      addr: inner.addr,
      async accept() {
        const conn = await inner.accept();
        if (++accepts === 1) conn.close();
        return conn;
      },
      close: () => inner.close(),
    },
    framing,
    onError,
  }, echo);
  using _first = await dial(inner.addr.port);
  assertInstanceOf(await next, Deno.errors.BadResource);
  await using client = await connect({ port: inner.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("serve() continues when a connection is closed before it is served, and cannot be closed again", async () => {
  const mistake = new Error("closed twice");
  for (const thrown of [new Deno.errors.BadResource("closed"), mistake]) {
    const [near, far] = transportPair();
    let closes = 0;
    const transport = overriding(far, {
      close() {
        if (++closes > 1) throw thrown;
        far.close();
      },
    });
    const [nextNear, nextFar] = transportPair();
    const accepted: Transport[] = [transport, nextFar];
    const { errors, next, onError } = errorLog();
    await using _server = serve({
      listener: listenerOf(accepted),
      framing,
      proxyProtocol: true,
      onError,
    }, echo);
    await nextNear.write(new TextEncoder().encode("PROXY UNKNOWN\r\n"));
    await using client = new Connection(nextNear, { framing });
    assertEquals(await client.request("hello"), "hello");
    transport.close();
    await next;
    assertEquals(await client.request("hello"), "hello");
    assertEquals(errors.includes(mistake), thrown === mistake);
    near.close();
  }
});

Deno.test("serve() ends when its signal is aborted although its listener cannot be closed", async () => {
  const [near, far] = transportPair();
  const accepted: Transport[] = [far];
  const controller = new AbortController();
  const mistake = new Error("cannot close");
  const { next, onError } = errorLog();
  const server = serve({
    listener: listenerOf(accepted, () => {
      throw mistake;
    }),
    framing,
    signal: controller.signal,
    onError,
  }, echo);
  await using client = new Connection(near, { framing });
  assertEquals(await client.request("hello"), "hello");
  const reported = next;
  controller.abort();
  assertStrictEquals(await reported, mistake);
  await server.finished;
  await client.closed.catch(() => {});
});

Deno.test("serve() reports the errors of closing a listener or a refused connection", async () => {
  const [, far] = transportPair();
  const accepted: Transport[] = [
    overriding(far, { close: () => Promise.reject(new Error("connection")) }),
  ];
  const log = errorLog();
  const server = serve({
    listener: listenerOf(
      accepted,
      () => Promise.reject(new Error("listener")),
    ),
    framing,
    filter: () => false,
    onError: log.onError,
  }, echo);
  const messages: unknown[] = [];
  let report = log.next;
  for (const end of [() => {}, () => server.shutdown()]) {
    await end();
    const error = await report;
    report = log.next;
    assertInstanceOf(error, Error);
    messages.push(error.message);
  }
  assertEquals(messages, ["connection", "listener"]);
  far.close();
});

Deno.test("serve() closes a connection whose handshake fails with an error that cannot be renamed", async () => {
  class FrozenError extends Error {
    override cause = "a field";
    constructor(message: string) {
      super(message);
      Object.freeze(this);
    }
  }
  const [near, far] = transportPair();
  const error = new FrozenError("no handshake");
  const transport = Object.assign(
    overriding(far, {}),
    { handshake: () => Promise.reject(error) },
  );
  const accepted: Transport[] = [transport];
  const { next, onError } = errorLog();
  await using _server = serve({
    listener: listenerOf(accepted),
    framing,
    onError,
  }, echo);
  assertStrictEquals(await next, error);
  assertEquals(await near.read(new Uint8Array(1)), null);
  near.close();
});

Deno.test("serve() continues after an error that console.error cannot show", async () => {
  const logged: unknown[] = [];
  using _console = replacing(console, {
    error(error: unknown) {
      if (typeof error !== "string") throw new Error("Cannot be shown");
      logged.push(error);
    },
  });
  await using server = serve(loopback, async (connection) => {
    await connection.receive();
    throw new Error("Mistake");
  });
  await using client = await connect({ port: server.addr.port, framing });
  await client.send("hello");
  await client.receive().catch(() => {}); // in Node, an abort is a reset
  await server.shutdown();
  assertEquals(logged.length, 1);
});

Deno.test("serve() takes a listener without ref() and unref(), and refuses unref()", async () => {
  const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listener: ServeListener<Deno.NetAddr> = {
    addr: inner.addr,
    accept: () => inner.accept(),
    close: () => inner.close(),
  };
  await using server = serve({ listener, framing }, echo);
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  server.ref();
  assertThrows(() => server.unref(), Deno.errors.NotSupported, "unref");
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("serve() calls ref and unref of its listener", async () => {
  const calls: string[] = [];
  const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listener = overriding(inner, {
    ref: () => void calls.push("ref"),
    unref: () => void calls.push("unref"),
  });
  await using server = serve({ listener, framing }, echo);
  server.unref();
  server.ref();
  assertEquals(calls, ["unref", "ref"]);
});

Deno.test("serve() serves the TLS connections of a listener", async () => {
  const listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  await using server = serve({ listener, framing }, echo);
  const { port } = server.addr;
  await using client = await connect({ port, framing, tls: { caCerts } });
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("serve() ends when the caller closes its listener", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const log = errorLog();
  const begun = Promise.withResolvers<AbortSignal>();
  const server = serve(
    { listener, framing, onError: log.onError },
    (connection, { signal }) => {
      begun.resolve(signal);
      return echo(connection);
    },
  );
  await using client = await connect({ port: listener.addr.port, framing });
  assertEquals(await client.request("before"), "before");
  const stopped = once(await begun.promise, "abort");
  listener.close();
  await stopped;
  assertEquals(await client.request("after"), "after");
  assert(await isPending(server.finished));
  await client.close();
  await server.finished;
  await server.shutdown();
  assertEquals(log.errors, []);
});

Deno.test("serve() leaves the listener open if it refuses the options", () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  assertThrows(
    () => serve({ listener, framing, maxConnections: 0 }, echo),
    RangeError,
  );
});

Deno.test("serve() closes a connection after the messages that its handler sent", async () => {
  await using server = serve(loopback, (connection) => {
    for (let i = 0; i < 10_000; i++) connection.send(`${i}`);
  });
  await using client = await connect({ port: server.addr.port, framing });
  const received = await Array.fromAsync(client);
  assertEquals(received, Array.from({ length: 10_000 }, (_, i) => `${i}`));
});

Deno.test("serve() continues with other connections when a handler throws", async () => {
  const mistake = new Error("Mistake");
  const handlers: ConnectionHandler<string, string>[] = [
    () => {
      throw mistake;
    },
    () => Promise.reject(mistake),
    async (connection) => {
      await connection.receive();
      throw mistake;
    },
  ];
  for (const faulty of handlers) {
    const reports: [unknown, unknown][] = [];
    let culprit: Connection<string, string> | undefined;
    await using server = serve({
      ...loopback,
      onError: (error, connection) => reports.push([error, connection]),
    }, (connection, info) => {
      if (culprit !== undefined || server.connections.size === 1) {
        return echo(connection);
      }
      culprit = connection;
      return faulty(connection, info);
    });
    const { port } = server.addr;
    await using first = await connect({ port, framing });
    assertEquals(await first.request("one"), "one");
    using second = await dial(port);
    await second.write("x\n");
    assertEquals(await second.readToEnd(), "");
    assertEquals(await first.request("two"), "two");
    await using third = await connect({ port, framing });
    assertEquals(await third.request("three"), "three");
    assertEquals(reports, [[mistake, culprit]]);
    assert(culprit !== undefined);
    const { closed } = culprit;
    await assertRejects(() => closed, Error, "Mistake");
  }
});

Deno.test("serve() reports a handler that fails after its connection has ended", async () => {
  const mistake = new Error("Mistake");
  const { errors, onError } = errorLog();
  const server = serve({ ...loopback, onError }, async (connection) => {
    await connection.close();
    throw mistake;
  });
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), undefined);
  await server.shutdown();
  assertEquals(errors, [mistake]);
});

Deno.test("serve() reports errors to console.error by default", async () => {
  using printed = recordingConsoleErrors();
  const mistake = new Error("Mistake");
  const server = serve(loopback, async (connection) => {
    await connection.receive();
    throw mistake;
  });
  await using client = await connect({ port: server.addr.port, framing });
  await client.send("fail");
  assertEquals(await unlessReset(client.receive(), undefined), undefined);
  await server.shutdown();
  assertEquals(printed.errors, [mistake]);
});

Deno.test("serve() continues when onError itself throws", async () => {
  const mistake = new Error("Mistake");
  const second = new Error("Second mistake");
  for (
    const onError of [
      () => {
        throw second;
      },
      () => Promise.reject(second),
    ]
  ) {
    using printed = recordingConsoleErrors();
    const server = serve({ ...loopback, onError }, async (connection) => {
      const line = await connection.receive();
      if (line === "fail") throw mistake;
      await connection.send("fine");
    });
    const unhandled = await unhandledRejectionsIn(async () => {
      for (const request of ["fail", "go on"]) {
        const client = await connect({ port: server.addr.port, framing });
        await client.send(request);
        assertEquals(
          await unlessReset(client.receive(), undefined),
          request === "fail" ? undefined : "fine",
        );
        await client.close();
      }
      await server.shutdown();
    });
    assertEquals(unhandled, []);
    assertEquals(printed.errors, [mistake, second]);
  }
});

Deno.test("serve() reports a reset, and continues", async () => {
  const log = errorLog();
  await using server = serve({ ...loopback, onError: log.onError }, echo);
  const { port } = server.addr;
  await using bystander = await connect({ port, framing });
  assertEquals(await bystander.request("before"), "before");
  const report = log.next;

  const socket = net.connect(port, "127.0.0.1");
  socket.write("hello\n");
  await once(socket, "data");
  socket.resetAndDestroy();
  await once(socket, "close");

  assertInstanceOf(await report, Deno.errors.ConnectionReset);
  assertEquals(await bystander.request("after"), "after");
});

Deno.test("serve() ends only the connection whose message is too long, after its answers", async () => {
  const log = errorLog();
  await using server = serve({
    ...loopback,
    framing: lines({ maxLength: 8 }),
    onError: log.onError,
  }, echo);
  const { port } = server.addr;
  await using bystander = await connect({ port, framing });
  assertEquals(await bystander.request("before"), "before");
  const report = log.next;

  using offender = await dial(port);
  await offender.write("short\n123456789\n");

  assertEquals(await offender.readToEnd(), "short\n");
  assertEquals((await report as FramingError).code, "too-long");
  assertEquals(await bystander.request("after"), "after");
});

Deno.test("serve() passes connection options on to its connections", async () => {
  const log = errorLog();
  await using server = serve(
    { ...loopback, idleTimeout: 1, onError: log.onError },
    echo,
  );
  const report = log.next;
  using _silent = await dial(server.addr.port);
  const error = await report;
  assertInstanceOf(error, DOMException);
  assertEquals(error.name, "TimeoutError");
});

Deno.test("serve() continues to accept after an error and a pause", async () => {
  const shortage = new Error("Too many open files");
  const reports: [unknown, unknown][] = [];
  let accepts = 0;
  using _listener = replacingListener((listener) => ({
    accept: () =>
      ++accepts === 1 ? Promise.reject(shortage) : listener.accept(),
  }));
  await using server = serve({
    ...loopback,
    onError: (error, connection) => reports.push([error, connection]),
  }, echo);
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(reports, [[shortage, undefined]]);
});

Deno.test("serve() accepts without a pause after a peer that was gone before it was accepted", async () => {
  const reports: unknown[] = [];
  const gone = [
    new Deno.errors.ConnectionAborted("gone"),
    new Deno.errors.NotConnected("gone"),
  ];
  using inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listener = overriding<ServeListener<Deno.NetAddr>>(inner, {
    accept() {
      const error = gone.shift();
      return error === undefined ? inner.accept() : Promise.reject(error);
    },
  });
  await using _server = serve({
    listener,
    framing,
    onError: (error) => reports.push(error),
  }, echo);
  const { port } = inner.addr;
  await using client = await connect({ port, framing });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(reports, []);
});

Deno.test("serve() applies maxConnections after a pause too", async () => {
  let accepts = 0;
  using _listener = replacingListener((listener) => ({
    accept: () =>
      ++accepts === 1
        ? Promise.reject(new Error("Too many open files"))
        : listener.accept(),
  }));
  await using server = serve({
    ...loopback,
    maxConnections: 1,
    onError: () => {},
  }, echo);
  const { port } = server.addr;
  const client = await connect({ port, framing });
  assertEquals(await client.request("one"), "one");
  await using next = await connect({ port, framing });
  const answer = next.request("two");
  assert(await isPending(answer));
  await client.close();
  assertEquals(await answer, "two");
});

Deno.test({
  name: "serve() continues after it ran out of file descriptors",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using program = start("sh", [
      "-c",
      "ulimit -n 64; exec deno run --cached-only --allow-net=127.0.0.1 serve_with_few_files.ts",
    ]);
    const port = Number((await program.lines.next()).value);
    const peers: Peer[] = [];
    // More than the server can open; the others wait in the kernel.
    for (let i = 0; i < 80; i++) peers.push(await dial(port));
    const report = await program.lines.next();
    for (const peer of peers) peer.close();

    assertMatch(report.value, /Too many open files.* at accept/);
    await using client = await connect({ port, framing });
    assertEquals(await client.request("hello"), "hello");
  },
});

Deno.test("serve() lets connections above maxConnections wait", async () => {
  let running = 0;
  let most = 0;
  await using server = serve(
    { ...loopback, maxConnections: 2 },
    async (connection) => {
      most = Math.max(most, ++running);
      await echo(connection);
      running--;
    },
  );
  const { port } = server.addr;
  const clients = await Promise.all(
    Array.from({ length: 5 }, () => connect({ port, framing })),
  );
  const answers = clients.map((client, i) => client.request(`${i}`));
  // The kernel decides which connections are served first.
  for (let left = clients.length; left > 0; left--) {
    const index = await Promise.any(
      answers.map((answer, i) => answer.then(() => i)),
    );
    if (left > 2) {
      assertEquals(server.connections.size, 2);
      assertEquals(await countPending(answers), left - 2);
    }
    answers[index] = Promise.reject(new Error("Closed"));
    answers[index].catch(() => {});
    const served = clients[index];
    assert(served !== undefined);
    await served.close();
  }
  assertEquals(most, 2);
});

async function countPending(promises: Promise<unknown>[]): Promise<number> {
  const pending = await Promise.all(promises.map(isPending));
  return pending.filter((is) => is).length;
}

Deno.test("serve() frees the place of a closed connection although its handler still runs", async () => {
  const work = Promise.withResolvers<void>();
  const server = serve(
    { ...loopback, maxConnections: 1 },
    async (connection) => {
      await connection.send("here");
      await connection.close();
      await work.promise;
    },
  );
  const { port } = server.addr;
  for (let i = 0; i < 3; i++) {
    await using client = await connect({ port, framing });
    assertEquals(await client.receive(), "here");
  }
  assertEquals(server.connections.size, 3);
  const shutdown = server.shutdown();
  assert(await isPending(shutdown));
  work.resolve();
  await shutdown;
});

Deno.test("serve() frees the place of a reset connection although its handler hangs", async () => {
  const work = Promise.withResolvers<void>();
  const log = errorLog();
  const server = serve(
    { ...loopback, maxConnections: 1, onError: log.onError },
    async (connection) => {
      await connection.send("here");
      await work.promise; // receives nothing
    },
  );
  const { port } = server.addr;
  for (let i = 0; i < 3; i++) {
    const socket = net.connect(port, "127.0.0.1");
    await once(socket, "data");
    socket.resetAndDestroy();
    await once(socket, "close");
  }
  work.resolve();
  await server.shutdown();
});

Deno.test("serve() serves connections that the filter accepts, and closes the others", async () => {
  const log = errorLog();
  const addrs: Deno.NetAddr[] = [];
  let handled = 0;
  await using server = serve({
    ...loopback,
    onError: log.onError,
    filter: (remoteAddr) => addrs.push(remoteAddr) > 2,
  }, (connection) => {
    handled++;
    return echo(connection);
  });
  const { port } = server.addr;
  for (let i = 0; i < 2; i++) {
    using peer = await dial(port);
    assertEquals(await peer.readToEnd(), "");
  }
  await using client = await connect({ port, framing });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(handled, 1);
  assertEquals(addrs.at(-1), client.localAddr);
  assertEquals(log.errors, []);
});

Deno.test("serve() closes connections if the filter throws", async () => {
  const mistake = new Error("Mistake");
  const filters: ((addr: Deno.NetAddr) => unknown)[] = [
    () => {
      throw mistake;
    },
    () => Promise.resolve(true),
    () => Promise.reject(mistake), // not an unhandled rejection
    () => undefined,
  ];
  for (const filter of filters) {
    const log = errorLog();
    const report = log.next;
    await using server = serve({
      ...loopback,
      onError: log.onError,
      filter: filter as () => boolean,
    }, echo);
    using peer = await dial(server.addr.port);
    assertEquals(await peer.readToEnd(), "");
    const error = await report;
    if (error !== mistake) assertInstanceOf(error, TypeError);
    assertEquals(server.connections.size, 0);
  }
});

/**
 * A listener that accepts these transports, then waits until it is closed.
 *
 * @param onClose What its `close()` does besides.
 */
function listenerOf(
  accepted: Transport[],
  onClose: () => unknown = () => {},
): ServeListener<Deno.NetAddr> {
  const ended = Promise.withResolvers<Transport>();
  return {
    addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    accept() {
      const next = accepted.shift();
      return next === undefined ? ended.promise : Promise.resolve(next);
    },
    close() {
      ended.reject(new Deno.errors.BadResource("closed"));
      return onClose() as void; // it may return a promise, although the type does not
    },
  };
}

/** A listener whose connections have the given remote addresses in turn. */
function listeningFrom(
  ...hostnames: string[]
): ServeListener<Deno.NetAddr> {
  const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let count = 0;
  return overriding<ServeListener<Deno.NetAddr>>(inner, {
    async accept() {
      const conn = await inner.accept();
      const hostname = hostnames[count++ % hostnames.length] ?? "";
      const remoteAddr = { ...conn.remoteAddr, hostname };
      return overriding(conn, { remoteAddr });
    },
  });
}

Deno.test("serve() takes options from an instance of a class", async () => {
  const failure = new Error("The filter failed");
  class Options {
    hostname = "127.0.0.1";
    port = 0;
    framing = framing;
    #asked = 0;
    readonly #errors: unknown[] = [];
    get errors(): readonly unknown[] {
      return this.#errors;
    }
    filter(): boolean {
      if (++this.#asked === 1) throw failure;
      return this.#asked === 3;
    }
    onError(error: unknown): void {
      this.#errors.push(error);
    }
  }
  const options = new Options();
  const handled: number[] = [];
  await using server = serve(options, () => void handled.push(1));
  for (const count of [0, 0, 1]) {
    using peer = await dial(server.addr.port);
    assertEquals(await peer.readToEnd(), "");
    assertEquals(handled.length, count);
  }
  assertEquals(options.errors, [failure]);
});

Deno.test("serve() serves no client after its filter has ended the server", async () => {
  const controller = new AbortController();
  let handled = 0;
  const ends: ((server: { shutdown(): Promise<void> }) => unknown)[] = [
    (server) => server.shutdown(),
    () => controller.abort(),
  ];
  for (const end of ends) {
    const server = await serve({
      ...loopback,
      signal: controller.signal,
      filter() {
        end(server);
        return true;
      },
    }, () => void handled++);
    using client = await dial(server.addr.port);
    await server.finished;
    assertEquals(await unlessReset(client.countToEnd(), 0), 0);
  }
  assertEquals(handled, 0);
});

Deno.test("serve() frees a place of maxConnections after halfClosedTimeout although a handler hangs", async () => {
  const log = errorLog();
  const work = Promise.withResolvers<void>();
  await using server = serve({
    ...loopback,
    maxConnections: 1,
    halfClosedTimeout: 10,
    onError: log.onError,
  }, async (connection) => {
    await connection.send("here");
    await work.promise;
  });
  for (let i = 0; i < 3; i++) {
    await using client = await connect({ port: server.addr.port, framing });
    assertEquals(await client.receive(), "here");
  }
  work.resolve();
});

Deno.test("serve() closes connections above maxConnectionsPerAddress", async () => {
  const log = errorLog();
  const listener = listeningFrom("::1", "::1", "::1", "::2", "::1");
  await using server = serve({
    listener,
    framing,
    maxConnectionsPerAddress: 2,
    onError: log.onError,
  }, echo);
  const { port } = listener.addr;
  const clients = [];
  for (const expected of ["hello", "hello", undefined, "hello"]) {
    const client = await connect({ port, framing });
    const answer = client.request("hello").catch(() => undefined);
    assertEquals(await answer, expected);
    clients.push(client);
  }
  // A place of that address is free when one of its connections is closed.
  await clients[0]?.close();
  await until(() => server.connections.size === 2);
  const next = await connect({ port, framing });
  assertEquals(await next.request("hello"), "hello");
  for (const client of [...clients, next]) await client.close();
  assertEquals(log.errors, []);
});

Deno.test("Server.shutdown() delivers messages already read, and sends their answers", async () => {
  const hasRead = Promise.withResolvers<void>();
  const isStopped = Promise.withResolvers<void>();
  const received: string[] = [];
  const server = serve(loopback, async (connection) => {
    for await (const line of connection) {
      received.push(line);
      hasRead.resolve();
      await isStopped.promise;
      connection.send(line.toUpperCase());
    }
    connection.send("bye");
  });
  using peer = await dial(server.addr.port);
  await peer.write("one\ntwo\nthree\n");
  await hasRead.promise;
  const shutdown = server.shutdown();
  await peer.write("four\n");
  assert(await isPending(shutdown));
  isStopped.resolve();

  assertEquals(await peer.readToEnd(), "ONE\nTWO\nTHREE\nbye\n");
  await shutdown;
  await server.finished;
  assertEquals(received, ["one", "two", "three"]);
  assertEquals(server.connections.size, 0);
});

Deno.test("Server.shutdown() waits until a large queue is sent", async () => {
  const server = serve(
    { ...loopback, framing: fixedLength(MORE_THAN_KERNEL_TAKES) },
    (connection) => {
      connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
    },
  );
  using peer = await dial(server.addr.port);
  await peer.read(1);
  const shutdown = server.shutdown();
  assert(await isPending(shutdown));
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES - 1);
  await shutdown;
});

Deno.test("Server.shutdown() aborts connections that have not ended after its timeout", async () => {
  const log = errorLog();
  const begun = Promise.withResolvers<void>();
  const stuck: ConnectionHandler<string, string>[] = [
    // A handler that runs until its signal is aborted.
    async ({ signal }) => {
      begun.resolve();
      await once(signal, "abort");
      throw signal.reason;
    },
    // A peer that does not read.
    (connection) => {
      connection.send("x".repeat(MORE_THAN_KERNEL_TAKES));
      begun.resolve();
    },
  ];
  for (const handler of stuck) {
    const server = serve({
      ...loopback,
      framing: lines({ maxLength: Infinity }),
      onError: log.onError,
    }, handler);
    using _peer = await dial(server.addr.port);
    await begun.promise;
    await until(() => server.connections.size === 1);
    await server.shutdown({ timeout: 1 });
    const error = log.errors.pop();
    assertInstanceOf(error, DOMException);
    assertEquals(error.name, "TimeoutError");
    assertMatch(error.message, /shutdown timeout of 1 ms/);
    assertEquals(log.errors, []);
  }
});

Deno.test("Server.shutdown() settles after its timeout although a handler still runs", async () => {
  const work = Promise.withResolvers<void>();
  const log = errorLog();
  const server = serve({ ...loopback, onError: log.onError }, async (each) => {
    await each.send("begun");
    await work.promise; // it ignores its signal
  });
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), "begun");
  await server.shutdown({ timeout: 1 });

  // Its socket is released.
  assertEquals(await unlessReset(client.receive(), undefined), undefined);
  assert(await isPending(server.finished));
  assertEquals(server.connections.size, 1);
  work.resolve();
  await server.finished;
  assertEquals(server.connections.size, 0);
});

Deno.test("Server.shutdown() aborts no connection that ends within its timeout", async () => {
  const server = serve(loopback, echo);
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  await server.shutdown({ timeout: 0x7fff_ffff });
  assertEquals(await client.receive(), undefined);
});

Deno.test("Server.shutdown() rejects a timeout out of range, and does nothing else", async () => {
  await using server = serve(loopback, echo);
  for (const timeout of [-1, NaN, Infinity]) {
    await assertRejects(() => server.shutdown({ timeout }), RangeError);
  }
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("Server.shutdown() may be called again, also with a timeout", async () => {
  const log = errorLog();
  const server = serve({ ...loopback, onError: log.onError }, async (c) => {
    await once(c.signal, "abort");
  });
  using _peer = await dial(server.addr.port);
  await until(() => server.connections.size === 1);
  const first = server.shutdown();
  const second = server.shutdown({ timeout: 0 });
  await Promise.all([first, second]);
  await server.shutdown();
  await server.finished;
});

Deno.test("Server.shutdown() ends a server without connections", async () => {
  const server = serve(loopback, echo);
  assert(await isPending(server.finished));
  await server.shutdown();
  await server.finished;
  await assertRejects(
    () => connect({ port: server.addr.port, framing }),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("Server.shutdown() ends a server that waits at maxConnections", async () => {
  const server = serve({ ...loopback, maxConnections: 1 }, echo);
  const { port } = server.addr;
  await using client = await connect({ port, framing });
  assertEquals(await client.request("hello"), "hello");
  const waiting = await connect({ port, framing });
  await server.shutdown();
  assertEquals(await client.receive(), undefined);
  await assertRejects(() => waiting.request("hello"), Error);
  await waiting.close();
});

Deno.test("Server.shutdown() ends a server that pauses after an error", async () => {
  using _listener = replacingListener(() => ({
    accept: () => Promise.reject(new Error("Too many open files")),
  }));
  const log = errorLog();
  const report = log.next;
  const server = serve({ ...loopback, onError: log.onError }, echo);
  await report;
  const shutdown = server.shutdown();
  // The pause ends early.
  assert(!await isPending(shutdown));
  assertEquals(log.errors.length, 1);
});

Deno.test("Server.unref() lets the process end while it pauses after an error", async () => {
  using _listener = replacingListener(() => ({
    accept: () => Promise.reject(new Error("Too many open files")),
  }));
  const log = errorLog();
  const report = log.next;
  using timers = backgroundTimers();
  const server = serve({ ...loopback, onError: log.onError }, echo);
  server.unref();
  await report;
  assertEquals(timers.count, 1);
  await server.shutdown();
  assertEquals(timers.count, 0);
});

Deno.test("Server.shutdown() closes a connection that is accepted during the shutdown", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const late = Promise.withResolvers<Deno.Conn>();
  using _listener = replacingListener(() => ({ accept: () => late.promise }));
  let handled = 0;
  const server = serve(loopback, () => {
    handled++;
  });
  using peer = await dial(listener.addr.port);
  const shutdown = server.shutdown();
  late.resolve(await listener.accept());
  await shutdown;
  assertEquals(await peer.readToEnd(), "");
  assertEquals(handled, 0);
});

Deno.test("Server.shutdown() in a handler waits for all other handlers", async () => {
  const isTold = Promise.withResolvers<void>();
  const server = serve(loopback, async (connection) => {
    for await (const line of connection) {
      if (line === "end") {
        await server.shutdown();
        connection.send("all others have ended");
      } else {
        connection.send("begun");
        await isTold.promise;
        connection.send("ended");
      }
    }
  });
  const { port } = server.addr;
  await using other = await connect({ port, framing });
  assertEquals(await other.request("begin"), "begun");
  await using admin = await connect({ port, framing });
  const answer = admin.request("end");
  assert(await isPending(answer));
  isTold.resolve();
  assertEquals(await other.receive(), "ended");
  assertEquals(await other.receive(), undefined);
  assertEquals(await answer, "all others have ended");
  await server.finished;
});

Deno.test("Server.shutdown() in several handlers settles in each", async () => {
  const server = serve(loopback, async (connection) => {
    await connection.receive();
    await server.shutdown();
    await connection.send("done");
  });
  const { port } = server.addr;
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await connect({ port, framing }));
  await until(() => server.connections.size === 3);
  const answers = clients.map((client) => client.request("end"));
  assertEquals(await Promise.all(answers), ["done", "done", "done"]);
  for (const client of clients) await client.close();
  await server.finished;
});

Deno.test("Server.shutdown() in a handler aborts other connections after its timeout, but not its own", async () => {
  const log = errorLog();
  const server = serve(
    { ...loopback, onError: log.onError },
    async (connection) => {
      const line = await connection.receive();
      if (line === "end") {
        await server.shutdown({ timeout: 1 });
        await connection.send("done");
      } else {
        await connection.send("begun");
        await once(connection.signal, "abort");
      }
    },
  );
  const { port } = server.addr;
  await using hung = await connect({ port, framing });
  assertEquals(await hung.request("begin"), "begun");
  await using client = await connect({ port, framing });
  assertEquals(await client.request("end"), "done");
  await server.finished;
  assertEquals(await unlessReset(hung.receive(), undefined), undefined);
  assertEquals(log.errors, []);
});

Deno.test("Server.shutdown() in onError waits for all handlers", async () => {
  const server = await serve({
    ...loopback,
    async onError() {
      await server.shutdown();
    },
  }, async (connection) => {
    await connection.receive();
    throw new Error("Mistake");
  });
  await using client = await connect({ port: server.addr.port, framing });
  await client.send("hello");
  await server.finished;
  assertEquals(server.connections.size, 0);
});

Deno.test("Server.shutdown() waits for the handler of a connection that has called it too", async () => {
  const isTold = Promise.withResolvers<void>();
  const server = serve(loopback, async (connection) => {
    await server.shutdown();
    await connection.send("waiting");
    await isTold.promise;
  });
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), "waiting");
  const shutdown = server.shutdown();
  assert(await isPending(shutdown));
  isTold.resolve();
  await shutdown;
});

Deno.test("serve() gives a handler its peer's address", async () => {
  await using server = serve(
    loopback,
    (connection, { remoteAddr }) =>
      connection.send(`${remoteAddr.transport} ${remoteAddr.port}`),
  );
  await using client = await connect({ port: server.addr.port, framing });
  const { localAddr } = client;
  assert(localAddr?.transport === "tcp");
  assertEquals(await client.receive(), `tcp ${localAddr.port}`);
});

Deno.test("Server.shutdown() aborts the handlers' signals, so that they can say goodbye", async () => {
  const signals = new Set<AbortSignal>();
  const server = serve(loopback, async (connection, { signal }) => {
    signals.add(signal);
    signal.addEventListener("abort", () => connection.send("goodbye"));
    await echo(connection);
  });
  const clients = [];
  for (let i = 0; i < 3; i++) {
    const client = await connect({ port: server.addr.port, framing });
    assertEquals(await client.request("hello"), "hello");
    clients.push(client);
  }
  const [gone, ...others] = clients;
  await gone?.close();
  await until(() => server.connections.size === 2);
  assertEquals([...signals].filter(({ aborted }) => aborted), []);
  await server.shutdown();
  for (const client of others) {
    assertEquals(await Array.fromAsync(client), ["goodbye"]);
    await client.close();
  }
  // One for each connection: the server has released the ended one.
  const reasons = [...signals].filter(({ aborted }) => aborted)
    .map(({ reason }) => reason.name);
  assertEquals(reasons, ["AbortError", "AbortError"]);
});

Deno.test("serve() aborts the handlers' signals with the reason of its own signal", async () => {
  const controller = new AbortController();
  const reason = new Error("Enough");
  const late = Promise.withResolvers<AbortSignal>();
  const server = serve({
    ...loopback,
    signal: controller.signal,
    onError: () => {},
  }, async (connection, info) => {
    assertStrictEquals(info.signal, info.signal);
    await connection.send("begun");
    await once(info.signal, "abort");
    late.resolve(info.signal);
    throw info.signal.reason;
  });
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), "begun");
  controller.abort(reason);
  assertStrictEquals((await late.promise).reason, reason);
  await server.finished;
});

Deno.test("serve() gives an aborted signal to a handler that reads it after the abort", async () => {
  const stopped = Promise.withResolvers<void>();
  const names: string[] = [];
  const server = serve(loopback, async (connection, info) => {
    await connection.send("begun");
    await stopped.promise;
    names.push(info.signal.reason.name);
  });
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), "begun");
  const shutdown = server.shutdown();
  stopped.resolve();
  await shutdown;
  assertEquals(names, ["AbortError"]);
});

Deno.test("Server shuts down when it is disposed", async () => {
  let port = 0;
  let hasEnded = false;
  let client: Connection<string, string>;
  {
    await using server = serve(loopback, async (connection) => {
      await echo(connection);
      hasEnded = true;
    });
    port = server.addr.port;
    client = await connect({ port, framing });
    assertEquals(await client.request("hello"), "hello");
  }
  assert(hasEnded);
  assertEquals(await client.receive(), undefined);
  await client.close();
  await assertRejects(
    () => connect({ port, framing }),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("serve() ends and aborts its connections when its signal is aborted", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const counting = overriding(signal, {
    addEventListener: (...args: Parameters<typeof signal.addEventListener>) => {
      listeners++;
      signal.addEventListener(...args);
    },
    removeEventListener: (
      ...args: Parameters<typeof signal.removeEventListener>
    ) => {
      listeners--;
      signal.removeEventListener(...args);
    },
  });
  const log = errorLog();
  const server = serve(
    { ...loopback, signal: counting, onError: log.onError },
    echo,
  );
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  const [connection] = server.connections;
  assert(await isPending(server.finished));

  const reason = new Error("Enough");
  controller.abort(reason);
  await server.finished;

  assertEquals(log.errors, [reason]);
  assert(connection !== undefined);
  assertStrictEquals(connection.signal.reason, reason);
  assertEquals(await unlessReset(client.receive(), undefined), undefined);
  assertEquals(listeners, 0);
});

Deno.test("serve() ends when its signal is aborted while it calls onListen", async () => {
  const controller = new AbortController();
  const server = serve({
    ...loopback,
    signal: controller.signal,
    onListen: () => controller.abort(),
  }, echo);
  await server.finished;
  assertEquals(server.connections.size, 0);
});

Deno.test("Server.connections contains the open connections", async () => {
  await using server = serve(loopback, echo);
  assertEquals(server.connections.size, 0);
  const client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  const [connection] = server.connections;
  assertEquals(connection?.remoteAddr, client.localAddr);
  await client.close();
  await until(() => server.connections.size === 0);
});

Deno.test("Server.unref() lets the process end", async () => {
  await using program = start("deno", [
    "run",
    "--cached-only",
    "--allow-net=127.0.0.1",
    "serve_without_keeping_alive.ts",
  ]);
  const { code, stderr } = await program.ended;
  assertEquals([code, stderr], [0, ""]);
  assertEquals((await program.lines.next()).value, "accepted before unref");
  assertEquals((await program.lines.next()).value, "accepted after unref");
});

Deno.test("Server.ref() keeps the process alive again", async () => {
  await using program = start("deno", [
    "run",
    "--cached-only",
    "--allow-net=127.0.0.1",
    "serve_kept_alive.ts",
  ]);
  const port = Number((await program.lines.next()).value);
  let last = await connect({ port, framing });
  for (let i = 0; i < 3; i++) {
    assertEquals(await last.receive(), "here");
    const next = await connect({ port, framing }); // it waits for a place
    await last.close();
    last = next;
  }
  await last.close();
});

Deno.test("serve() serves TLS, with a half-close and the answers after it", async () => {
  await using server = serve(
    { ...loopback, tls: certificate },
    async (connection) => {
      const received = await Array.fromAsync(connection);
      for (const line of received) await connection.send(line.toUpperCase());
    },
  );
  const { port } = server.addr;
  await using client = await connect({ port, framing, tls: { caCerts } });
  const sent = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
  for (const line of sent) await client.send(line);
  await client.closeWrite();
  assertEquals(
    await Array.fromAsync(client),
    sent.map((line) => line.toUpperCase()),
  );
});

Deno.test("serve() offers protocols by ALPN", async () => {
  await using server = serve(
    { ...loopback, tls: { ...certificate, alpnProtocols: ["one", "two"] } },
    echo,
  );
  using conn = await Deno.connectTls({
    hostname: "localhost",
    port: server.addr.port,
    caCerts,
    alpnProtocols: ["two", "three"],
  });
  assertEquals(await conn.handshake(), { alpnProtocol: "two" });
});

Deno.test("serve() ends only the connection whose bytes are not TLS", async () => {
  const log = errorLog();
  await using server = serve(
    { ...loopback, tls: certificate, onError: log.onError },
    echo,
  );
  const { port } = server.addr;
  const tls = { caCerts };
  await using bystander = await connect({ port, framing, tls });
  assertEquals(await bystander.request("before"), "before");
  const report = log.next;

  using offender = await dial(port);
  await offender.write("GET / HTTP/1.1\r\n\r\n");
  const error = await report;
  assertInstanceOf(error, Deno.errors.InvalidData);
  assertMatch(error.message, /^Cannot shake hands with 127\.0\.0\.1:\d+: /);

  assertEquals(await bystander.request("after"), "after");
  await using next = await connect({ port, framing, tls });
  assertEquals(await next.request("next"), "next");
});

Deno.test("serve() ends a silent peer after handshakeTimeout", async () => {
  const log = errorLog();
  const report = log.next;
  let handled = 0;
  await using server = serve({
    ...loopback,
    tls: certificate,
    handshakeTimeout: 1,
    onError: log.onError,
  }, () => {
    handled++;
  });
  using peer = await dial(server.addr.port);
  const error = await report;
  assertInstanceOf(error, DOMException);
  assertEquals(error.name, "TimeoutError");
  const { port } = peer.conn.localAddr;
  assertEquals(
    error.message,
    `Cannot shake hands with 127.0.0.1:${port} within handshakeTimeout of 1 ms`,
  );
  assertEquals(handled, 0);
});

Deno.test("serve() ends a silent peer after idleTimeout if that is shorter", async () => {
  const log = errorLog();
  const report = log.next;
  await using server = serve({
    ...loopback,
    tls: certificate,
    idleTimeout: 1,
    onError: log.onError,
  }, () => {});
  using _peer = await dial(server.addr.port);
  const error = await report;
  assertInstanceOf(error, DOMException);
  assertMatch(error.message, /within idleTimeout of 1 ms$/);
});

Deno.test("serve() does not log failed handshakes to console.error", async () => {
  using printed = recordingConsoleErrors();
  await using server = serve({ ...loopback, tls: certificate }, echo);
  const { port } = server.addr;
  const tls = { caCerts };
  using offender = await dial(port);
  await offender.write("GET / HTTP/1.1\r\n\r\n");
  await offender.readToEnd();
  await using client = await connect({ port, framing, tls });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(printed.errors, []);
});

Deno.test("serve() serves others while maxConnections peers are silent in their handshake", async () => {
  await using server = serve({
    ...loopback,
    tls: certificate,
    maxConnections: 2,
    maxHandshakes: 3,
    onError: () => {},
  }, echo);
  const { port } = server.addr;
  using _silent = await dial(port);
  using _silentToo = await dial(port);
  await using client = await connect({ port, framing, tls: { caCerts } });
  assertEquals(await client.request("hello"), "hello");
  assertEquals(server.connections.size, 1);
});

Deno.test("serve() lets handshakes above maxHandshakes wait", async () => {
  let accepted = 0;
  const inner = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  const listener = overriding(inner, {
    async accept() {
      const conn = await inner.accept();
      accepted++;
      return conn;
    },
  });
  await using server = serve(
    { listener, framing, maxHandshakes: 2, onError: () => {} },
    echo,
  );
  const { port } = inner.addr;
  const silent = [await dial(port), await dial(port), await dial(port)];
  await until(() => accepted === 2);
  const connecting = connect({ port, framing, tls: { caCerts } });
  assert(await isPending(connecting));
  assertEquals(accepted, 2);
  assertEquals(server.connections.size, 0);
  for (const peer of silent) peer.close();
  await using client = await connecting;
  assertEquals(await client.request("hello"), "hello");
});

Deno.test("serve() lets connections wait for a place after their handshake", async () => {
  await using server = serve({
    ...loopback,
    tls: certificate,
    maxConnections: 1,
    maxHandshakes: 3,
  }, echo);
  const { port } = server.addr;
  const clients = await Promise.all(
    Array.from(
      { length: 3 },
      () => connect({ port, framing, tls: { caCerts } }),
    ),
  );
  const answers = clients.map((client, i) => client.request(`${i}`));
  // Either may finish its handshake first.
  const first = await Promise.race(answers);
  assertEquals(server.connections.size, 1);
  assertEquals(await countPending(answers), 2);
  await clients[Number(first)]?.close();
  const rest = answers.filter((_, i) => i !== Number(first));
  const second = await Promise.race(rest);
  assertEquals(await countPending(rest), 1);
  await clients[Number(second)]?.close();
  assertEquals((await Promise.all(answers)).sort(), ["0", "1", "2"]);
  for (const client of clients) await client.close();
});

Deno.test("Server.shutdown() does not wait for a peer that is silent in its handshake", async () => {
  const log = errorLog();
  let accepted = 0;
  const server = serve({
    ...loopback,
    tls: certificate,
    onError: log.onError,
    filter: () => ++accepted > 0,
  }, (connection) => connection.send("welcome"));
  using _silent = await dial(server.addr.port);
  await until(() => accepted === 1);
  await server.shutdown();
  await server.finished;
  assertEquals(log.errors, []);
});

Deno.test("Server.shutdown() closes a connection whose handshake ends during the shutdown", async () => {
  // The number of promises between handshake and handler must not matter.
  for (let turns = 0; turns < 10; turns++) {
    const [transport, peer] = transportPair();
    using _peer = peer;
    const began = Promise.withResolvers<void>();
    const shaken = Promise.withResolvers<object>();
    const closed = Promise.withResolvers<never>();
    const incoming = Object.assign(transport, {
      handshake() {
        began.resolve();
        return shaken.promise;
      },
    });
    const accepts = [Promise.resolve(incoming)];
    const server = serve({
      listener: {
        addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
        accept: () => accepts.pop() ?? closed.promise,
        close: () => closed.reject(new Deno.errors.BadResource("Closed")),
      },
      framing,
    }, echo);
    await began.promise;
    shaken.resolve({ alpnProtocol: null });
    for (let turn = 0; turn < turns; turn++) await undefined;

    await server.shutdown(); // the peer has not ended

    assertEquals(server.connections.size, 0);
  }
});

Deno.test("Server.shutdown() closes connections that wait for a place after their handshake", async () => {
  const server = serve({
    ...loopback,
    tls: certificate,
    maxConnections: 1,
    maxHandshakes: 2,
  }, echo);
  const { port } = server.addr;
  const clients = await Promise.all([
    connect({ port, framing, tls: { caCerts } }),
    connect({ port, framing, tls: { caCerts } }),
  ]);
  await until(() => server.connections.size === 1);
  await server.shutdown();
  for (const client of clients) {
    assertEquals(await client.receive(), undefined);
    await client.close();
  }
});

Deno.test("Server.unref() is refused over TLS", async () => {
  await using server = serve({ ...loopback, tls: certificate }, echo);
  assertThrows(() => server.unref(), Deno.errors.NotSupported, "TLS");
});

Deno.test({
  name: "serve() serves a Unix socket, and removes it at the end",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/socket`;
      const server = serve({ path, framing }, echo);
      assertEquals(server.addr, { transport: "unix", path });
      const client = await connect({ path, framing });
      assertEquals(await client.request("hello"), "hello");
      await server.shutdown();
      assertEquals(await client.receive(), undefined);
      await client.close();
      assertThrows(() => Deno.statSync(path), Deno.errors.NotFound);
      // The path is free again, and a socket that is already gone is not an error.
      const next = serve({ path, framing }, echo);
      Deno.removeSync(path);
      await next.shutdown();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Leaves the socket file of a server that ended without removing it. */
function leaveStaleSocket(path: string): void {
  const listener = Deno.listen({ transport: "unix", path: `${path}.old` });
  Deno.renameSync(`${path}.old`, path);
  listener.close();
}

Deno.test({
  name: "serve() takes over a Unix socket without a server",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/socket`;
      leaveStaleSocket(path);
      await using _server = serve({ path, framing }, echo);
      await using client = await connect({ path, framing });
      assertEquals(await client.request("hello"), "hello");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "serve() rejects a Unix socket that another server uses",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/socket`;
      await using _server = serve({ path, framing }, echo);
      const error = assertThrows(
        () => serve({ path, framing }, echo),
        Deno.errors.AddrInUse,
        `Cannot listen on ${path}: `,
      );
      assertInstanceOf(error.cause, Deno.errors.AddrInUse);
      await using client = await connect({ path, framing });
      assertEquals(await client.request("hello"), "hello");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "serve() removes no file that is not a socket",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/file`;
      await Deno.writeTextFile(path, "precious");
      const link = `${folder}/link`;
      leaveStaleSocket(`${folder}/socket`);
      await Deno.symlink(`${folder}/socket`, link);
      for (const each of [path, link, folder]) {
        assertThrows(
          () => serve({ path: each, framing }, echo),
          Deno.errors.AddrInUse,
          `Cannot listen on ${each}, a file that is no socket`,
        );
      }
      assertEquals(await Deno.readTextFile(path), "precious");
      assert((await Deno.lstat(link)).isSymlink);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "serve() gives a stale socket to one of several servers",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    leaveStaleSocket(path);
    const time = String(Date.now() + 500);
    await using programs = new AsyncDisposableStack();
    const answers = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const program = programs.use(start("deno", [
          "run",
          "--cached-only",
          "--allow-all",
          "serve_on_path.ts",
          path,
          time,
        ]));
        return (await program.lines.next()).value;
      }),
    );
    await using client = await connect({ path, framing });
    assertEquals(await client.receive(), "here");
    assertEquals(answers.sort(), [
      ...Array.from({ length: 3 }, () => "AddrInUse"),
      "listening",
    ]);
    await client.close();
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name:
    "serve() takes over no socket while another server may be taking it over",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    leaveStaleSocket(path);
    {
      using lock = await Deno.open(folder);
      await lock.lock(true);
      assertThrows(() => serve({ path, framing }, echo), Deno.errors.AddrInUse);
    }
    await serve({ path, framing }, echo).shutdown();
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "serve() removes its socket, and nothing else, from another folder too",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using program = start("deno", [
      "run",
      "--cached-only",
      "--allow-all",
      "serve_from_another_folder.ts",
    ]);
    assertEquals(await program.lines.next(), {
      value: "other,other/app.sock",
      done: false,
    });
    assertEquals((await program.ended).code, 0);
  },
});

Deno.test({
  name: "serve() listens on a relative path in a deep folder",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const deep = `${folder}/${"x".repeat(100)}`;
    await Deno.mkdir(deep);
    await using program = start("deno", [
      "run",
      "--cached-only",
      "--allow-all",
      fileURLToPath(
        new URL("../dev/testdata/serve_on_path.ts", import.meta.url),
      ),
      "app.sock",
    ], deep);
    assertEquals((await program.lines.next()).value, "listening");
    program.kill("SIGKILL");
    await program.ended;
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "serve() shares a port by reusePort",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using program = start("deno", [
      "run",
      "--cached-only",
      "--unstable-net",
      "--allow-net=127.0.0.1",
      "share_port.ts",
    ]);
    assertEquals(await program.lines.next(), { value: "one,two", done: false });
    assertEquals((await program.ended).code, 0);
  },
});

Deno.test({
  name: "serve() refuses reusePort without Deno's flag --unstable-net",
  ignore: "listenDatagram" in Deno,
  fn() {
    assertThrows(
      () => serve({ ...loopback, reusePort: true }, echo),
      TypeError,
      "reusePort",
    );
  },
});

Deno.test({
  name: "serve() lets no more connections wait than tcpBacklog",
  // Only there is the kernel's rule for it known.
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using server = serve(
      { ...loopback, tcpBacklog: 1, maxConnections: 1 },
      echo,
    );
    const { port } = server.addr;
    const attempts = await Promise.allSettled(
      Array.from(
        { length: 8 },
        () => connect({ port, framing, connectTimeout: 300 }),
      ),
    );
    const clients = attempts.flatMap((attempt) =>
      attempt.status === "fulfilled" ? [attempt.value] : []
    );
    for (const client of clients) await client.close();
    assert(clients.length < attempts.length);
  },
});

Deno.test("serve() copies its options when it is called", async () => {
  const first = new AbortController();
  const log = errorLog();
  const options: ServeTcpOptions<string, string> = {
    ...loopback,
    signal: first.signal,
    onError: log.onError,
  };
  const server = serve(options, echo);
  // As if reused for another server.
  options.signal = new AbortController().signal;
  options.filter = () => false;
  options.onError = () => {};
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");
  const reported = log.next;
  const reason = new Error("Enough");
  first.abort(reason);
  await server.finished;
  assertStrictEquals(await reported, reason);
});

Deno.test("serve() copies heartbeat when it is called", async () => {
  const heartbeat = { interval: 10, message: "beat" };
  await using server = serve(
    { ...loopback, heartbeat },
    async (connection) => void await connection.receive(),
  );
  heartbeat.interval = NaN;
  heartbeat.message = "another";
  await using client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.receive(), "beat");
});

Deno.test("serve() closes TLS connections without a wait for clients that send nothing", async () => {
  // A peer that was sending has a second.
  const [near, far] = transportPair();
  const waiting = new Connection(near, { framing });
  await using sending = new Connection(far, { framing });
  await sending.send("unread");
  waiting.send("last words");
  const waited = waiting.close().then(() => "waited");

  const ended = Promise.withResolvers<string>();
  await using server = serve(
    { ...loopback, tls: certificate },
    async (connection) => {
      connection.closed.then(() => ended.resolve("served"), ended.reject);
      await connection.send("welcome");
    },
  );
  await using client = await connect({
    hostname: "127.0.0.1",
    port: server.addr.port,
    framing,
    tls: { caCerts },
  });
  assertEquals(await client.receive(), "welcome"); // its side stays open
  assertEquals(await Promise.race([waited, ended.promise]), "served");
  await waited;
});
