import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import process from "node:process";
import type { Duplex } from "node:stream";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { assembled } from "../framing/assembled.ts";
import { grouped } from "../framing/grouped.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { mapped } from "../framing/mapped.ts";
import { unframed } from "../framing/unframed.ts";
import { nextTurn } from "../internal/event_loop.ts";
import { systemError } from "../internal/system_error.ts";
import { transportPair } from "../testing/transport_pair.ts";
import {
  isPending,
  overriding,
  pair,
  run,
  sockets,
  SOCKETS_PROGRAM,
  toBytes,
  until,
  untilSteady,
} from "./_testing.ts";
import { Connection } from "./connection.ts";
import type {
  StartTlsClientOptions,
  StartTlsOptions,
  StartTlsServerOptions,
} from "./options.ts";
import type { Transport } from "./transport.ts";

const MEBIBYTE = 1024 * 1024;
const TLS_HANDSHAKE = 22; // the type of a record
const framing = lines();
const asServer: StartTlsServerOptions = { side: "server", ...certificate };
const asClient: StartTlsClientOptions = { serverName: "localhost", caCerts };

interface Ends extends AsyncDisposable {
  readonly client: Connection<string>;
  readonly server: Connection<string>;
}

function framed([near, far]: readonly [Transport, Transport]): Ends {
  const client = new Connection(near, { framing });
  const server = new Connection(far, { framing });
  return {
    client,
    server,
    async [Symbol.asyncDispose]() {
      for (const end of [client, server]) {
        end.abort();
        await end.closed.catch(() => {});
      }
    },
  };
}

/** Two ends, the first of which notes whether it keeps the process alive. */
function notingRef(noted: { keepsAlive: boolean }): [Transport, Transport] {
  const [near, far] = transportPair();
  const noting = overriding(near, {
    ref: () => noted.keepsAlive = true,
    unref: () => noted.keepsAlive = false,
  });
  return [noting, far];
}

async function unixSockets(): Promise<[Transport, Transport]> {
  const path = `${await Deno.makeTempDir()}/socket`;
  using listener = Deno.listen({ transport: "unix", path });
  return await Promise.all([
    Deno.connect({ transport: "unix", path }),
    listener.accept(),
  ]);
}

const WAYS: [name: string, open: () => Promise<[Transport, Transport]>][] = [
  ["TCP", sockets],
  ["a Unix socket", unixSockets],
  ["memory", () => Promise.resolve(transportPair())],
];

Deno.test("Connection.startTls() refuses after abort(), with its reason", async () => {
  await using ends = framed(transportPair());
  const { client } = ends;
  client.abort(new Error("enough"));
  await assertRejects(() => client.startTls(asClient), Error, "enough");
});

Deno.test("Connection.startTls() rejects if the peer sends bytes while the queue is sent", async () => {
  const [near, far] = transportPair({ bufferSize: 8 });
  await using ends = framed([near, far]);
  const { client, server } = ends;
  const sending = client.send("longer than the buffer");
  sending.catch(() => {});
  const receiving = isPending(client.peerEnded); // starts a read
  const securing = client.startTls(asClient);
  await server.send("early");
  await receiving;
  assertEquals(await server.receive(), "longer than the buffer");
  await assertRejects(() => securing, DOMException, "unread");
  // The connection continues without TLS.
  assertEquals(await client.receive(), "early");
  await client.send("still here");
  assertEquals(await server.receive(), "still here");
});

Deno.test("Connection.startTls() lets receivers wait while the queue is sent, so none takes an unencrypted message", async () => {
  for (const waitsBefore of [false, true]) {
    const [near, far] = transportPair({ bufferSize: 8 });
    await using ends = framed([near, far]);
    const { client, server } = ends;
    client.send("longer than the buffer").catch(() => {});
    let receiving = waitsBefore ? client.receive() : undefined;
    const securing = client.startTls(asClient);
    receiving ??= client.receive();
    for (const each of [securing, receiving]) each.catch(() => {});
    await server.send("early");
    assert(await isPending(receiving));
    assertEquals(await server.receive(), "longer than the buffer");
    if (!waitsBefore) {
      // The bytes were not read yet: they are taken for the handshake.
      await assertRejects(() => securing, Error);
      await assertRejects(() => receiving, Error);
      continue;
    }
    await assertRejects(() => securing, DOMException, "unread");
    assertEquals(await receiving, "early"); // it continues without TLS
    await server.send("later");
    assertEquals(await client.receive(), "later");
  }
});

Deno.test("Connection.startTls() rejects before the end of a body, also if it is cancelled", async () => {
  for (const isCancelled of [false, true]) {
    const [near, far] = transportPair();
    await using ends = framed([near, far]);
    const { client } = ends;
    const body = client.receiveStream(4);
    if (isCancelled) await body.cancel();
    else {
      await far.write(toBytes("ab"));
      const { value } = await body.getReader().read();
      assertEquals(value?.length, 2);
    }
    await assertRejects(
      () => client.startTls(asClient),
      DOMException,
      "unread",
    );
  }
});

Deno.test("Connection.startTls() rejects while the queue of readable holds a message", async () => {
  const [near, far] = transportPair();
  await using ends = framed([near, far]);
  const { client } = ends;
  const abandoned = client.readable.getReader();
  const reading = abandoned.read();
  reading.catch(() => {});
  assert(await isPending(reading)); // the stream has asked for a message
  abandoned.releaseLock();
  const reader = client.readable.getReader();
  await far.write(toBytes("forged\n"));
  await until(() => client.stats().messagesReceived > 0);
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "unread",
  );
  assertEquals(await reader.read(), { value: "forged", done: false });
});

Deno.test("Connection.startTls() that rejects after its queue was sent lets no message sent meanwhile leave unencrypted", async () => {
  const [near, far] = transportPair({ bufferSize: 8 });
  const client = new Connection(near, { framing });
  const receiving = client.receive(); // reads what arrives
  client.send("longer than the buffer").catch(() => {});
  const securing = client.startTls(asClient);
  const sending = client.send("secret").then(() => client.flush());
  for (const each of [receiving, securing, sending]) each.catch(() => {});
  await far.write(toBytes("no\n"));
  const server = new Connection(far, { framing });
  assertEquals(await server.receive(), "longer than the buffer");
  const failures = await Promise.allSettled([securing, sending, receiving]);
  for (const failure of failures) {
    assert(failure.status === "rejected");
    assertMatch(`${failure.reason}`, /not encrypted/);
  }
  await client.close();
  assertEquals(await server.receive().catch(() => undefined), undefined);
  await server.close();
});

Deno.test("Connection.startTls() that refuses bytes which had arrived before lets no message sent in the same turn leave unencrypted", async () => {
  const [near, far] = transportPair();
  const client = new Connection(near, { framing });
  await far.write(toBytes("go ahead\nforged\n"));
  assertEquals(await client.receive(), "go ahead");
  const securing = client.startTls(asClient);
  const sending = client.send("secret").then(() => client.flush());
  for (const failure of await Promise.allSettled([securing, sending])) {
    assert(failure.status === "rejected");
    assertMatch(`${failure.reason}`, /not encrypted/);
  }
  await client.close();
  const server = new Connection(far, { framing });
  assertEquals(await server.receive().catch(() => undefined), undefined);
  await server.close();
});

Deno.test("Connection.startTls() tells waiting receivers of an abort() while the queue is sent", async () => {
  await using ends = framed(transportPair({ bufferSize: 8 }));
  const { client } = ends;
  client.send("longer than the buffer").catch(() => {});
  const securing = client.startTls(asClient);
  const receiving = client.receive();
  client.abort(new Error("enough"));
  await assertRejects(() => receiving, Error, "enough");
  await assertRejects(() => securing, Error, "enough");
});

Deno.test("Connection.startTls() gives receivers no unencrypted message if the connection ends while the queue is sent", async () => {
  const stops = {
    "close()": (client: Connection<string>) => client.close(),
    "closeRead()": (client: Connection<string>) => client.closeRead(),
    "readable.cancel()": (client: Connection<string>) =>
      client.readable.cancel(),
    "a timeout": undefined,
    "a failed write": undefined,
  };
  for (const [end, stop] of Object.entries(stops)) {
    const [near, far] = transportPair({ bufferSize: 8 });
    const client = new Connection(near, {
      framing,
      sendTimeout: end === "a timeout" ? 20 : undefined,
    });
    client.send("longer than the buffer").catch(() => {});
    const receiving = [client.receive()];
    const securing = client.startTls(asClient);
    receiving.push(client.receive());
    const settling = Promise.allSettled([...receiving, securing]);
    await far.write(toBytes("a\n"));
    await until(() => far.inFlight === 0 && near.arrived === 0);
    if (stop !== undefined) {
      stop(client);
      assertEquals(await Promise.all(receiving), [undefined, undefined]);
      client.abort();
    } else if (end === "a failed write") far.close();
    await until(() => client.hasEnded); // its timers keep nothing alive
    const reasons = (await settling).map((each) =>
      each.status === "rejected" ? each.reason.name : each.value
    );
    const expected = stop !== undefined
      ? [undefined, undefined, "AbortError"]
      : Array(3).fill(end === "a timeout" ? "TimeoutError" : "BrokenPipe");
    assertEquals(reasons, expected, end);
    await client.closed.catch(() => {});
  }
});

Deno.test("Connection.startTls() rejects with the error of the write that failed, although bytes of the peer came", async () => {
  const [near, far] = transportPair();
  const gone = new Error("Gone");
  gone.name = "BrokenPipe";
  const writing = Promise.withResolvers<number>();
  const client = new Connection(
    overriding(near, { write: () => writing.promise }),
    { framing },
  );
  client.send("never taken").catch(() => {});
  const receiving = client.receive();
  const securing = client.startTls(asClient);
  for (const each of [receiving, securing]) each.catch(() => {});
  await far.write(toBytes("a\n"));
  await until(() => near.arrived === 0);
  writing.reject(gone);
  await assertRejects(() => securing, Error, "Gone");
  far.close();
  await assertRejects(() => receiving, Error, "Gone");
});

Deno.test("Connection.startTls() rejects with the reason of an abort() while the queue is sent", async () => {
  await using ends = framed(transportPair({ bufferSize: 8 }));
  const { client } = ends;
  client.send("longer than the buffer").catch(() => {});
  const securing = client.startTls(asClient);
  client.abort(new Error("enough"));
  await assertRejects(() => securing, Error, "enough");
});

Deno.test("Connection.startTls() says that the runtime has no node:tls", async () => {
  await using ends = framed(transportPair());
  const { getBuiltinModule } = process;
  Object.assign(process, { getBuiltinModule: undefined });
  try {
    await assertRejects(
      () => ends.client.startTls(asClient),
      TypeError,
      "node:tls",
    );
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
});

Deno.test("Connection.startTls() rejects if node:tls makes no handshake, and sends nothing in plain text", async () => {
  const [near, far] = transportPair();
  await using ends = framed([near, far]);
  const { getBuiltinModule } = process;
  // As in Workers: the socket says that it is secure, and passes bytes on unchanged.
  const connect = ({ socket }: { socket: Duplex }) => {
    queueMicrotask(() => socket.emit("secureConnect"));
    return Object.assign(socket, {
      encrypted: true,
      authorized: true,
      getProtocol: () => null,
    });
  };
  Object.assign(process, {
    getBuiltinModule: (name: string) =>
      name === "node:tls" ? { connect } : getBuiltinModule(name),
  });
  try {
    const securing = ends.client.startTls(asClient);
    const sending = ends.client.send("password");
    await assertRejects(() => securing, TypeError, "no handshake");
    await sending.catch(() => {});
    await assertRejects(() => ends.client.closed, TypeError, "no handshake");
    assertEquals(far.arrived, 0);
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
});

for (const [name, open] of WAYS) {
  Deno.test(`Connection.startTls() encrypts both directions over ${name}`, async () => {
    await using ends = framed(await open());
    const { client, server } = ends;
    client.send("STARTTLS");
    assertEquals(await server.receive(), "STARTTLS");
    const answer = server.send("go ahead");
    const securing = server.startTls(asServer);
    const early = server.send("encrypted"); // it is sent before the handshake
    assertEquals(await client.receive(), "go ahead");
    await client.startTls(asClient);
    await Promise.all([answer, securing, early]);
    assertEquals(await client.receive(), "encrypted");
    assertEquals(
      await Promise.all([
        client.request("é"),
        (async () => {
          await server.send(`${await server.receive()}!`);
        })(),
      ]),
      ["é!", undefined],
    );
    // Half-close, then a large answer.
    const large = "x".repeat(500_000);
    await client.closeWrite();
    assertEquals(await server.receive(), undefined);
    const sent = server.send(large);
    assertEquals(await client.receive(), large);
    await sent;
    await server.close();
    assertEquals(await client.receive(), undefined);
    await client.closed;
  });
}

Deno.test("Connection.startTls() rejects with the error of the transport below, of any type, and for an impossible read", async () => {
  const faults: [Partial<Transport>, unknown][] = [
    [{ write: () => Promise.reject(undefined) }, undefined],
    [{ write: () => Promise.reject(null) }, null],
    [{ write: () => Promise.reject("text") }, "text"],
    [{ read: () => Promise.reject(undefined) }, undefined],
    [{ read: () => Promise.resolve(NaN) }, RangeError],
    [{ read: () => Promise.resolve(-1) }, RangeError],
  ];
  for (const [methods, expected] of faults) {
    const [near, far] = transportPair();
    await using ends = framed([overriding(near, methods), far]);
    const { client } = ends;
    const error = await client.startTls(asClient).then(
      () => "started",
      (error) => error,
    );
    if (expected === RangeError) assertInstanceOf(error, RangeError);
    else assertEquals(error, expected);
    assertEquals(await client.closed.catch((error) => error), error);
  }
});

Deno.test("Connection.startTls() leaves no rejection unhandled if close() or reset() of the transport below is async", async () => {
  const [near, far] = transportPair();
  const late = () => Promise.reject(new Error("no unhandled rejection"));
  const methods = { close: late, reset: late };
  await using ends = framed([overriding(near, methods), far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  client.abort();
  await client.closed.catch(() => {});
  near.close();
});

Deno.test("Connection.startTls() rejects while a message is encoded", async () => {
  let starting: Promise<void> | undefined;
  await using ends = await pair({
    framing: mapped(lines(), {
      decode: (line) => line,
      encode(line: string) {
        if (line === "STARTTLS") starting = connection.startTls(asClient);
        return line;
      },
    }),
  });
  const { connection, peer } = ends;
  connection.send("STARTTLS");
  connection.send("and not a word of this before TLS, had it begun");
  const error = await assertRejects(async () => await starting, DOMException);
  assertEquals(error.name, "InvalidStateError");
  await connection.close();
  assertEquals((await peer.readToEnd()).split("\n").length, 3);
});

Deno.test("Connection.startTls() works while a read is pending on both sides", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  const received = [client.receive(), server.receive()];
  client.peerEnded.catch(() => {});
  server.peerEnded.catch(() => {});
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  client.send("from client");
  server.send("from server");
  assertEquals(await Promise.all(received), ["from server", "from client"]);
});

Deno.test("Connection.startTls() gives the peer's end after many waiting messages, and reads only a little ahead", async () => {
  const [near, far] = transportPair({ bufferSize: 2 * MEBIBYTE });
  await using ends = framed([near, far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  const line = "x".repeat(MEBIBYTE - 1);
  assert(await isPending(client.peerEnded)); // starts a read
  server.send(line);
  await server.closeWrite();

  await untilSteady(() => near.arrived);
  assert(near.arrived + far.inFlight > MEBIBYTE / 2);

  assertEquals(await client.receive(), line);
  assertEquals(await client.receive(), undefined);
});

Deno.test("Connection.flush() in TLS waits for a peer that does not receive, and close() loses nothing", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  const line = "x".repeat(MEBIBYTE / 4);
  for (let count = 0; count < 8; count++) server.send(line);
  const flushed = server.flush();
  assert(await isPending(flushed));
  const closed = server.close();
  for (let count = 0; count < 8; count++) {
    assertEquals(await client.receive(), line);
  }
  assertEquals(await client.receive(), undefined);
  await client.close();
  await Promise.all([flushed, closed]);
});

Deno.test("Connection.closeWrite() in TLS still receives the peer's messages before its end", async () => {
  const [near, far] = transportPair();
  await using ends = framed([near, far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  for (const line of ["one", "two"]) client.send(line);
  await client.closeWrite();
  await untilSteady(() => far.arrived); // the end has arrived inside TLS
  await server.closeWrite();

  assertEquals(await server.receive(), "one");
  assertEquals(await server.receive(), "two");
  assertEquals(await server.receive(), undefined);
  await server.closed;
});

Deno.test("Connection.closeWrite() in TLS resolves when the transport has sent the end, also after the peer's end", async () => {
  const [near, far] = transportPair({ bufferSize: 16 }); // less than the TLS end needs
  await using ends = framed([near, far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  await server.closeWrite();
  assertEquals(await client.receive(), undefined);

  near.stall();
  const ended = client.closeWrite();
  assert(await isPending(ended));
  near.resume();
  assertEquals(await server.receive(), undefined);
  await Promise.all([ended, client.closed, server.closed]);
});

Deno.test("Connection.startTls() verifies the certificate for an IP address", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  await Promise.all([
    client.startTls({ serverName: "127.0.0.1", caCerts }),
    server.startTls(asServer),
  ]);
  client.send("hello");
  assertEquals(await server.receive(), "hello");

  await using others = framed(transportPair());
  const refused = others.client.startTls({ serverName: "127.0.0.2", caCerts });
  others.server.startTls(asServer).catch(() => {});
  const error = await assertRejects(() => refused, Error);
  assertEquals(error.name, "InvalidData");
});

Deno.test({
  name:
    "Connection.startTls() verifies the certificate for an IPv6 address, also in brackets",
  // checkServerIdentity() of Node 22 does not support IPv6 addresses.
  ignore: process.versions.node.startsWith("22."),
  async fn() {
    for (const serverName of ["::1", "[::1]"]) {
      await using ends = framed(transportPair());
      const { client, server } = ends;
      await Promise.all([
        client.startTls({ serverName, caCerts }),
        server.startTls(asServer),
      ]);
      client.send("hello");
      assertEquals(await server.receive(), "hello");
    }
  },
});

Deno.test("Connection.startTls() resolves with the ALPN protocol", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  assertEquals(client.alpnProtocol, undefined);
  await Promise.all([
    client.startTls({ ...asClient, alpnProtocols: ["b", "a"] }),
    server.startTls({ ...asServer, alpnProtocols: ["a"] }),
  ]);
  assertEquals([client.alpnProtocol, server.alpnProtocol], ["a", "a"]);
  assertEquals(client.remoteAddr?.transport, "tcp");
});

Deno.test("Connection.startTls() rejects while bytes of the peer are unread", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  server.send("go ahead");
  server.send("injected");
  assertEquals(await client.receive(), "go ahead");
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "bytes of the peer are unread",
  );
  // The connection is unchanged.
  assertEquals(await client.receive(), "injected");
  client.send("still plain");
  assertEquals(await server.receive(), "still plain");
});

Deno.test("Connection.startTls() that rejects within the turn leaves one pending write at most", async () => {
  const [near, far] = transportPair({ bufferSize: 64 });
  await using client = new Connection(near, { framing });
  await using server = new Connection(far, { framing });
  void client.peerEnded; // makes the connection read ahead
  await until(() => near.isReading);
  client.send("a");
  const securing = client.startTls(asClient);
  await far.write(toBytes("injected\n"));
  await assertRejects(() => securing, DOMException, "unread");
  const sent = ["b", "c".repeat(100), "d", "e"];
  for (const line of sent) client.send(line);
  await until(() => near.isWriting);
  client.send("f");
  for (const line of ["a", ...sent, "f"]) {
    assertEquals(await server.receive(), line);
  }
  assertEquals(await client.receive(), "injected");
});

Deno.test("Connection.startTls() rejects while a decoder has taken a part of a message", async () => {
  const [near, far] = transportPair();
  const isLast = (line: string) => line[3] !== "-";
  await using client = new Connection(near, {
    framing: grouped(framing, isLast),
  });
  await using server = new Connection(far, { framing });
  const reply = client.receive();
  await server.send("250-injected");
  await until(() => client.stats().bytesReceived > 0);
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "bytes of the peer are unread",
  );
  // The connection is unchanged.
  await server.send("250 still plain");
  assertEquals(await reply, ["250-injected", "250 still plain"]);
});

Deno.test("Connection.startTls() of a server uses handshake bytes that were read to watch the peer", async () => {
  const [near, far] = await sockets();
  await using client = new Connection(near, { framing });
  await using server = new Connection(far, { framing });
  // A peer that starts with TLS.
  const early = client.startTls(asClient);
  const seen = server.peerEnded;
  await until(() => server.stats().bytesReceived > 0);
  await Promise.all([server.startTls(asServer), early]);
  server.send("welcome");
  assertEquals(await client.receive(), "welcome");
  assertEquals(await client.closeWrite(), undefined);
  assertEquals(await server.receive(), undefined);
  await seen;
});

Deno.test("Connection.startTls() of a server takes bytes that arrive while the queue is sent as handshake bytes", async () => {
  const [near, far] = transportPair({ bufferSize: 8 });
  const server = new Connection(far, { framing });
  const watching = isPending(server.peerEnded); // starts a read
  server.send("longer than the buffer").catch(() => {});
  const securing = server.startTls(asServer);
  await near.write(toBytes("no TLS"));
  await watching;
  for (let read = 0; read < "longer than the buffer\n".length;) {
    read += await near.read(new Uint8Array(64)) ?? 0;
  }
  const error = await assertRejects(() => securing, Error);
  assertEquals(error instanceof DOMException, false); // not a refusal: there is no handshake
  near.close();
});

Deno.test("Connection.startTls() of a server gives a receiver that waits none of the bytes that come while its queue is sent", async () => {
  const [near, far] = transportPair({ bufferSize: 8 });
  const server = new Connection(far, { framing: unframed() });
  const receiving = server.receive();
  server.send("longer than the buffer").catch(() => {});
  const securing = server.startTls(asServer);
  for (const each of [receiving, securing]) each.catch(() => {});
  await near.write(toBytes("no TLS"));
  assert(await isPending(receiving));
  for (let read = 0; read < "longer than the buffer".length;) {
    read += await near.read(new Uint8Array(64)) ?? 0;
  }
  await assertRejects(() => securing, Error);
  await assertRejects(() => receiving, Error);
  near.close();
});

Deno.test("Connection.close() right after startTls() drops no handshake bytes that come before the queue was sent", async () => {
  const [near, far] = transportPair();
  const hello = Promise.withResolvers<number>();
  const client = new Connection(
    overriding(near, {
      async write(bytes) {
        const count = await near.write(bytes);
        if (bytes[0] === TLS_HANDSHAKE) hello.resolve(count);
        return count;
      },
    }),
    { framing },
  );
  const written = Promise.withResolvers<void>();
  const server = new Connection(
    overriding(far, {
      async write(bytes) {
        const count = await far.write(bytes);
        await written.promise;
        return count;
      },
    }),
    { framing },
  );
  server.signal; // reads ahead
  const asked = client.request("STARTTLS");
  await server.receive();
  server.send("go");
  const secured = server.startTls(asServer);
  server.send("bye");
  const closed = server.close();
  assertEquals(await asked, "go");
  const securing = client.startTls(asClient);
  const length = await hello.promise;
  await until(() => far.arrived < length); // the server has read from it
  written.resolve();
  await Promise.all([secured, securing]);
  assertEquals(await Array.fromAsync(client), ["bye"]);
  await client.close();
  await closed;
});

Deno.test("Connection.close() while startTls() does its handshake drains the transport until the peer closes its side", async () => {
  const [near, far] = transportPair({ bufferSize: 4096 });
  const client = new Connection(near, { framing });
  const server = new Connection(far, { framing });
  const asked = client.request("STARTTLS");
  await server.receive();
  await server.send("go");
  await asked;
  const secured = server.startTls(asServer);
  // It leaves only while the client receives.
  server.send("x".repeat(MEBIBYTE / 2)).catch(() => {});
  const closed = server.close();
  await Promise.all([secured, client.startTls(asClient)]);
  await client.send("not received");
  assertEquals((await client.receive())?.length, MEBIBYTE / 2);
  assertEquals(await client.receive(), undefined);
  assert(await isPending(closed));
  await client.close();
  await closed;
});

Deno.test("Connection.startTls() gives encrypted bytes to a receiveStream() that was called after it", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  const asked = client.request("STARTTLS");
  await server.receive();
  await server.send("go");
  await asked;
  const securing = client.startTls(asClient);
  const body = client.receiveStream(3);
  await server.startTls(asServer);
  await server.send("abc");
  assertEquals(await new Response(body).text(), "abc");
  await securing;
});

Deno.test("Connection.close() right after startTls() is not an error if nothing is queued", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  client.signal; // a read is pending
  const asked = client.request("STARTTLS");
  await server.receive();
  await server.send("go");
  await asked;
  const securing = client.startTls(asClient);
  const closing = client.close();
  const error = await assertRejects(() => securing, DOMException);
  assertEquals(error.name, "InvalidStateError");
  await closing;
  await client.closed;
});

Deno.test("Connection.startTls() of a server takes handshake bytes that arrived with the request for TLS", async () => {
  const [near, far] = transportPair();
  await using ends = framed([near, far]);
  const { client, server } = ends;
  // As in MySQL, where the client does not wait for an answer.
  near.stall();
  client.send("STARTTLS");
  const early = client.startTls(asClient);
  await until(() => near.inFlight > "STARTTLS\n".length);
  near.resume();
  assertEquals(await server.receive(), "STARTTLS");
  assert(server.stats().bytesReceived > "STARTTLS\n".length);
  await Promise.all([server.startTls(asServer), early]);
  server.send("welcome");
  assertEquals(await client.receive(), "welcome");
});

Deno.test("Connection.startTls() of a server refuses other bytes that arrived after the request for TLS", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  client.send("STARTTLS");
  client.send("injected");
  assertEquals(await server.receive(), "STARTTLS");
  await assertRejects(
    () => server.startTls(asServer),
    DOMException,
    "bytes of the peer are unread",
  );
});

Deno.test("Connection.startTls() rejects while a decoder still holds a message of its last frame", async () => {
  const words = {
    ...assembled(framing, () =>
      function* (line) {
        yield* line.split(" ");
      }),
    encoder: framing.encoder,
  };
  for (const inner of [words, mapped(words, { decode: same, encode: same })]) {
    for (const options of [asClient, asServer]) {
      const [near, far] = transportPair();
      await using connection = new Connection(near, { framing: inner });
      await far.write(toBytes("go injected too\nbye\n"));
      assertEquals(await connection.receive(), "go");
      for (let time = 0; time < 2; time++) {
        await assertRejects(
          () => connection.startTls(options),
          DOMException,
          "bytes of the peer are unread",
        );
      }
      // The connection is unchanged.
      for (const word of ["injected", "too", "bye"]) {
        assertEquals(await connection.receive(), word);
      }
      far.close();
    }
  }
});

function same(text: string): string {
  return text;
}

Deno.test("Connection.startTls() reports bytes that are not TLS right after the peer's part of the handshake", async () => {
  const [near, far] = transportPair();
  let isFirst = true;
  const damaging = overriding(far, {
    async write(bytes) {
      if (!isFirst) return await far.write(bytes);
      isFirst = false;
      await far.write(new Uint8Array([...bytes, ...new Uint8Array(50)]));
      return bytes.length;
    },
  });
  await using ends = framed([near, damaging]);
  const { client, server } = ends;
  server.startTls(asServer).catch(() => {}); // it may wait for the rest of the handshake
  await client.startTls(asClient).catch(() => {});
  const error = await assertRejects(() => client.receive(), Error);
  assertEquals(error.name, "InvalidData");
});

Deno.test("Connection.startTls() reports later bytes that are not TLS on either side, after the messages before them", async () => {
  for (const damaged of ["client", "server"] as const) {
    const [near, far] = transportPair();
    await using ends = framed([near, far]);
    const { client, server } = ends;
    await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
    const sender = damaged === "client" ? server : client;
    await sender.send("one");
    await sender.flush();
    await (damaged === "client" ? far : near).write(new Uint8Array(50));

    assertEquals(await ends[damaged].receive(), "one");
    const error = await assertRejects(() => ends[damaged].receive(), Error);
    assertEquals(error.name, "InvalidData");
  }
});

Deno.test("Connection.startTls() ends the connection if the handshake fails", async () => {
  type Case = [
    StartTlsOptions,
    act: (server: Connection<string>) => unknown,
    name: string,
  ];
  const { cert, key } = certificate;
  const encrypted = key.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE");
  const unreadable = [
    { cert: "no certificate", key },
    { cert, key: "no key" },
    { cert, key: encrypted },
  ].flatMap((wrong): Case[] => [
    [{ ...asClient, ...wrong }, () => {}, "InvalidData"],
    [{ side: "server", ...wrong }, () => {}, "InvalidData"],
  ]);
  const cases: Case[] = [
    [
      { ...asClient, serverName: "example.com" },
      (server) => server.startTls(asServer),
      "InvalidData",
    ],
    [
      { serverName: "localhost" },
      (server) => server.startTls(asServer),
      "InvalidData",
    ],
    [asClient, (server) => server.send("no TLS"), "InvalidData"],
    [asServer, (client) => client.send("GET / HTTP/1.1"), "InvalidData"],
    [asClient, (server) => server.close(), "UnexpectedEof"],
    ...unreadable,
  ];
  for (const [options, act, name] of cases) {
    await using ends = framed(await sockets());
    const { client, server } = ends;
    const acting = Promise.resolve(act(server)).catch(() => {});
    const error = await assertRejects(() => client.startTls(options), Error);
    assertEquals(error.name, name);
    assertEquals(await assertRejects(() => client.closed, Error), error);
    assert(client.signal.aborted);
    server.abort();
    await acting;
  }
});

Deno.test("Connection.startTls() reports a key that does not match the certificate", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  assert(typeof key === "string");
  client.startTls(asClient).catch(() => {});
  const error = await assertRejects(
    () => server.startTls({ ...asServer, key }),
    Error,
  );
  assertEquals(error.name, "InvalidData");
  assertMatch(error.message, /not that of cert|mismatch/i);
});

Deno.test("Connection.startTls() rejects with an InvalidStateError if close() ends the handshake", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  const securing = client.startTls(asClient);
  securing.catch(() => {});
  await server.receive().catch(() => {}); // the handshake has begun
  client.close();
  const error = await assertRejects(() => securing, DOMException);
  assertEquals(error.name, "InvalidStateError");
});

Deno.test("Connection.startTls() rejects after abort() and after idleTimeout", async () => {
  const [near, far] = await sockets();
  const client = new Connection(near, { framing, idleTimeout: 50 });
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "idleTimeout",
  );
  far.close();
  const [near2, far2] = await sockets();
  const other = new Connection(near2, { framing });
  const securing = other.startTls(asClient);
  assert(await isPending(securing));
  other.abort(new Error("Enough"));
  await assertRejects(() => securing, Error);
  await assertRejects(() => other.closed, Error, "Enough");
  far2.close();
});

Deno.test("Connection.startTls() rejects after receiveTimeout if the peer is silent in the handshake", async () => {
  const [near, far] = await sockets();
  const client = new Connection(near, { framing, receiveTimeout: 50 });
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "receiveTimeout",
  );
  await assertRejects(() => client.closed, DOMException, "receiveTimeout");
  far.close();
});

Deno.test("Connection.startTls() rejects after receiveTimeout, also if closeRead() or close() is called before or in the handshake", async () => {
  type Stop = (connection: Connection<string>) => unknown;
  const stops: Stop[] = [
    (connection) => connection.closeRead(),
    (connection) => {
      connection.send("kept").catch(() => {}); // so that `close()` lets it go on
      return connection.close().catch(() => {});
    },
  ];
  for (const stop of stops) {
    for (const isBefore of [true, false]) {
      const [near, far] = await sockets();
      const connection = new Connection(near, { framing, receiveTimeout: 50 });
      const securing = connection.startTls(asServer);
      securing.catch(() => {});
      if (!isBefore) await nextTurn(); // the queue, which is empty, is sent
      stop(connection);
      await assertRejects(() => securing, DOMException, "receiveTimeout");
      await assertRejects(
        () => connection.closed,
        DOMException,
        "receiveTimeout",
      );
      far.close();
    }
  }
});

Deno.test("Connection.startTls() rejects after messageTimeout although handshake bytes arrive", async () => {
  const [near, far] = await sockets();
  const connection = new Connection(near, { framing, messageTimeout: 20 });
  const securing = connection.startTls(asServer);
  await far.write(Uint8Array.of(22)); // the first byte of a record
  await assertRejects(() => securing, DOMException, "messageTimeout of 20 ms");
  await assertRejects(() => connection.closed, DOMException, "handshake");
  far.close();
});

Deno.test("Connection.abort() after startTls() resets the transport if it has reset()", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  await client.send("half a file");
  assertEquals(await server.receive(), "half a file");
  client.abort();
  const error = await assertRejects(() => server.receive(), Error);
  assertEquals(error.name, "ConnectionReset");
  assertEquals(await assertRejects(() => server.send("more"), Error), error);
});

for (const side of ["client", "server"] as const) {
  Deno.test(`Connection.startTls() reports an error if TCP ends before the ${side}'s TLS end`, async () => {
    const pair = transportPair();
    await using ends = framed(pair);
    const { client, server } = ends;
    await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
    const [cut, other, below] = side === "client"
      ? [client, server, pair[0]]
      : [server, client, pair[1]];
    cut.send("whole");
    await cut.flush();
    await below.closeWrite();
    assertEquals(await other.receive(), "whole");
    const error = await assertRejects(() => other.receive(), Error, "cut off");
    assertEquals(error.name, "UnexpectedEof");
  });
}

Deno.test("Connection.startTls() lets no timeout end a handshake whose bytes keep arriving", async () => {
  const LIMIT_MS = 100;
  const [near, far] = transportPair();
  const limits = { idleTimeout: LIMIT_MS, receiveTimeout: LIMIT_MS };
  const client = new Connection(near, { framing, ...limits });
  // A server that sends its first record byte by byte.
  const record = Uint8Array.of(22, 3, 3, 64, 0, 2, 0, 63, 252);
  const securing = client.startTls(asClient);
  await far.read(new Uint8Array(4096)); // the client's first bytes
  for (const byte of record) {
    await far.write(Uint8Array.of(byte));
    await new Promise((resolve) => setTimeout(resolve, LIMIT_MS / 4));
  }
  assert(await isPending(securing));
  far.close();
  await assertRejects(() => securing, Error, "ended within the handshake");
});

Deno.test("Connection.unref() and ref() work in TLS, and receive() keeps the process alive", async () => {
  const program = (calls: string) => `
    ${SOCKETS_PROGRAM}
    const connection = new Connection(near, { framing: lines() });
    const peer = new Connection(far, { framing: lines() });
    connection.peerEnded.catch(() => {}); // a read is under way
    await Promise.all([
      connection.startTls(${JSON.stringify(asClient)}),
      peer.startTls(${JSON.stringify(asServer)}),
    ]);
    console.log("secured");
    const timer = setTimeout(() => peer.send("late"), 100);
    Deno.unrefTimer(timer);
    ${calls}
  `;
  const receive = `
    console.log(await connection.receive());
    await Promise.all([connection.close(), peer.close()]);
  `;
  const [idle, waiting, unref, ref] = await Promise.all([
    run(program("")),
    run(program(receive)),
    run(program("connection.unref(); connection.receive();")),
    run(program(`connection.unref(); connection.ref(); ${receive}`)),
  ]);
  assertEquals(idle, { output: "secured\n", code: 0 });
  assertEquals(waiting, { output: "secured\nlate\n", code: 0 });
  assertEquals(unref, idle);
  assertEquals(ref, waiting);
});

Deno.test("Connection in TLS can send after the peer has closed its side, or says that it cannot", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  await client.send("hello");
  await client.closeWrite();
  assertEquals(await server.receive(), "hello");
  assertEquals(await server.receive(), undefined);
  await server.send("late");
  // Bun's TLS ends this side with the peer's.
  await server.flush().catch((error) => assertEquals(error.name, "BrokenPipe"));
});

Deno.test("Connection in TLS ends without an error after the peer has closed its side", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  await client.send("hello");
  await client.closeWrite();
  assertEquals(await server.receive(), "hello");
  assertEquals(await server.receive(), undefined);
  await server.close();
  assertEquals(await server.closed, undefined);
});

for (const sends of [false, true]) {
  Deno.test(
    `Connection in TLS receives everything from a peer that is gone, ${
      sends ? "and then reports a failed send" : "if it sends nothing"
    }`,
    async () => {
      const [near, far] = transportPair();
      let isGone = false;
      const gone = Object.assign(new Error("gone"), { name: "BrokenPipe" });
      await using ends = framed([
        near,
        overriding(far, {
          write: (bytes) => isGone ? Promise.reject(gone) : far.write(bytes),
        }),
      ]);
      const { client, server } = ends;
      const securing = server.startTls(asServer);
      await client.startTls(asClient);
      // TLS of the server still has session tickets to send.
      isGone = true;
      const sent = Array.from({ length: 300 }, (_, i) => `${i}`.repeat(1000));
      for (const message of sent) client.send(message);
      const closing = client.close();
      await securing;
      if (sends) server.send("too late").catch(() => {});

      const received: string[] = [];
      const receiving = (async () => {
        for await (const message of server) received.push(message);
      })();
      if (sends) await assertRejects(() => receiving, Error, "gone");
      else await receiving;
      assertEquals(received, sent);
      await closing;
    },
  );
}

Deno.test("Connection in TLS keeps the process alive only while a call waits", async () => {
  const noted = { keepsAlive: true };
  await using ends = framed(notingRef(noted));
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  assertEquals(noted.keepsAlive, false);
  const receiving = client.receive();
  await until(() => noted.keepsAlive); // the read may have to wait for its turn
  await server.send("early");
  assertEquals(await receiving, "early");
  assertEquals(noted.keepsAlive, false);
  const flushing = client.send("hello").then(() => client.flush());
  assertEquals(await server.receive(), "hello");
  await flushing;
  assertEquals(noted.keepsAlive, false);

  client.unref();
  const unrefed = client.receive();
  assertEquals(noted.keepsAlive, false);
  client.ref();
  await until(() => noted.keepsAlive);
  await server.send("late");
  assertEquals(await unrefed, "late");
  assertEquals(noted.keepsAlive, false);
});

Deno.test("Connection.unref() before startTls() holds in TLS", async () => {
  const noted = { keepsAlive: true };
  await using ends = framed(notingRef(noted));
  const { client, server } = ends;
  client.unref();
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  for (const message of ["first", "later"]) {
    const receiving = client.receive();
    assertEquals(noted.keepsAlive, false);
    await server.send(message);
    assertEquals(await receiving, message);
  }
});

Deno.test("Connection.startTls() refuses invalid options", async () => {
  const wrongs: [object, message: string][] = [
    [{}, "serverName"],
    [{ serverName: "" }, "serverName"],
    [certificate, 'side: "server"'],
    [{ side: "server" }, "cert and key"],
    [{ ...asClient, cert: "PEM" }, "together"],
    [{ ...asClient, cert: "", key: "" }, "cert as it must be PEM"],
    [{ ...asServer, key: null }, "key as it must be PEM"],
    [{ side: "peer" }, "side"],
    [{ ...asServer, caCerts }, "caCerts in a server"],
    [{ ...asServer, serverName: "localhost" }, "serverName in a server"],
    [{ ...asClient, caCerts: "a" }, "caCerts"],
    [{ ...asClient, alpnProtocols: "a" }, "alpnProtocols"],
  ];
  const [near, far] = transportPair();
  const connection = new Connection(near, { framing });
  for (const [options, message] of wrongs) {
    await assertRejects(
      // As from JavaScript: the types allow few of these.
      () => connection.startTls(options as StartTlsOptions),
      TypeError,
      message,
    );
  }
  const alpnProtocols = ["x".repeat(256)];
  await assertRejects(
    () => connection.startTls({ ...asClient, alpnProtocols }),
    RangeError,
    "at most 255 bytes: one has 256",
  );
  await connection.close();
  await assertRejects(() => connection.startTls(asClient), DOMException);
  far.close();
});

Deno.test("Connection.startTls() copies its options when it is called", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  const options = { ...asClient };
  const started = client.startTls(options);
  options.serverName = "elsewhere.example";
  await Promise.all([started, server.startTls(asServer)]);
});

Deno.test("Connection.startTls() and reframe() can be combined", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  const packets = client.reframe(lengthPrefixed());
  const others = server.reframe(lengthPrefixed());
  packets.send("a\nb");
  assertEquals(await others.receive(), new TextEncoder().encode("a\nb"));
  await until(() => packets.stats().bufferedAmount === 0);
});

for (const side of ["client", "server"] as const) {
  Deno.test(`Connection.startTls() rejects as ${side} when the peer ends during the handshake`, async () => {
    const [near, far] = await sockets();
    const connection = new Connection(near, { framing });
    const starting = connection.startTls(
      side === "client" ? asClient : asServer,
    );
    await far.closeWrite();
    await assertRejects(() => starting, Error, "ended within the handshake");
    await assertRejects(() => connection.closed, Error, "ended within");
    far.close();
  });
}

Deno.test("Connection.startTls() makes detach() and a second startTls() reject until it has settled", async () => {
  await using ends = framed(await sockets());
  const { client, server } = ends;
  const securing = client.startTls(asClient);
  for (
    const action of [
      () => client.detach(),
      () => client.startTls(asClient),
    ]
  ) {
    await assertRejects(action, DOMException, "startTls() is under way");
  }
  const ending = client.closeWrite(); // sent inside TLS
  await Promise.all([securing, server.startTls(asServer), ending]);
  assertEquals(await server.receive(), undefined);
  await server.send("answer");
  assertEquals(await client.receive(), "answer");
});

Deno.test("Connection.startTls() is refused after closeWrite(), and the connection continues", async () => {
  await using ends = framed(transportPair());
  const { client, server } = ends;
  await client.closeWrite();
  await assertRejects(
    () => client.startTls(asClient),
    DOMException,
    "has ended",
  );
  await server.send("still here");
  assertEquals(await client.receive(), "still here");
});

Deno.test("Connection.close() in TLS waits for the session tickets of a server that has sent nothing else", async () => {
  const [near, far] = transportPair();
  let writes = 0;
  const stalling = overriding(near, {
    write(bytes) {
      // The server sends its tickets once it has the last part of the handshake.
      if (++writes === 2) far.stall();
      return near.write(bytes);
    },
  });
  await using ends = framed([stalling, far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  client.send("last words");
  const closed = client.close();
  assertEquals(await server.receive(), "last words");
  assertEquals(await server.receive(), undefined);
  assert(await isPending(closed));

  far.resume();
  await Promise.all([closed, server.close()]);
});

Deno.test("Connection.close() in TLS does not wait for a client that has sent nothing", async () => {
  // A peer that was sending has a second.
  await using plain = framed(transportPair());
  await plain.server.send("unread");
  plain.client.send("last words");
  const waited = plain.client.close().then(() => "waited");

  await using ends = framed(transportPair());
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  server.send("last words"); // and the client does not end its side
  const closed = server.close().then(() => "closed");
  assertEquals(await Promise.race([waited, closed]), "closed");
  await waited;
});

Deno.test("startTls() takes a reset after the peer's end of TLS for that end", async () => {
  const [near, far] = transportPair();
  const reset = Promise.withResolvers<void>();
  const resetting = overriding(near, {
    async read(buffer: Uint8Array) {
      const length = await near.read(buffer);
      if (length !== null) return length;
      reset.resolve();
      throw systemError("ConnectionReset", "Connection reset by peer");
    },
  });
  await using ends = framed([resetting, far]);
  const { client, server } = ends;
  await Promise.all([client.startTls(asClient), server.startTls(asServer)]);
  server.send("bye");
  server.close();
  await reset.promise;
  for (let i = 0; i < 10; i++) await nextTurn(); // before anything is received

  assertEquals(await client.receive(), "bye");
  assertEquals(await client.receive(), undefined);
  await client.close();
  await client.closed;
});
