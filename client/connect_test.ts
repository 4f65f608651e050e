import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  isPending,
  overriding,
  Peer,
  unlessReset,
} from "../connection/_testing.ts";
import { Connection } from "../connection/connection.ts";
import type { Transport } from "../connection/transport.ts";
import { connect } from "./connect.ts";
import type {
  ConnectOptions,
  ConnectTcpOptions,
  ConnectTlsOptions,
} from "./options.ts";
import { type Framing, lines } from "../framing.ts";
import { serve } from "../server/serve.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { replacing } from "../dev/testdata/replacing.ts";
import { start } from "../dev/testdata/start.ts";

const framing = lines();
const hostname = "127.0.0.1";

function listen(): Deno.TcpListener {
  return Deno.listen({ hostname, port: 0 });
}

function listenTls(alpnProtocols: string[] = []): Deno.TlsListener {
  return Deno.listenTls({ hostname, port: 0, ...certificate, alpnProtocols });
}

Deno.test("connect() has types that reject options which exclude each other", () => {
  // Not called: the type checker is the test.
  void (() => [
    // @ts-expect-error: one address
    connect({ framing: lines(), port: 1, path: "/x" }),
    // @ts-expect-error: a Unix socket has no TLS
    connect({ framing: lines(), path: "/x", tls: true }),
  ]);
});

Deno.test("connect() refuses invalid options before it opens anything", async () => {
  const open = () => {
    throw new Error("Opened");
  };
  using _nothing = replacing(
    Deno as { connect: unknown; connectTls: unknown },
    { connect: open, connectTls: open },
  );
  const path = "/tmp/socket";
  const port = 1;
  const { cert, key } = certificate;
  const cases: [object, ErrorConstructor, string][] = [
    [{}, RangeError, "port"],
    [{ port: 0 }, RangeError, "port"],
    [{ port: NaN }, RangeError, "port"],
    [{ port: -1 }, RangeError, "port"],
    [{ port: 65_536 }, RangeError, "port"],
    [{ path, port }, TypeError, "port with path"],
    [{ path, hostname }, TypeError, "hostname with path"],
    [{ path, tls: true }, TypeError, "tls with path"],
    [{ path, noDelay: true }, TypeError, "noDelay over Unix socket"],
    [{ path, keepAlive: true }, TypeError, "keepAlive over Unix socket"],
    [{ path: "" }, TypeError, "path"],
    [{ path: "x".repeat(200) }, TypeError, "bytes: current value has 200"],
    [{ path: "a\0b" }, TypeError, "no zero byte"],
    [{ port, cert, key }, TypeError, "cert outside tls"],
    [{ port, key, tls: true }, TypeError, "key outside tls"],
    [{ port, caCerts }, TypeError, "caCerts outside tls"],
    [{ port, alpnProtocols: [] }, TypeError, "alpnProtocols outside tls"],
    [{ port, serverName: "a" }, TypeError, "serverName outside tls"],
    [{ port, tls: null }, TypeError, "tls must be true, false or"],
    [{ port, tls: "yes" }, TypeError, "tls must be true, false or"],
    [{ port, tls: { cert } }, TypeError, "cert alone: cert and key"],
    [{ port, tls: { key } }, TypeError, "key alone: cert and key"],
    // Some runtimes would connect without a certificate.
    [{ port, tls: { cert: "", key: "" } }, TypeError, "tls.cert"],
    [{ port, tls: { cert, key: null } }, TypeError, "tls.key"],
    [
      { port, tls: { cert, key }, noDelay: true },
      TypeError,
      "noDelay over TLS",
    ],
    [
      { port, tls: { cert, key }, keepAlive: true },
      TypeError,
      "keepAlive over TLS",
    ],
    [
      { port, tls: { cert, key, serverName: "a" } },
      TypeError,
      "serverName with cert and key",
    ],
    [{ path, autoSelectFamily: true }, TypeError, "autoSelectFamily with path"],
    [
      { port, autoSelectFamilyAttemptDelay: 0 },
      RangeError,
      "autoSelectFamilyAttemptDelay",
    ],
    [{ port, connectTimeout: 0 }, RangeError, "connectTimeout"],
    [{ port, connectTimeout: NaN }, RangeError, "connectTimeout"],
    [{ port, framing: {} }, TypeError, "framing"],
    [{ port, hostname: null }, TypeError, "hostname"],
    [{ port, hostname: "" }, TypeError, "hostname"],
    [{ port, signal: null }, TypeError, "signal"],
    [{ port, signal: {} }, TypeError, "signal"],
    [{ port, keepAlive: 60_000 }, TypeError, "keepAlive"],
    [{ port, noDelay: "yes" }, TypeError, "noDelay"],
    [{ port, autoSelectFamily: 1 }, TypeError, "autoSelectFamily"],
    [{ port, tls: { caCerts: "a" } }, TypeError, "tls.caCerts"],
    [{ port, tls: { caCerts: [1] } }, TypeError, "tls.caCerts"],
    [{ port, tls: { alpnProtocols: "h2" } }, TypeError, "tls.alpnProtocols"],
    [{ port, tls: { alpnProtocols: [""] } }, TypeError, "tls.alpnProtocols"],
    [
      { port, tls: { alpnProtocols: ["x".repeat(256)] } },
      RangeError,
      "at most 255 bytes",
    ],
    [{ port, tls: { serverName: "" } }, TypeError, "tls.serverName"],
    [{ port, readBufferSize: 0 }, RangeError, "readBufferSize"],
    [{ port, highWaterMark: -1 }, RangeError, "highWaterMark"],
    [{ port, idleTimeout: 0 }, RangeError, "idleTimeout"],
    [{ port, messageTimeout: NaN }, RangeError, "messageTimeout"],
    [{ port, sendTimeout: Infinity }, RangeError, "sendTimeout"],
  ];
  for (const [options, errorClass, message] of cases) {
    await assertRejects(
      () =>
        connect(
          Object.assign({ framing }, options) as ConnectOptions<string, string>,
        ),
      errorClass,
      message,
    );
  }
  for (const options of [undefined, { port }, { path, framing: undefined }]) {
    await assertRejects(
      () => connect(options as ConnectOptions),
      TypeError,
      "framing must be given",
    );
  }
  const signal = AbortSignal.abort(new Error("Not any more"));
  await assertRejects(
    () => connect({ framing, port, signal }),
    Error,
    "Not any more",
  );
});

Deno.test("connect() connects to 127.0.0.1 by default", async () => {
  using listener = listen();
  await using client = await connect({ framing, port: listener.addr.port });
  using peer = new Peer(await listener.accept());
  assertEquals(client.remoteAddr, listener.addr);
  assertEquals(client.localAddr, peer.conn.remoteAddr);
  await client.send("hello");
  assertEquals(await peer.read(6), "hello\n");
});

Deno.test("connect() rejects with the system's error", async () => {
  const listener = listen();
  listener.close();
  for (const tls of [false, true]) {
    const { port } = listener.addr;
    const error = await assertRejects(
      () => connect({ framing, port, tls }),
      Deno.errors.ConnectionRefused,
      `Cannot connect to 127.0.0.1:${port}: `,
    );
    assertInstanceOf(error.cause, Deno.errors.ConnectionRefused);
    assertEquals(Reflect.get(error, "code"), "ECONNREFUSED");
  }
});

Deno.test({
  name: "connect() rejects if there is no Unix socket at the path",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      await assertRejects(
        () => connect({ framing, path: `${folder}/socket` }),
        Deno.errors.NotFound,
        `Cannot connect to ${folder}/socket: `,
      );
    } finally {
      await Deno.remove(folder);
    }
  },
});

Deno.test("connect() closes its socket when the framing throws", async () => {
  const broken: Framing = {
    decoder() {
      throw new Error("Broken");
    },
    encoder: () => ({ encode() {} }),
  };
  using listener = listen();
  await assertRejects(
    () => connect({ port: listener.addr.port, framing: broken }),
    Error,
    "Broken",
  );
  using peer = new Peer(await listener.accept());
  assertEquals(await peer.readToEnd(), "");
});

Deno.test("connect() resolves only after the TLS handshake", async () => {
  using listener = listenTls();
  for (const tls of [{ caCerts }, { caCerts, ...certificate }]) {
    const connecting = connect({ port: listener.addr.port, framing, tls });
    assert(await isPending(connecting));
    using conn = await listener.accept();
    await Promise.all([conn.handshake(), connecting]);
    await using client = await connecting;
    await conn.write(new TextEncoder().encode("hello\n"));
    assertEquals(await client.receive(), "hello");
  }
});

Deno.test("connect() rejects a certificate from an unknown authority", async () => {
  using listener = listenTls();
  for (const tls of [true, {}]) {
    const [connecting] = await Promise.allSettled([
      connect({ framing, port: listener.addr.port, tls }),
      shakeHands(listener),
    ]);
    assert(connecting.status === "rejected");
    assertInstanceOf(connecting.reason, Deno.errors.InvalidData);
    assertStringIncludes(
      connecting.reason.message,
      `Cannot connect to 127.0.0.1:${listener.addr.port}: `,
    );
  }
});

/** Replaces `Deno.connect`, so that every name connects to this machine. */
function diallingLoopback(): Disposable {
  const { connect: dial } = Deno;
  return replacing(Deno as { connect: unknown }, {
    connect: (options: Deno.ConnectOptions) => dial({ ...options, hostname }),
  });
}

Deno.test("connect() rejects a certificate for another name", async () => {
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  // The socket connects, but its certificate does not have the name.
  using _dialling = diallingLoopback();
  const [connecting] = await Promise.allSettled([
    connect({
      framing,
      hostname: "example.com",
      port: listener.addr.port,
      tls: { caCerts },
    }),
    shakeHands(listener),
  ]);
  assert(connecting.status === "rejected");
  assertInstanceOf(connecting.reason, Deno.errors.InvalidData);
});

Deno.test("connect() verifies the certificate for serverName", async () => {
  using listener = listenTls();
  // The certificate does not have the dialled name.
  using _dialling = diallingLoopback();
  const [, client] = await Promise.all([
    shakeHands(listener),
    connect({
      hostname: "example.com",
      port: listener.addr.port,
      framing,
      tls: { caCerts, serverName: "localhost" },
    }),
  ]);
  await client.close();
  const [connecting] = await Promise.allSettled([
    connect({
      port: listener.addr.port,
      framing,
      tls: { caCerts, serverName: "example.com" },
    }),
    shakeHands(listener),
  ]);
  assert(connecting.status === "rejected");
  assertInstanceOf(connecting.reason, Deno.errors.InvalidData);
});

Deno.test("connect() takes an IPv6 address in brackets over TLS, as in a URL", async () => {
  using listener = listenTls();
  using _dialling = diallingLoopback();
  const [, client] = await Promise.all([
    shakeHands(listener),
    connect({
      hostname: new URL("tcp://[::1]").hostname,
      port: listener.addr.port,
      framing,
      tls: { caCerts },
    }),
  ]);
  await client.close();
});

Deno.test("connect() and serve() give the same addresses over TLS as over TCP", async () => {
  for (const tls of [{ caCerts }, { caCerts, ...certificate }]) {
    await using server = serve(
      { hostname, port: 0, framing, tls: certificate },
      (connection) => connection.send(JSON.stringify(connection.remoteAddr)),
    );
    const { port } = server.addr;
    await using client = await connect({ port, framing, tls });
    const { localAddr, remoteAddr } = client;
    const { transport, ...rest } = JSON.parse(await client.expect());
    assertEquals(localAddr, { transport, ...rest });
    assertEquals(remoteAddr, { transport: "tcp", hostname, port });
  }
});

Deno.test("connect() passes the options for choosing an address to Deno.connect", async () => {
  const dialled: Deno.ConnectOptions[] = [];
  using _dialling = replacing(
    Deno as { connect: unknown; connectTls: unknown },
    {
      connect(options: Deno.ConnectOptions) {
        dialled.push(options);
        throw new Error("Dialled");
      },
      connectTls(options: Deno.ConnectTlsOptions) {
        dialled.push(options);
        throw new Error("Dialled");
      },
    },
  );
  const choice = { autoSelectFamily: false, autoSelectFamilyAttemptDelay: 10 };
  for (const tls of [false, true, certificate]) {
    await assertRejects(
      () => connect({ port: 1, framing, tls, ...choice }),
      Error,
      "Dialled",
    );
  }
  assertEquals(
    dialled.map((
      { hostname, port, autoSelectFamily, autoSelectFamilyAttemptDelay },
    ) => ({ hostname, port, autoSelectFamily, autoSelectFamilyAttemptDelay })),
    dialled.map(() => ({ hostname, port: 1, ...choice })),
  );
  assertEquals(dialled.length, 3);
});

Deno.test("connect() closes its socket when TLS cannot start", async () => {
  const { connect: dial } = Deno;
  using _dialling = replacing(Deno as { connect: unknown }, {
    connect: ({ port }: Deno.ConnectOptions) => dial({ hostname, port }),
  });
  using listener = listen();
  await assertRejects(
    () =>
      connect({
        framing,
        hostname: "no..name",
        port: listener.addr.port,
        tls: true,
      }),
    TypeError,
    `Cannot connect to no..name:${listener.addr.port}: `,
  );
  using peer = new Peer(await listener.accept());
  assertEquals(await peer.readToEnd(), "");
});

async function shakeHands(
  listener: Deno.TlsListener,
): Promise<Deno.TlsHandshakeInfo> {
  using conn = await listener.accept();
  return await conn.handshake();
}

Deno.test("connect() offers protocols by ALPN", async () => {
  using listener = listenTls(["one", "two"]);
  for (const tls of [{ caCerts }, { caCerts, ...certificate }]) {
    const [info, client] = await Promise.all([
      shakeHands(listener),
      connect({
        framing,
        port: listener.addr.port,
        tls: { ...tls, alpnProtocols: ["three", "two"] },
      }),
    ]);
    assertEquals(info.alpnProtocol, "two");
    await client.close();
  }
});

Deno.test("connect() sends its certificate to a server that asks for one", async () => {
  await using program = start("node", ["require_certificate.mjs"]);
  const port = Number((await program.lines.next()).value);
  const options = { port, framing };
  await using client = await connect({
    ...options,
    tls: { caCerts, ...certificate },
  });
  assertEquals(await client.receive(), "localhost");
  // With TLS 1.3 a client learns only after the handshake that it was refused.
  await using stranger = await connect({ ...options, tls: { caCerts } });
  await assertRejects(() => stranger.receive());
});

Deno.test("connect() sets noDelay and keepAlive, over TLS too", async () => {
  const calls: unknown[] = [];
  const { connect: dial } = Deno;
  using _dialling = replacing(Deno as { connect: unknown }, {
    async connect(options: Deno.ConnectOptions) {
      const conn = await dial(options);
      conn.setNoDelay = (value) => calls.push(["noDelay", value]);
      conn.setKeepAlive = (value) => calls.push(["keepAlive", value]);
      return conn;
    },
  });
  const cases: [
    Omit<ConnectTcpOptions<string>, "port" | "framing">,
    unknown[],
  ][] = [
    [{}, [["noDelay", true]]],
    [{ noDelay: true }, [["noDelay", true]]],
    [
      { noDelay: false, keepAlive: true },
      [["noDelay", false], ["keepAlive", true]],
    ],
  ];
  for (const tls of [false, { caCerts }]) {
    using listener = tls === false ? listen() : listenTls();
    const { port } = listener.addr;
    for (const [options, expected] of cases) {
      calls.length = 0;
      const [conn, client] = await Promise.all([
        accept(listener),
        connect({ ...options, framing, port, tls }),
      ]);
      assertEquals(calls, expected);
      await client.close();
      conn.close();
    }
  }
});

async function accept(
  listener: Deno.TcpListener | Deno.TlsListener,
): Promise<Deno.Conn> {
  const conn = await listener.accept();
  if ("handshake" in conn) await conn.handshake();
  return conn;
}

Deno.test("connect() rejects after connectTimeout in a TLS handshake", async () => {
  await withoutHandshake(async (port, tls) => {
    const error = await assertRejects(
      () => connect({ framing, port, tls, connectTimeout: 20 }),
      DOMException,
      `127.0.0.1:${port} within connectTimeout of 20 ms`,
    );
    assertEquals(error.name, "TimeoutError");
  });
});

Deno.test("connect() rejects when its signal is aborted in a TLS handshake", async () => {
  await withoutHandshake(async (port, tls) => {
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = connect({ framing, port, tls, signal });
    assert(await isPending(connecting));
    const reason = new Error("Changed our mind");
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => connecting), reason);
  });
});

/** Connects to a server that accepts and sends nothing. */
async function withoutHandshake(
  attempt: (port: number, tls: ConnectTlsOptions) => Promise<void>,
): Promise<void> {
  using listener = listen();
  for (const tls of [{ caCerts }, { caCerts, ...certificate }]) {
    await attempt(listener.addr.port, tls);
    using _peer = new Peer(await listener.accept());
  }
}

Deno.test("connect() rejects after connectTimeout or by its signal while it dials", async () => {
  const hung = Promise.withResolvers<never>();
  const signals: (AbortSignal | undefined)[] = [];
  using _dialling = replacing(Deno as { connect: unknown }, {
    connect(options: Deno.ConnectOptions) {
      signals.push(options.signal);
      return hung.promise;
    },
  });
  for (const tls of [false, { caCerts }]) {
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = connect({ framing, port: 1, tls, signal });
    controller.abort(new Error("Changed our mind"));
    await assertRejects(() => connecting, Error, "Changed our mind");
    await assertRejects(
      () => connect({ framing, port: 1, tls, connectTimeout: 1 }),
      DOMException,
      "connectTimeout",
    );
  }
  assert(signals.every((signal) => signal?.aborted));
});

Deno.test("connect() does not count time in which its own thread is busy", async () => {
  using plain = listen();
  using secure = listenTls();
  const cases = [
    [plain, false],
    [secure, { caCerts }],
    [secure, { caCerts, ...certificate }],
  ] as const;
  for (const [listener, tls] of cases) {
    const { port } = listener.addr;
    const accepting = accept(listener);
    const connecting = connect({ framing, port, tls, connectTimeout: 100 });
    const end = performance.now() + 300;
    while (performance.now() < end);
    await using _client = await connecting;
    using _conn = await accepting;
  }
});

Deno.test("connect() rejects if it has connected to itself", async () => {
  const { connect: dial } = Deno;
  using _dialling = replacing(Deno as { connect: unknown }, {
    async connect(options: Deno.ConnectOptions) {
      const conn = await dial(options);
      return overriding(conn, { localAddr: conn.remoteAddr });
    },
  });
  for (const tls of [false, { caCerts }]) {
    using listener = listen();
    const { port } = listener.addr;
    await assertRejects(
      () => connect({ framing, port, tls }),
      Deno.errors.ConnectionRefused,
      `127.0.0.1:${port}: no server listens there`,
    );
    using peer = new Peer(await listener.accept());
    assertEquals(await peer.readToEnd(), "");
  }
});

Deno.test("connect() closes a connection that opens after the timeout", async () => {
  const { connect: dial } = Deno;
  const late = Promise.withResolvers<Deno.TcpConn>();
  using _dialling = replacing(Deno as { connect: unknown }, {
    connect: () => late.promise,
  });
  using listener = listen();
  const { port } = listener.addr;
  await assertRejects(() => connect({ framing, port, connectTimeout: 1 }));
  late.resolve(await dial({ port }));
  using peer = new Peer(await listener.accept());
  assertEquals(await peer.readToEnd(), "");
});

Deno.test("connect() rejects when its signal is aborted as the connection opens", async () => {
  using listener = listen();
  const { port } = listener.addr;
  const { connect: dial } = Deno;
  for (const tls of [false, { caCerts }]) {
    const controller = new AbortController();
    const { signal } = controller;
    using _dialling = replacing(Deno as { connect: unknown }, {
      async connect() {
        const conn = await dial({ port });
        queueMicrotask(() => controller.abort(new Error("Changed our mind")));
        return conn;
      },
    });
    await assertRejects(
      () => connect({ framing, port, tls, signal }),
      Error,
      "Changed our mind",
    );
    using peer = new Peer(await listener.accept());
    if (tls === false) assertEquals(await peer.readToEnd(), "");
  }
});

Deno.test("connect() closes every socket when its signal is aborted as many connections open", async () => {
  let open = 0;
  let isLast = false;
  const clientsEnded = Promise.withResolvers<void>();
  await using server = serve(
    { hostname, port: 0, framing, onError: () => {} }, // a client may reset
    async (connection) => {
      open++;
      await connection.receive().finally(() => {
        open--;
        if (isLast && open === 0) clientsEnded.resolve();
      });
    },
  );
  const { port } = server.addr;
  // Each time, a few of them have connected, but their promises have not settled yet.
  for (let round = 0; round < 10; round++) {
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = Array.from(
      { length: 50 },
      () => connect({ port, framing, signal }),
    );
    setTimeout(() => controller.abort(new Error("Enough")), 0);
    for (const result of await Promise.allSettled(connecting)) {
      if (result.status === "fulfilled") {
        await result.value.closed.catch(() => {});
      }
    }
  }
  isLast = true;
  const last = await connect({ port, framing });
  await last.close();
  const late = setTimeout(
    () => clientsEnded.reject(new Error(`${open} sockets are open`)),
    5000,
  );
  await clientsEnded.promise.finally(() => clearTimeout(late));
});

Deno.test("connect() aborts the open connection when its signal is aborted", async () => {
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
  using listener = listen();
  const { port } = listener.addr;
  const client = await connect({
    framing,
    port,
    signal: counting,
    connectTimeout: 60_000,
  });
  using peer = new Peer(await listener.accept());
  const receiving = client.receive();
  const reason = new Error("Enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => receiving), reason);
  assertStrictEquals(await assertRejects(() => client.closed), reason);
  assertEquals(await unlessReset(peer.readToEnd(), ""), "");
  assertEquals(listeners, 0);
});

Deno.test("connect() receives over a TLS connection that it has half-closed", async () => {
  using listener = listenTls();
  const [conn, client] = await Promise.all([
    listener.accept().then(async (conn) => {
      await conn.handshake();
      return conn;
    }),
    connect({ port: listener.addr.port, framing, tls: { caCerts } }),
  ]);
  await client.send("question");
  await client.closeWrite();
  const buffer = new Uint8Array(100);
  assertEquals(await conn.read(buffer), "question\n".length);
  assertEquals(await conn.read(buffer), null);
  await conn.write(new TextEncoder().encode("answer\n"));
  assertEquals(await client.receive(), "answer");
  conn.close();
  assertEquals(await client.receive(), undefined);
  await client.closed;
});

Deno.test("connect() and serve() give the protocol that ALPN chose", async () => {
  const agreed = Promise.withResolvers<unknown>();
  await using server = serve({
    hostname: "127.0.0.1",
    port: 0,
    framing,
    tls: { ...certificate, alpnProtocols: ["b", "a"] },
  }, (connection) => agreed.resolve(connection.alpnProtocol));
  const { port } = server.addr;
  const tls = { caCerts, serverName: "localhost" };
  await using client = await connect({
    port,
    framing,
    tls: { ...tls, alpnProtocols: ["a"] },
  });
  assertEquals([client.alpnProtocol, await agreed.promise], ["a", "a"]);
  await using without = await connect({ port, framing, tls });
  assertEquals(without.alpnProtocol, null);
});

Deno.test("connect() copies its options when it is called", async () => {
  await using server = serve(
    { hostname, port: 0, framing },
    (connection) => connection.send("12"),
  );
  const options: ConnectTcpOptions<string, string> = {
    port: server.addr.port,
    framing,
  };
  const connecting = connect(options);
  options.framing = lines({ maxLength: 1 });
  options.signal = AbortSignal.abort();
  await using client = await connecting;
  assertEquals(await client.receive(), "12");
});

Deno.test("Connection.close() over TLS waits for the session tickets of a server that has sent nothing else", async () => {
  using listener = listen();
  const gate = Promise.withResolvers<void>();
  async function acceptOne() {
    const conn = await listener.accept();
    let hasAnswered = false;
    let isFinished = false;
    const holding = overriding<Transport>(conn, {
      async read(buffer) {
        const length = await conn.read(buffer);
        isFinished = hasAnswered;
        return length;
      },
      async write(bytes) {
        // The tickets follow the client's last part of the handshake.
        if (isFinished) await gate.promise;
        hasAnswered = true;
        return await conn.write(bytes);
      },
    });
    const connection = new Connection(holding, { framing });
    await connection.startTls({ side: "server", ...certificate });
    const received = await Array.fromAsync(connection);
    return { received, connection };
  }
  const accepted = acceptOne();
  const { port } = listener.addr;
  const client = await connect({ hostname, port, framing, tls: { caCerts } });
  client.send("last words");
  const closed = client.close();
  const { received, connection } = await accepted;
  assertEquals(received, ["last words"]);
  assert(await isPending(closed));

  gate.resolve();
  await Promise.all([closed, connection.close()]);
});
