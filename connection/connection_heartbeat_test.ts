import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  asJson,
  fixedLength,
  lengthPrefixed,
  lines,
  mapped,
  unframed,
} from "../framing.ts";
import { connect, reconnect } from "../client.ts";
import { serve } from "../server.ts";
import { transportPair } from "../testing.ts";
import {
  backgroundTimers,
  MORE_THAN_MEMORY_TAKES,
  pair,
  requestTimers,
  turn,
  until,
} from "./_testing.ts";
import { Connection } from "./connection.ts";
import type { HeartbeatOptions } from "./options.ts";

const framing = lines();
const SOON_MS = 20;
const LATER_MS = 300;
const NEVER_MS = 60_000;

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

Deno.test("Connection heartbeat sends its message when nothing else was sent for its interval", async () => {
  await using ends = await pair({
    framing,
    heartbeat: { interval: LATER_MS, message: "ping" },
  });
  const { connection, peer } = ends;
  for (let i = 0; i < 30; i++) {
    await sleep(LATER_MS / 20);
    connection.send("busy");
  }
  const start = performance.now();
  const busy = "busy\n".repeat(30);
  assertEquals(await peer.read(busy.length + 10), `${busy}ping\nping\n`);
  assert(performance.now() - start >= LATER_MS);
});

Deno.test("Connection heartbeat calls its message function and encodes the message each time", async () => {
  let count = 0;
  await using ends = await pair({
    framing: lengthPrefixed({ fieldSize: 1 }),
    heartbeat: { interval: 1, message: () => `${count++}` },
  });
  assertEquals(await ends.peer.read(6), "\x010\x011\x012");
});

Deno.test("Connection heartbeat sends nothing if its message function ends the connection", async () => {
  const ending = {
    close: (connection: Connection<string, string>) => connection.close(),
    closeWrite: (connection: Connection<string, string>) =>
      connection.closeWrite(),
    async detach(connection: Connection<string, string>) {
      const { transport } = await connection.detach();
      transport.close();
    },
  };
  for (const end of Object.values(ending)) {
    const ended = Promise.withResolvers<void>();
    await using ends = await pair<string, string>({
      framing,
      heartbeat: {
        interval: 1,
        message() {
          end(ends.connection).then(ended.resolve, ended.reject);
          return "late";
        },
      },
    });
    const { connection, peer } = ends;
    connection.send("last");
    await ended.promise;
    assertEquals(await peer.readToEnd(), "last\n");
    await connection.close(); // rejects if an error has ended the connection
    await connection.closed;
  }
});

Deno.test("Connection heartbeat sends nothing if its message function changes the framing", async () => {
  await using ends = await pair<string, string>({
    framing,
    heartbeat: {
      interval: 1,
      message() {
        ends.connection.reframe(lengthPrefixed({ fieldSize: 1 })).send("new");
        return "of the framing before";
      },
    },
  });
  assertEquals(await ends.peer.read(4), "\x03new");
  await ends.connection.close();
  assertEquals(await ends.peer.readToEnd(), "");
});

Deno.test("Connection heartbeat is not queued for a peer that does not read", async () => {
  let count = 0;
  await using ends = await pair({
    framing: unframed(),
    heartbeat: { interval: 1, message: () => `${count++}` },
  });
  const { connection } = ends;
  connection.send(new Uint8Array(MORE_THAN_MEMORY_TAKES));
  const before = count;
  await sleep(SOON_MS * 3);
  assertEquals(count, before);
});

Deno.test("Connection heartbeat stops when this side ends, however it ends", async () => {
  const endings: ((connection: Connection<string, string>) => unknown)[] = [
    (connection) => connection.closeWrite(),
    (connection) => connection.close(),
    (connection) => connection.abort(),
    (connection) => connection.detach(),
  ];
  for (const end of endings) {
    let count = 0;
    await using ends = await pair({
      framing,
      heartbeat: { interval: 1, message: () => `${count++}` },
    });
    const { connection } = ends;
    await until(() => count > 0);
    const ending = end(connection);
    const before = count;
    await sleep(SOON_MS);
    assertEquals(count, before);
    ends.peer.close();
    await ending;
  }
});

Deno.test("Connection heartbeat ends the connection with the error of its message function", async () => {
  const error = new Error("No message");
  await using ends = await pair({
    framing,
    heartbeat: {
      interval: 1,
      message: () => {
        throw error;
      },
    },
  });
  assertStrictEquals(
    await assertRejects(() => ends.connection.closed),
    error,
  );
});

Deno.test("Connection heartbeat refuses an async message function, which JSON would encode as {}", async () => {
  await using ends = await pair<unknown, unknown>({
    framing: asJson(lengthPrefixed()),
    heartbeat: {
      interval: 1,
      message: () => Promise.reject(new Error("no unhandled rejection")),
    },
  });
  await assertRejects(() => ends.connection.closed, TypeError, "async");
});

Deno.test("Connection.reframe() stops the heartbeat and starts the new framing's", async () => {
  await using ends = await pair({
    framing,
    heartbeat: { interval: 1, message: "ping" },
  });
  const { connection, peer } = ends;
  assertEquals(await peer.read(5), "ping\n");
  const packets = connection.reframe(fixedLength(1));
  await sleep(SOON_MS);
  await packets.send("x");
  packets.reframe(lines(), { heartbeat: { interval: 1, message: "pong" } });
  let read = "";
  while (!read.endsWith("x")) read += await peer.read(1);
  assertEquals(read.replaceAll("ping\n", ""), "x");
  assertEquals(await peer.read(10), "pong\npong\n");
});

Deno.test("Connection throws immediately for a heartbeat that cannot be sent", () => {
  const cases: [unknown, ErrorConstructor, string][] = [
    [true, TypeError, "{ interval, message }"],
    [{ message: "ping" }, TypeError, "without interval"],
    [{ interval: 1 }, TypeError, "without message"],
    [{ interval: 0, message: "ping" }, RangeError, "heartbeat.interval"],
    [{ interval: 2 ** 31, message: "ping" }, RangeError, "heartbeat.interval"],
    [{ interval: 1, message: "two\nlines" }, TypeError, "line"],
  ];
  for (const [heartbeat, type, message] of cases) {
    const [near] = transportPair();
    assertThrows(
      () =>
        new Connection(near, {
          framing,
          heartbeat: heartbeat as HeartbeatOptions<string>,
        }),
      type,
      message,
    );
    assertEquals(near.isClosed, false);
  }
});

Deno.test("Connection.reframe() called by the new framing's decoder starts its own heartbeat", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const received = connection.receive();
  await peer.write("1");
  await until(() => connection.stats().bytesReceived === 1);
  const hello = mapped(fixedLength(1), {
    encode: (bytes: Uint8Array) => bytes,
    decode(bytes) {
      const heartbeat = { interval: 1, message: "ping" };
      connection.reframe(framing, { heartbeat });
      return bytes;
    },
  });
  connection.reframe(hello);
  await received;
  assertEquals(await peer.read(5), "ping\n");
});

Deno.test("Connection heartbeats share one timer", async () => {
  using timers = backgroundTimers();
  const connections = Array.from({ length: 1000 }, () => {
    const [near] = transportPair();
    return new Connection(near, {
      framing,
      heartbeat: { interval: NEVER_MS, message: "ping" },
    });
  });
  assertEquals(timers.count, 1);
  for (const connection of connections) connection.abort();
  await turn();
  assertEquals(timers.count, 0);
});

Deno.test("serve(), connect() and reconnect() send heartbeats, and end peers that do not", async () => {
  const heartbeat = { interval: SOON_MS, message: "ping" };
  const ended = Promise.withResolvers<unknown>();
  await using server = serve({
    hostname: "127.0.0.1",
    port: 0,
    framing,
    heartbeat,
    receiveTimeout: LATER_MS,
    onError: (error) => {
      // A heartbeat may arrive while the connection closes.
      if (error instanceof DOMException) ended.resolve(error);
    },
  }, async (connection) => {
    for await (const _beat of connection);
  });
  const { port } = server.addr;

  const options = { port, framing, heartbeat, receiveTimeout: LATER_MS };
  await using client = await connect(options);
  const heard = await reconnect(
    options,
    async (connection) => [await connection.receive(), server.connections.size],
  );
  assertEquals(heard, ["ping", 2]);
  await sleep(LATER_MS * 2);
  assertEquals([client.hasEnded, server.connections.size], [false, 1]);

  await using silent = await connect({ port, framing });
  assertEquals(await silent.receive(), "ping");
  const error = await ended.promise;
  assert(error instanceof DOMException);
  assertEquals(error.name, "TimeoutError");
});

Deno.test("serve(), connect() and reconnect() refuse an invalid heartbeat before they open anything", async () => {
  const cases = [
    { heartbeat: { interval: 0, message: "ping" }, why: "heartbeat.interval" },
    { heartbeat: { interval: 1, message: "12345" }, why: "maxLength" },
  ];
  for (const { heartbeat, why } of cases) {
    const options = { port: 1, framing: lines({ maxLength: 4 }), heartbeat };
    assertThrows(() => serve(options, () => {}), RangeError, why);
    await assertRejects(() => connect(options), RangeError, why);
    await assertRejects(() => reconnect(options, () => {}), RangeError, why);
  }
});

Deno.test("Connection heartbeat goes on if the request of another connection is over", async () => {
  using requests = requestTimers();
  const heartbeat = { interval: SOON_MS, message: "ping" };
  await using other = await pair({ framing, heartbeat });
  other.connection.send("hello");
  requests.endRequest();
  await using ends = await pair({ framing, heartbeat });
  assertEquals(await ends.peer.read("ping\n".length), "ping\n");
});
