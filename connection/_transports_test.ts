import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { identifyTransport } from "./_transports.ts";
import type { Transport } from "./transport.ts";

/** The kind of a transport, without the transport itself. */
function kindOf(given: Transport): [string, boolean, boolean] {
  const { transport, kind } = identifyTransport(given);
  assertStrictEquals(transport, given);
  return [kind.name, kind.shortReadMeansEmpty, kind.closeSendsEnd];
}

function streams(): {
  readable: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array>;
} {
  return new TransformStream<Uint8Array, Uint8Array>();
}

const methods: Transport = {
  read: () => Promise.resolve(null),
  write: (bytes) => Promise.resolve(bytes.length),
  closeWrite: () => Promise.resolve(),
  close() {},
};

/** The message with which `identifyTransport()` refuses `given`. */
function refusalOf(given: unknown): string {
  const { message } = assertThrows(() => identifyTransport(given), TypeError);
  const start =
    "Cannot open connection as its transport must have read(), write(), closeWrite() and close(), or be { readable, writable } streams: ";
  assertEquals(message.slice(0, start.length), start);
  return message.slice(start.length);
}

Deno.test("identifyTransport() recognizes a Deno.TcpConn", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using near = await Deno.connect({ port: listener.addr.port });
  using far = await listener.accept();
  assertEquals(kindOf(near), ["TCP", true, true]);
  assertEquals(kindOf(far), ["TCP", true, true]);
});

Deno.test("identifyTransport() recognizes a Deno.TlsConn", async () => {
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  const [near, far] = await Promise.all([
    Deno.connectTls({
      hostname: "localhost",
      port: listener.addr.port,
      caCerts,
    }),
    listener.accept(),
  ]);
  assertEquals(kindOf(near), ["TLS", false, true]);
  assertEquals(kindOf(far), ["TLS", false, true]);
  await Promise.all([near.handshake(), far.handshake()]);
  near.close();
  far.close();
});

Deno.test({
  name: "identifyTransport() recognizes a Deno.UnixConn, also without a path",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    using listener = Deno.listen({ transport: "unix", path });
    using near = await Deno.connect({ transport: "unix", path });
    using far = await listener.accept();
    assertEquals(kindOf(near), ["Unix socket", true, true]);
    assertEquals(kindOf(far), ["Unix socket", true, true]);

    const { remoteAddr }: Transport = far;
    assertEquals(remoteAddr, { transport: "unix", path: null });
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("identifyTransport() treats two ends in memory as TCP", () => {
  const [near] = transportPair();
  assertEquals(kindOf(near), ["TCP", true, true]);
});

Deno.test("identifyTransport() assumes little about another transport", () => {
  assertEquals(kindOf(methods), ["this transport", false, false]);
  const remoteAddr = { transport: "tcp", hostname: "::1", port: 1 } as const;
  assertEquals(
    kindOf({ ...methods, remoteAddr }),
    ["this transport", false, false],
  );
});

Deno.test("identifyTransport() recognizes TLS over a Unix socket", () => {
  const remoteAddr = { transport: "unix", path: null } as const;
  assertEquals(
    kindOf({ ...methods, remoteAddr, alpnProtocol: null }),
    ["TLS", true, false],
  );
});

Deno.test("identifyTransport() recognizes byte streams and locks them", () => {
  const given = streams();
  const { transport, kind } = identifyTransport(given);
  assertEquals(
    [kind.name, kind.shortReadMeansEmpty, kind.closeSendsEnd],
    ["byte streams", false, false],
  );
  assertEquals([given.readable.locked, given.writable.locked], [true, true]);
  transport.close();
});

Deno.test("identifyTransport() does not use the streams of a transport", () => {
  const given = {
    ...methods,
    get readable(): never {
      throw new Error("Deno.Conn would make its stream");
    },
  };
  assertEquals(kindOf(given)[0], "this transport");
});

Deno.test("identifyTransport() names the missing method", () => {
  assertEquals(refusalOf(null), "current value is null");
  assertEquals(refusalOf(undefined), "current value is undefined");
  assertEquals(refusalOf(8080), "current value is of type number");
  assertEquals(refusalOf({}), "it has neither");
  assertEquals(refusalOf(() => {}), "it has neither");
  assertEquals(
    refusalOf({ ...methods, closeWrite: undefined }),
    "without closeWrite()",
  );
  assertEquals(
    refusalOf({ read() {}, write() {} }),
    "without closeWrite(), close()",
  );
});

Deno.test("identifyTransport() names the missing stream", () => {
  const { readable, writable } = streams();
  assertEquals(
    refusalOf(readable),
    "it is a readable stream, and the writable one is missing",
  );
  assertEquals(
    refusalOf(writable),
    "it is a writable stream, and the readable one is missing",
  );
  assertEquals(refusalOf({ readable }), "writable is missing");
  assertEquals(
    refusalOf({ readable, writable: true }),
    "writable is missing",
  );
  assertEquals(refusalOf({ writable }), "readable is missing");
  assertEquals(
    refusalOf({
      opened: Promise.resolve({ readable, writable }), // like that of a WebSocketStream
      close() {},
    }),
    "it has neither, but opened: give what that resolves to",
  );
});

Deno.test("identifyTransport() names the locked stream", () => {
  const { readable, writable } = streams();
  const reader = readable.getReader();
  assertEquals(refusalOf({ readable, writable }), "readable is locked");
  writable.getWriter();
  assertEquals(
    refusalOf({ readable, writable }),
    "readable is locked, writable is locked",
  );
  assertEquals(
    refusalOf({ readable }),
    "readable is locked, writable is missing",
  );
  reader.releaseLock();
  assertEquals(refusalOf({ readable, writable }), "writable is locked");
  assertEquals(readable.locked, false);
});

Deno.test("identifyTransport() names the transport when it refuses an option", async () => {
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  using tls = await Deno.connectTls({
    hostname: "localhost",
    port: listener.addr.port,
    caCerts,
  });
  assertThrows(
    () => identifyTransport(tls, { noDelay: true }),
    TypeError,
    "Cannot open connection with noDelay over TLS: only TCP connections have it",
  );
  assertThrows(
    () => identifyTransport(methods, { keepAlive: true }),
    TypeError,
    "Cannot open connection with keepAlive over this transport: only TCP connections have it",
  );
  const given = streams();
  assertThrows(
    () => identifyTransport(given, { noDelay: true }),
    TypeError,
    "Cannot open connection with noDelay over byte streams: only TCP connections have it",
  );
  assertEquals([given.readable.locked, given.writable.locked], [false, false]);

  const [near] = transportPair();
  identifyTransport(near, { noDelay: true, keepAlive: true });
  identifyTransport(methods, { noDelay: false, keepAlive: undefined });
  (await listener.accept()).close();
});
