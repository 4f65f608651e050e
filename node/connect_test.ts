import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import * as tls from "node:tls";
import { connect } from "./connect.ts";
import type { ConnectTcpOptions } from "./options.ts";
import { reconnect } from "./reconnect.ts";
import { serve } from "./serve.ts";
import { socketTransport } from "./socket_transport.ts";
import { overriding, turn } from "../connection/_testing.ts";
import { Connection } from "../connection/connection.ts";
import type { Transport } from "../connection/transport.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { lines } from "../framing/lines.ts";

const framing = lines();
const loopback = { hostname: "127.0.0.1", port: 0, framing };

/** A port without a server. */
async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

Deno.test("connect() of node.ts rejects with Deno's name and Node's code if refused", async () => {
  const port = await closedPort();
  const error = await assertRejects(() => connect({ port, framing }), Error);
  assertEquals(error.name, "ConnectionRefused");
  assertEquals(Reflect.get(error, "code"), "ECONNREFUSED");
  assertStringIncludes(error.message, `Cannot connect to 127.0.0.1:${port}: `);
  assertInstanceOf(error.cause, Error);
});

Deno.test("connect() of node.ts rejects with NotFound if there is no Unix socket", async () => {
  const error = await assertRejects(
    () => connect({ path: "/nowhere/app.sock", framing }),
    Error,
  );
  assertEquals(error.name, "NotFound");
  assertEquals(Reflect.get(error, "code"), "ENOENT");
});

Deno.test({
  name: "connect() of node.ts names an invalid certificate, and the address",
  ignore: "deno" in process.versions, // its node:tls checks the certificate later
}, async () => {
  for (const tls of [{ cert: "x", key: "y" }, { ...certificate, key: "y" }]) {
    const error = await assertRejects(
      () => connect({ port: 1, framing: lines(), tls }),
      Error,
      "Cannot connect to 127.0.0.1:1: ",
    );
    assertEquals(error.name, "InvalidData");
  }
});

Deno.test("connect() of node.ts refuses invalid options", async () => {
  const cases: [object, ErrorConstructor, string][] = [
    [{ port: 1, keepAliveInitialDelay: -1 }, RangeError, "keepAliveInitial"],
    [{ path: "/x", keepAliveInitialDelay: 1 }, TypeError, "keepAliveInitial"],
    [{ path: "/x", noDelay: true }, TypeError, "noDelay"],
    [{ port: 0 }, RangeError, "port"],
    [{ port: 1, heartbeat: { interval: 1, message: "\n" } }, TypeError, "line"],
    [{ port: 1, tls: { cert: "x" } }, TypeError, "cert"],
    // Node would connect without a certificate.
    [{ port: 1, tls: { cert: "", key: "" } }, TypeError, "tls.cert"],
    [{ port: 1, tls: { cert: "x", key: null } }, TypeError, "tls.key"],
  ];
  for (const [options, type, message] of cases) {
    const all: object = { framing, ...options };
    await assertRejects(() => connect(all as ConnectTcpOptions), type, message);
  }
});

for (const call of ["connect()", "reconnect()", "serve()"]) {
  Deno.test(`${call} of node.ts refuses Workers, whose node:net loses bytes`, async () => {
    Reflect.set(globalThis, "WebSocketPair", class {});
    const options = { port: 1, framing };
    const onError = () => {
      throw new Error("It tries again");
    };
    const calls: Record<string, () => Promise<unknown>> = {
      "connect()": () => connect(options),
      "reconnect()": () => reconnect({ ...options, onError }, () => {}),
      "serve()": () => serve(loopback, () => {}),
    };
    try {
      const error = await assertRejects(
        async () => await calls[call]?.(),
        Error,
        "node:net of Workers loses bytes",
      );
      assertEquals(error.name, "NotSupported");
    } finally {
      Reflect.deleteProperty(globalThis, "WebSocketPair");
    }
  });
}

Deno.test("connect() of node.ts takes a fraction as autoSelectFamilyAttemptDelay", async () => {
  await using server = await serve(
    loopback,
    (connection) => connection.send("a"),
  );
  await using client = await connect({
    port: server.addr.port,
    framing,
    autoSelectFamilyAttemptDelay: 250.5,
  });
  assertEquals(await client.receive(), "a");
});

Deno.test("connect() of node.ts sets noDelay and keepAlive over TLS", async () => {
  await using server = await serve(
    { ...loopback, tls: certificate, noDelay: true, keepAlive: true },
    (connection) => connection.send("welcome"),
  );
  await using client = await connect({
    port: server.addr.port,
    framing,
    tls: { caCerts },
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  });
  assertEquals(await client.receive(), "welcome");
});

Deno.test("connect() of node.ts verifies the certificate for serverName", async () => {
  await using server = await serve(
    { ...loopback, tls: certificate, onError: () => {} },
    (connection) => connection.send("welcome"),
  );
  const { port } = server.addr;
  await using client = await connect({
    port,
    framing,
    tls: { caCerts, serverName: "localhost" },
  });
  assertEquals(await client.receive(), "welcome");
  const error = await assertRejects(
    () =>
      connect({ port, framing, tls: { caCerts, serverName: "example.com" } }),
    Error,
  );
  assertEquals(error.name, "InvalidData");
});

Deno.test({
  name:
    "connect() of node.ts trusts caCerts in addition to the default certificates",
  ignore: "deno" in process.versions, // listing certificates needs a permission
  async fn() {
    await using server = await serve(
      { ...loopback, tls: certificate },
      (connection) => connection.send("welcome"),
    );
    const usual = tls.getCACertificates("default");
    // Like NODE_EXTRA_CA_CERTS, but at run time; the types do not have it.
    const trust: unknown = Reflect.get(tls, "setDefaultCACertificates");
    assert(typeof trust === "function");
    trust(caCerts);
    try {
      await using client = await connect({
        port: server.addr.port,
        framing,
        tls: { caCerts: usual.slice(0, 1) },
      });
      assertEquals(await client.receive(), "welcome");
    } finally {
      trust(usual);
    }
    await assertRejects(() =>
      connect({
        port: server.addr.port,
        framing,
        tls: { caCerts: usual.slice(0, 1) },
      })
    );
  },
});

Deno.test("connect() of node.ts trusts what this call names, not what the last one named", async () => {
  const { cert, key } = certificate;
  await using server = await serve(
    { ...loopback, tls: certificate, onError: () => {} },
    (connection) => connection.send("welcome"),
  );
  const { port } = server.addr;
  const others = tls.rootCertificates.slice(0, 1);
  for (let time = 0; time < 2; time++) {
    for (const own of [{}, { cert, key }]) {
      const trusting = { caCerts, ...own };
      await using client = await connect({ port, framing, tls: trusting });
      assertEquals(await client.receive(), "welcome");
      await assertRejects(() =>
        connect({ port, framing, tls: { caCerts: others, ...own } })
      );
    }
  }
});

Deno.test("connect() of node.ts rejects a certificate from an unknown authority", async () => {
  await using server = await serve(
    { ...loopback, tls: certificate, onError: () => {} },
    () => {},
  );
  const error = await assertRejects(
    () => connect({ port: server.addr.port, framing, tls: true }),
    Error,
  );
  assertEquals(error.name, "InvalidData");
  assertStringIncludes(error.message, `127.0.0.1:${server.addr.port}: `);
});

Deno.test("connect() of node.ts reports a refused client certificate as InvalidData after the handshake", async () => {
  const { cert, key } = certificate;
  const server = tls.createServer({
    cert,
    key,
    requestCert: true,
    ca: caCerts,
  }, (socket) => socket.end("welcome\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const shown = { caCerts, cert, key };
  const accepted = await connect({ port, framing, tls: shown });
  assertEquals(await accepted.receive(), "welcome");
  await accepted.close();
  // A TLS 1.3 client finishes its handshake before the server has seen that it has no
  // certificate.
  const client = await connect({ port, framing, tls: { caCerts } });
  const error = await assertRejects(() => client.receive());
  assertInstanceOf(error, Error);
  assertEquals(error.name, "InvalidData");
  await client.close();
  server.close();
  await once(server, "close");
});

Deno.test("connect() of node.ts rejects with UnexpectedEof if the server ends during the handshake, as in Deno", async () => {
  const server = createServer((socket) => socket.resume().end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const error = await assertRejects(
    () => connect({ port, framing, tls: true }),
    Error,
    `Cannot connect to 127.0.0.1:${port}: the peer has ended the connection`,
  );
  assertEquals(error.name, "UnexpectedEof");
  server.close();
  await once(server, "close");
});

Deno.test("connect() of node.ts reports bytes that are not TLS right after the server's part of the handshake", async () => {
  const ended = Promise.withResolvers<unknown>();
  const server = createServer(async (socket) => {
    const transport = socketTransport(socket);
    let isFirst = true;
    const damaging = overriding<Transport>(transport, {
      async write(bytes) {
        let rest = bytes;
        if (isFirst) rest = new Uint8Array([...bytes, ...new Uint8Array(50)]);
        isFirst = false;
        while (rest.length > 0) {
          rest = rest.subarray(await transport.write(rest));
        }
        return bytes.length;
      },
    });
    await using connection = new Connection(damaging, { framing });
    await connection.startTls({ side: "server", ...certificate }).catch(
      () => {},
    );
    await connection.receive().catch(() => {});
    socket.once("close", ended.resolve);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const error = await assertRejects(async () => {
    await using client = await connect({ port, framing, tls: { caCerts } });
    await ended.promise;
    for (let i = 0; i < 3; i++) await turn(); // the end arrives meanwhile
    await client.receive();
  }, Error);
  assertEquals(error.name, "InvalidData");
  server.close();
  await once(server, "close");
});

Deno.test("connect() of node.ts rejects after connectTimeout, also during its TLS handshake", async () => {
  const server = createServer((socket) => socket.resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const error = await assertRejects(
    () => connect({ port, framing, tls: true, connectTimeout: 20 }),
    DOMException,
  );
  assertEquals(error.name, "TimeoutError");
  assert(error.message.includes("connectTimeout of 20 ms"));
  server.close();
  await once(server, "close");
});

Deno.test("connect() of node.ts keeps unreceived bytes in a buffer that others do not overwrite", async () => {
  await using server = await serve(loopback, async (connection) => {
    const name = await connection.receive() ?? "";
    await Promise.all(
      Array.from({ length: 2000 }, () => connection.send(name)),
    );
  });
  const { port } = server.addr;
  // The rest of each read stays in the transport.
  const options = { ...loopback, port, readBufferSize: 16 };
  await using one = await connect(options);
  await using other = await connect(options);
  const names = ["one", "other"];
  assertEquals(await one.request("one"), "one");
  assertEquals(await other.request("other"), "other");
  for (const [index, connection] of [one, other].entries()) {
    const left = await Array.fromAsync(
      { length: 1999 },
      () => connection.receive(),
    );
    assertEquals([...new Set(left)], [names[index]]);
    assertEquals(await connection.receive(), undefined);
  }
});

Deno.test({
  name:
    "connect() of node.ts tells the address of a peer that has reset the connection",
  ignore: !("bun" in process.versions), // others reject
}, async () => {
  const server = createServer((socket) => socket.resetAndDestroy());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const connection = await connect({ hostname: "localhost", port, framing });
  assertEquals(connection.remoteAddr, {
    transport: "tcp",
    hostname: "127.0.0.1",
    port,
  });
  connection.abort();
  server.close();
  await once(server, "close");
});
