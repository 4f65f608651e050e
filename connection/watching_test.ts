/**
 * How a connection that receives nothing learns of the peer's end, and what that costs.
 *
 * @module
 */
import net from "node:net";
import { once } from "node:events";
import { assert, assertEquals } from "@std/assert";
import { serve } from "../server.ts";
import { lines } from "../framing/lines.ts";
import { unframed } from "../framing/unframed.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import type { Connection } from "./connection.ts";
import { isPending, run, SOCKETS_PROGRAM, turn, until } from "./_testing.ts";

const framing = lines();
const CLIENTS = 100;

Deno.test("Connection.peerEnded resolves in 100 handlers of a push server when their clients leave", async () => {
  const known: string[] = [];
  const { promise: allLeft, resolve } = Promise.withResolvers<void>();
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing, onError: () => {} },
    async (connection) => {
      await connection.send("welcome");
      const { signal } = connection;
      try {
        await connection.peerEnded; // receives and sends nothing
        known.push("ended");
      } catch (error) {
        assertEquals(signal.reason, error);
        known.push("reset");
      } finally {
        if (known.length === CLIENTS) resolve();
      }
    },
  );
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const socket = net.connect(server.addr.port, "127.0.0.1");
      await once(socket, "data");
      return socket;
    }),
  );
  assertEquals(server.connections.size, CLIENTS);
  const closed = sockets.map((socket) => once(socket, "close"));
  sockets.forEach((socket, i) => {
    if (i % 2 === 0) socket.end();
    else socket.resetAndDestroy();
  });
  await allLeft;
  const count = (how: string) => known.filter((each) => each === how).length;
  assertEquals([count("ended"), count("reset")], [CLIENTS / 2, CLIENTS / 2]);
  await Promise.all(closed); // the server has closed its sides too
  await until(() => server.connections.size === 0);
});

Deno.test("Connection.signal aborts in 100 handlers that only send when their clients reset", async () => {
  let working = 0;
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing, onError: () => {} },
    async (connection) => {
      const { signal } = connection;
      working++;
      while (!signal.aborted) {
        await connection.send("tick").catch(() => {});
        await turn();
      }
      working--;
    },
  );
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const socket = net.connect(server.addr.port, "127.0.0.1");
      await once(socket, "data");
      return socket;
    }),
  );
  assertEquals(working, CLIENTS);
  const closed = sockets.map((socket) => once(socket, "close"));
  for (const socket of sockets) socket.resetAndDestroy();
  await until(() => working === 0);
  await Promise.all(closed);
  await until(() => server.connections.size === 0);
});

/** Ways to learn of the end. */
const WATCHES: Record<string, (connection: Connection) => unknown> = {
  closed: (connection) => connection.closed,
  peerEnded: (connection) => connection.peerEnded,
  signal: (connection) => connection.signal,
};

Deno.test("Connection reads at most one read buffer ahead while it is watched", async () => {
  for (const [name, watch] of Object.entries(WATCHES)) {
    for (const readBufferSize of [1, 1000, 64 * 1024]) {
      await using pair = connectionPair({
        framing: unframed(),
        readBufferSize,
        bufferSize: 200_000,
      });
      const { near, far } = pair;
      watch(near);
      const bytes = new Uint8Array(600_000);
      const sending = far.send(bytes).then(() => far.closeWrite());
      await until(() => pair.farTransport.isWriting);
      assert(await isPending(near.peerEnded), name);
      assertEquals(near.stats().bytesReceived, readBufferSize, name);
      assert(!pair.nearTransport.isReading);

      // Each received message makes room for one read, not more.
      const first = await near.receive();
      await turn();
      assert(
        near.stats().bytesReceived <= (first?.length ?? 0) + readBufferSize,
      );

      let received = first?.length ?? 0;
      if (readBufferSize > 1) {
        for await (const { length } of near) received += length;
        assertEquals(received, bytes.length);
        await near.peerEnded;
        await sending;
      } else {
        sending.catch(() => {});
      }
    }
  }
});

Deno.test("Connection reads nothing ahead while it is not watched", async () => {
  await using pair = connectionPair({ framing });
  const { near, far, nearTransport } = pair;
  await far.send("unread");
  await far.flush();
  assertEquals(nearTransport.arrived, 7);
  assert(!nearTransport.isReading);
  assertEquals(near.hasEnded, false);
});

Deno.test("Connection.peerEnded settles after all messages are received, if the peer sent more than is read ahead", async () => {
  await using pair = connectionPair({ framing, readBufferSize: 10 });
  const { near, far } = pair;
  const { peerEnded } = near;
  for (const word of ["one", "two", "three", "four"]) far.send(word);
  await far.closeWrite();
  assert(await isPending(peerEnded));
  assertEquals(await near.receive(), "one");
  assertEquals(await near.receive(), "two");
  assertEquals(await near.receive(), "three");
  await peerEnded;
  assertEquals(await near.receive(), "four");
  assertEquals(await near.receive(), undefined);
});

/** A program with a connection whose peer is silent, in one process. */
function program(calls: string): string {
  return `
    ${SOCKETS_PROGRAM}
    const connection = new Connection(near, { framing: lines() });
    ${calls}
    console.log("at the end");
  `;
}

Deno.test("Connection.peerEnded is settled if it is asked for after the end", async () => {
  await using pair = connectionPair({ framing });
  const { near, far } = pair;
  await far.closeWrite();
  assertEquals(await near.receive(), undefined);
  assert(!await isPending(near.peerEnded));
  far.abort(new Error("gone"));
  const error = await far.peerEnded.catch((error) => error);
  assertEquals(error.message, "gone");
});

Deno.test("Connection does not keep the process alive for an aborted receive() or a watcher", async () => {
  const programs = {
    "an aborted receive()": `
      const controller = new AbortController();
      const received = connection.receive({ signal: controller.signal });
      await new Promise((resolve) => setTimeout(resolve, 10));
      controller.abort();
      await received.catch(() => {});
    `,
    "closed": "connection.closed.then(console.log, console.log);",
    "peerEnded": "connection.peerEnded.then(console.log, console.log);",
    "signal": "connection.signal.onabort = console.log;",
    "all, after a receive() was aborted": `
      const controller = new AbortController();
      const received = connection.receive({ signal: controller.signal });
      connection.closed.then(console.log, console.log);
      connection.peerEnded.then(console.log, console.log);
      await new Promise((resolve) => setTimeout(resolve, 10));
      controller.abort();
      await received.catch(() => {});
    `,
    "a message that was received while it is watched": `
      connection.peerEnded.then(console.log, console.log);
      const received = connection.receive();
      await far.write(new TextEncoder().encode("one\\n"));
      await received;
    `,
  };
  const results = await Promise.all(
    Object.entries(programs).map(async ([name, calls]) => [
      name,
      await run(program(calls)),
    ]),
  );
  assertEquals(
    Object.fromEntries(results),
    Object.fromEntries(
      Object.keys(programs).map((name) => [
        name,
        { output: "at the end\n", code: 0 },
      ]),
    ),
  );
});

Deno.test("Connection keeps the process alive for a pending receive() while it is watched", async () => {
  const { output, code } = await run(program(`
    connection.peerEnded.then(() => console.log("the peer has ended"));
    connection.receive().then((message) => {
      console.log(message);
      far.close();
      return connection.receive();
    }).then(() => connection.abort());
    const timer = setTimeout(
      () => far.write(new TextEncoder().encode("late\\n")),
      100,
    );
    Deno.unrefTimer(timer);
  `));
  assertEquals(
    [output, code],
    ["at the end\nlate\nthe peer has ended\n", 0],
  );
});
