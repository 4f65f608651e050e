import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { lines } from "../framing/lines.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { isPending } from "./_testing.ts";
import { Connection } from "./connection.ts";
import { DetachedTransport } from "./_detached.ts";
import { identifyTransport } from "./_transports.ts";
import type { Transport } from "./transport.ts";

Deno.test("Connection.detach() passes the error of a pending read to the new owner", async () => {
  const [near, far] = transportPair();
  const connection = new Connection(near, { framing: lines() });
  assert(await isPending(connection.peerEnded)); // starts a read
  const { transport, unread } = await connection.detach();
  assertEquals(unread.length, 0);
  const reading = transport.read(new Uint8Array(8));
  far.reset();
  const error = await assertRejects(() => reading, Error);
  assertEquals(error.name, "ConnectionReset");
  transport.close();
});

Deno.test("Connection.detach() passes the end that a pending read meets to the new owner", async () => {
  const [near, far] = transportPair();
  const connection = new Connection(near, { framing: lines() });
  assert(await isPending(connection.peerEnded)); // starts a read
  const { transport } = await connection.detach();
  const reading = transport.read(new Uint8Array(8));
  await far.closeWrite();
  assertEquals(await reading, null);
  assertEquals(await transport.read(new Uint8Array(8)), null);
  transport.close();
});

Deno.test("DetachedTransport reads the pending bytes first, and otherwise acts like its transport", async () => {
  const calls: string[] = [];
  const note = (call: string) => void calls.push(call);
  const inner: Transport = {
    localAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 2 },
    alpnProtocol: "h2",
    read: () => Promise.resolve(null),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(note("closeWrite")),
    close: () => note("close"),
    ref: () => note("ref"),
    unref: () => note("unref"),
    setNoDelay: (value) => note(`noDelay ${value}`),
    setKeepAlive: (value) => note(`keepAlive ${value}`),
  };
  const underWay = Promise.resolve(new Uint8Array([1, 2, 3]));
  const transport = new DetachedTransport(inner, underWay);
  const buffer = new Uint8Array(2);
  assertEquals([await transport.read(buffer), [...buffer]], [2, [1, 2]]);
  assertEquals([await transport.read(buffer), buffer[0]], [1, 3]);
  assertEquals(await transport.read(buffer), null);
  const { localAddr, remoteAddr, alpnProtocol } = transport;
  assertEquals({ localAddr, remoteAddr, alpnProtocol }, {
    localAddr: inner.localAddr,
    remoteAddr: inner.remoteAddr,
    alpnProtocol: "h2",
  });
  assertEquals(await transport.write(buffer), 2);
  await transport.closeWrite();
  transport.ref();
  transport.unref();
  transport.setNoDelay?.(true);
  transport.setKeepAlive?.(false);
  transport.reset(); // without reset(), the transport is closed
  new DetachedTransport({ ...inner, reset: () => note("reset") }, underWay)
    .reset();
  transport.close();
  assertEquals(calls, [
    "closeWrite",
    "ref",
    "unref",
    "noDelay true",
    "keepAlive false",
    "close",
    "reset",
    "close",
  ]);
});

Deno.test("DetachedTransport has the kind of its transport and refuses what that cannot do", () => {
  const bare: Transport = {
    read: () => Promise.resolve(null),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  const underWay = Promise.resolve(null);
  const detached = new DetachedTransport(bare, underWay);
  for (const name of ["noDelay", "keepAlive"]) {
    assertThrows(
      () => new Connection(detached, { framing: lines(), [name]: true }),
      TypeError,
      `with ${name} over this transport`,
    );
  }
  const overTls = { ...bare, handshake: () => Promise.resolve({}) };
  assertEquals(
    identifyTransport(new DetachedTransport(overTls, underWay)).kind.name,
    "TLS",
  );
});
