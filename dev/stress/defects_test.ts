/** Defects that the suites of this folder found, each reduced to a small test. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import {
  overriding,
  socketPair,
  sockets,
  turn,
} from "../../connection/_testing.ts";
import { connect } from "../../client/connect.ts";
import { Connection } from "../../connection/connection.ts";
import { FramingError, lines } from "../../framing.ts";
import { serve } from "../../server/serve.ts";
import { certificate } from "../testdata/certificates.ts";
import { settlement } from "./settling.ts";

Deno.test("serve() accepts immediately after peers that were gone before it accepted them", async () => {
  const errors: unknown[] = [];
  const framing = lines();
  await using server = serve({
    hostname: "127.0.0.1",
    port: 0,
    framing,
    maxConnections: 1,
    onError: (error) => void errors.push(error),
  }, async (connection) => {
    for await (const message of connection) await connection.send(message);
  });
  const { port } = server.addr;
  const first = await connect({ port, framing });
  await first.request("first");
  // These connect and are reset while the server does not accept.
  for (let count = 0; count < 3; count++) {
    const socket = net.connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.resetAndDestroy();
    await once(socket, "close");
  }
  await first.close();
  await using second = await connect({ port, framing });
  await second.request("second");

  // An error would have been reported, and accepting would have paused.
  assertEquals(errors, []);
});

/** A connection whose peer does not read the end, as can happen over TLS. */
function withoutEnd(conn: Deno.TcpConn, onEnd?: () => void): Deno.Conn {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  return overriding(conn, {
    closeWrite() {
      onEnd?.();
      return promise;
    },
    close() {
      reject(new Deno.errors.BadResource("Closed"));
      conn.close();
    },
  });
}

Deno.test("idleTimeout ends a closeWrite() during a stalled TLS handshake", async () => {
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  const { port } = listener.addr;
  using _silent = await Deno.connect({ hostname: "127.0.0.1", port });
  await using connection = new Connection(await listener.accept(), {
    framing: lines(),
    idleTimeout: 30,
  });

  const result = await settlement(connection.closeWrite(), "closeWrite()");

  assert(result.status === "rejected");
  assertEquals(
    String(result.reason),
    "TimeoutError: Cannot go on: nothing was received, and the system took nothing that was sent, within idleTimeout of 30 ms",
  );
});

Deno.test("idleTimeout ends a close() whose peer does not read the end", async () => {
  await using ends = await socketPair(
    { idleTimeout: 30 },
    (conn) => withoutEnd(conn),
  );
  const { connection } = ends;
  await connection.send("last");

  const error = await assertRejects(() => connection.close(), DOMException);

  assertEquals(error.name, "TimeoutError");
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("abort() ends a connection whose peer does not read the end after a FramingError", async () => {
  const framing = lines({ maxLength: 8 });
  const ending = Promise.withResolvers<void>();
  await using ends = await socketPair(
    { framing },
    (conn) => withoutEnd(conn, ending.resolve),
  );
  const { connection, peer } = ends;
  await connection.send("answer");
  await peer.write("far too long\n");
  await assertRejects(() => connection.receive(), FramingError);
  await ending.promise;

  connection.abort();

  const closed = await settlement(connection.closed, "closed");
  assert(closed.status === "rejected");
  assertInstanceOf(closed.reason, FramingError);
});

Deno.test("close() and closeWrite() together wait for a peer that is still sending", async () => {
  const options = { framing: lines(), highWaterMark: 1, readBufferSize: 1024 };
  const [near, far] = (await sockets())
    .map((conn) => new Connection<string, string>(conn, options));
  assert(near !== undefined && far !== undefined);
  const sent = ["x".repeat(123_898), ..."123456"];
  for (const message of sent) far.send(message);
  await turn();
  near.send("y".repeat(195_531));
  await turn();

  const closed = far.close();
  const received = Array.fromAsync(near);
  await Promise.all([far.closeWrite(), near.closeWrite(), closed]);

  assertEquals(await received, sent);
  await near.closed;
});
