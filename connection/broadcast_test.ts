import { shownValue } from "../internal/shown.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { setImmediate } from "node:timers";
import {
  isPending,
  MORE_THAN_KERNEL_TAKES,
  overriding,
  type Pair,
  socketPair as pair,
  turn,
  unhandledRejectionsIn,
  until,
  untilSteady,
} from "./_testing.ts";
import { broadcast, type BroadcastOptions } from "./broadcast.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./options.ts";
import { asText } from "../framing/as_text.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import type { Bytes, Sendable } from "../framing/bytes.ts";
import type { Encoder, Framing } from "../framing/framing.ts";
import { unframed } from "../framing/unframed.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { transportPair } from "../testing/transport_pair.ts";

type Line = Connection<string, string>;

const framing = lines();

/** Connections to the same number of raw peers. */
async function pairs<In = string, Out = string>(
  count: number,
  options: ConnectionOptions<In, Out>,
): Promise<
  AsyncDisposable & {
    connections: Connection<In, Out>[];
    peers: Pair<In, Out>["peer"][];
  }
> {
  const made = await Promise.all(
    Array.from({ length: count }, () => pair(options)),
  );
  return {
    connections: made.map(({ connection }) => connection),
    peers: made.map(({ peer }) => peer),
    async [Symbol.asyncDispose]() {
      for (const each of made) await each[Symbol.asyncDispose]();
    },
  };
}

/** A framing that counts how often it encodes. */
function counting<In, Out>(inner: Framing<In, Out>) {
  const counted = {
    encodings: 0,
    decoder: () => inner.decoder(),
    encoder: () => encoder,
  };
  const encoder: Encoder<Out> = {
    encode(message, output) {
      counted.encodings++;
      inner.encoder().encode(message, output);
    },
  };
  return counted;
}

/** Broadcasts until the first connection, whose peer does not read, is slow. */
async function untilSlow(
  [first, ...others]: Line[],
  options: BroadcastOptions,
): Promise<void> {
  assert(first !== undefined);
  const line = "x".repeat(20_000);
  let slow: Line[] = [];
  while (slow.length === 0) {
    ({ slow } = await broadcast([first, ...others], line, options));
    await Promise.all(others.map((connection) => connection.flush()));
  }
  assertEquals(slow.length, 1);
  assertStrictEquals(slow[0], first);
}

/**
 * Like {@linkcode untilSlow}, and until the kernel takes no more bytes, which it may do
 * a little later.
 */
async function untilStuck(
  connections: Line[],
  highWaterMark: number,
): Promise<void> {
  const [first] = connections;
  assert(first !== undefined);
  do {
    await untilSlow(connections, { slow: "drop", highWaterMark });
    await untilSteady(() => first.stats().bytesSent);
  } while (first.stats().bufferedAmount < highWaterMark);
}

Deno.test("broadcast() sends to all, in order with other calls and with send()", async () => {
  await using all = await pairs(3, { framing });
  const { connections, peers } = all;
  const [first] = connections;

  broadcast(connections, "one");
  first?.send("two, to the first");
  broadcast(connections, "three", { slow: "drop" });
  broadcast(connections, "vier, später", { slow: "disconnect" });
  first?.send("five, to the first");

  const ends = connections.map((connection) => connection.close());
  const [heard, ...others] = await Promise.all(
    peers.map((peer) => peer.readToEnd().finally(() => peer.close())),
  );
  assertEquals(
    heard,
    "one\ntwo, to the first\nthree\nvier, später\nfive, to the first\n",
  );
  assertEquals(others, Array(2).fill("one\nthree\nvier, später\n"));
  await Promise.all(ends);
});

Deno.test("broadcast() does not encode for a connection that has ended", async () => {
  await using gone = await pair({ framing: lines() });
  await using here = await pair({ framing: asText(lengthPrefixed()) });
  await gone.connection.close();

  const result = await broadcast(
    [here.connection, gone.connection],
    "two\nlines",
  );

  assertEquals(result, { sent: 1, slow: [], ended: [gone.connection] });
  assertEquals(await here.peer.read(13), "\0\0\0\x09two\nlines");
});

Deno.test("broadcast() encodes once for each framing", async () => {
  const [one, other] = [counting(lines()), counting(lines({ eol: "\r\n" }))];
  await using ones = await pairs(5, { framing: one });
  await using others = await pairs(5, { framing: other });

  const connections = [...ones.connections, ...others.connections];
  const result = await broadcast(connections, "hello");

  assertEquals(result, { sent: 10, slow: [], ended: [] });
  assertEquals([one.encodings, other.encodings], [1, 1]);
  for (const peer of ones.peers) assertEquals(await peer.read(6), "hello\n");
  for (const peer of others.peers) {
    assertEquals(await peer.read(7), "hello\r\n");
  }
});

/** Lines that each connection numbers. */
function numberedLines(): Framing<string> {
  return {
    decoder: () => framing.decoder(),
    encoder() {
      let number = 0;
      return {
        encode: (line, output) => output.writeText(`${++number} ${line}\n`),
      };
    },
  };
}

Deno.test("broadcast() calls an encoder with state for each message, also for a connection listed twice", async () => {
  await using all = await pairs(2, { framing: numberedLines() });
  const { connections: [first, second], peers } = all;
  assert(first !== undefined && second !== undefined);

  await broadcast([first, second, first], "hello");

  assertEquals(await peers[0]?.read(16), "1 hello\n2 hello\n");
  assertEquals(await peers[1]?.read(8), "1 hello\n");
});

Deno.test("broadcast() throws if an encoder calls it", async () => {
  const broadcasts: Promise<unknown>[] = [];
  const encoder: Encoder<string> = {
    encode(line, output) {
      output.writeBytes(new TextEncoder().encode(line));
      if (line === "outer") {
        broadcasts.push(broadcast([connection, other.connection], "inner"));
      }
      output.writeByte(0x0a);
    },
  };
  await using one = await pair<string, string>({
    framing: { ...framing, encoder: () => encoder },
  });
  await using other = await pair({ framing });
  const { connection, peer } = one;

  await connection.send("outer");

  await assertRejects(
    () => Promise.all(broadcasts),
    DOMException,
    "while that encodes another",
  );
  assertEquals(await peer.read(6), "outer\n");
  assertEquals(other.connection.stats().messagesSent, 0);
});

Deno.test("broadcast() has copied the message when it returns", async () => {
  for (const length of [3, 100_000]) {
    await using all = await pairs<Bytes, Sendable>(2, { framing: unframed() });
    const message = new Uint8Array(length).fill(97);
    const sent = broadcast(all.connections, message);
    message.fill(98);
    for (const peer of all.peers) {
      assertEquals(await peer.read(length), "a".repeat(length));
    }
    await sent;
  }
});

Deno.test("broadcast() keeps one copy of a large frame in memory", async () => {
  const count = 40;
  await using all = await pairs<Bytes, Sendable>(count, {
    framing: unframed(),
  });
  const message = new Uint8Array(8 * 1024 * 1024);
  const held = () => {
    const { external, heapUsed } = Deno.memoryUsage();
    return external + heapUsed;
  };
  const before = held();
  broadcast(all.connections, message);
  assert(held() - before < 3 * message.length, `${held() - before} bytes`);
  for (const connection of all.connections) {
    assertEquals(connection.stats().bufferedAmount, message.length);
  }
});

Deno.test("broadcast() counts messages and bytes like send()", async () => {
  await using all = await pairs(2, { framing });
  const [first, second] = all.connections;
  first?.send("é");
  const sent = broadcast(all.connections, "hé");
  assertEquals(first?.stats().messagesSent, 2);
  assertEquals(first?.stats().bufferedAmount, 7);
  assertEquals(second?.stats().messagesSent, 1);
  assertEquals(second?.stats().bufferedAmount, 4);
  await sent;
  await first?.flush();
  assertEquals(first?.stats().bytesSent, 7);
  assertEquals(first?.stats().bufferedAmount, 0);
});

Deno.test('broadcast() with "wait" resolves when all connections have room', async () => {
  await using fast = await pair({ framing });
  await using slow = await pair({ framing });
  const connections = [fast.connection, slow.connection];
  const reading = fast.peer.countToEnd();
  const line = "x".repeat(1024 * 1024 - 1);

  let count = 0;
  let sent;
  do {
    sent = broadcast(connections, line);
    count++;
    await until(() => fast.connection.stats().bufferedAmount === 0);
  } while (!await isPending(sent));

  const rest = slow.peer.countToEnd();
  assertEquals(await sent, { sent: 2, slow: [], ended: [] });
  await Promise.all(connections.map((connection) => connection.closeWrite()));
  assertEquals(await reading, count * (line.length + 1));
  assertEquals(await rest, count * (line.length + 1));
});

Deno.test('broadcast() with "wait" resolves if a connection fails', async () => {
  await using all = await pairs(2, { framing });
  await using failing = await pair({ framing, sendTimeout: 20 });
  const reading = all.peers.map((peer) => peer.countToEnd());
  const connections = [failing.connection, ...all.connections];
  const line = "x".repeat(1024 * 1024 - 1);
  let result;
  do {
    result = await broadcast(connections, line);
  } while (result.sent === 3);

  assertEquals(result.sent, 2);
  assertStrictEquals(result.ended[0], failing.connection);
  await assertRejects(() => failing.connection.closed, "TimeoutError");
  for (const connection of all.connections) await connection.closeWrite();
  const [first, second] = await Promise.all(reading);
  assert(first !== undefined && first > 0);
  assertEquals(first, second);
});

Deno.test('broadcast() with "drop" skips only slow connections', async () => {
  await using all = await pairs(3, { framing });
  const [stuck, ...others] = all.connections;
  assert(stuck !== undefined);
  const [stuckPeer, ...otherPeers] = all.peers;
  const reading = otherPeers.map((peer) => peer.countToEnd());

  await untilSlow(all.connections, { slow: "drop" });

  const { messagesSent } = stuck.stats();
  for (let i = 0; i < 1000; i++) {
    const result = await broadcast(all.connections, "dropped for one", {
      slow: "drop",
    });
    assertEquals(result.sent, 2);
  }
  assertEquals(stuck.stats().messagesSent, messagesSent);
  assert(stuck.stats().bufferedAmount < 65_536 + 20_001);

  // It gets messages again when it reads.
  const rest = stuckPeer?.countToEnd();
  await stuck.flush();
  const result = await broadcast(all.connections, "to all", { slow: "drop" });
  assertEquals(result, { sent: 3, slow: [], ended: [] });
  for (const connection of all.connections) await connection.closeWrite();
  assertEquals(await rest, messagesSent * 20_001 + "to all\n".length);
  for (const connection of others) {
    assertEquals(connection.stats().messagesSent, messagesSent + 1002);
  }
  await Promise.all(reading);
});

Deno.test('broadcast() with "drop" does not encode for a slow connection', async () => {
  await using pair = connectionPair({ framing: numbered() });
  const options = { slow: "drop", highWaterMark: 1 } as const;
  const results = ["one", "two"].map((line) =>
    broadcast([pair.near], line, options)
  );
  assertEquals(
    await Promise.all(results.map(async (each) => (await each).sent)),
    [1, 0],
  );
  await pair.near.flush();
  await broadcast([pair.near], "three", options);
  assertEquals(await pair.far.receive(), "0 one");
  assertEquals(await pair.far.receive(), "1 three");
});

/** Lines with their numbers, which the encoder counts. */
function numbered(): Framing<string, string> {
  const framing = lines();
  return {
    ...framing,
    encoder() {
      const encoder = framing.encoder();
      let count = 0;
      return {
        encode: (line, output) => encoder.encode(`${count++} ${line}`, output),
      };
    },
  };
}

Deno.test('broadcast() with "drop" drops nothing if the kernel has room', async () => {
  await using all = await pairs(2, { framing });
  for (let i = 0; i < 300; i++) {
    const result = await broadcast(all.connections, "x".repeat(99), {
      slow: "drop",
      highWaterMark: 200,
    });
    assertEquals(result.sent, 2);
  }
  for (const peer of all.peers) {
    assertEquals((await peer.read(100)).length, 100);
  }
});

Deno.test('broadcast() with "drop" waits while large frames are written one by one', async () => {
  await using one = await pair({ framing: unframed() });
  const { connection, peer } = one;
  const reading = peer.countToEnd();
  for (let i = 0; i < 60; i++) connection.send(new Uint8Array(17_000));

  const options = { slow: "drop", highWaterMark: 20_000 } as const;
  const first = await broadcast([connection], "dropped", options);
  assertEquals([first.sent, first.slow.length], [0, 1]);
  const second = await broadcast([connection], "sent", options);
  assertEquals([second.sent, second.slow.length], [1, 0]);
  await connection.closeWrite();
  assertEquals(await reading, 60 * 17_000 + 4);
});

Deno.test('broadcast() with "drop" drops nothing before the sockets were polled', async () => {
  const [near, far] = transportPair();
  // Simulates hundreds of connections in Deno, where one poll serves 128 of them.
  const transport = overriding(near, {
    async write(bytes: Uint8Array) {
      for (let i = 0; i < 40; i++) {
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      return await near.write(bytes);
    },
  });
  await using connection = new Connection(transport, { framing });
  await using peer = new Connection(far, { framing });
  const options = { slow: "drop", highWaterMark: 1 } as const;
  for (const line of ["one", "two", "three"]) {
    const { sent } = await broadcast([connection], line, options);
    assertEquals(sent, 1);
  }
  assertEquals(await peer.receive(), "one");
});

Deno.test('broadcast() with "disconnect" ends no connection that is written to later than others', async () => {
  // Simulates hundreds of connections, where each poll of the sockets serves a part of
  // them.
  let last = Promise.resolve();
  function inTurn(): void {
    last = last.then(async () => {
      for (let i = 0; i < 40; i++) {
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    });
  }
  const made = Array.from({ length: 4 }, () => transportPair());
  const connections = made.map(([near]) => {
    const transport = overriding(near, {
      async write(bytes: Uint8Array) {
        inTurn();
        await last;
        return await near.write(bytes);
      },
    });
    return new Connection(transport, { framing });
  });
  const options = { slow: "disconnect", highWaterMark: 1 } as const;
  for (const line of ["one", "two"]) {
    const result = await broadcast(connections, line, options);
    assertEquals(result, { sent: 4, slow: [], ended: [] });
  }
  for (const connection of connections) connection.abort();
});

Deno.test('broadcast() with "disconnect" keeps healthy receivers while other broadcasts use up the turns', async () => {
  const groups = Array.from(
    { length: 10 },
    () =>
      Array.from(
        { length: 100 },
        () => new Connection(transportPair()[0], { framing }),
      ),
  );
  const options = { slow: "disconnect", highWaterMark: 1 } as const;
  await Promise.all(groups.map(async (connections) => {
    for (const line of ["one", "two", "three"]) {
      const { slow } = await broadcast(connections, line, options);
      assertEquals(slow.length, 0);
    }
  }));
  for (const connection of groups.flat()) connection.abort();
});

Deno.test('broadcast() with "drop" does not wait repeatedly for a blocked connection', async () => {
  await using all = await pairs(2, { framing });
  const [, ready] = all.connections;
  const reading = all.peers[1]?.countToEnd();
  await untilStuck(all.connections, 64 * 1024);

  let turns = 0;
  for (let i = 0; i < 50; i++) {
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    await broadcast(all.connections, "x", { slow: "drop" });
    if (hasTurned) turns++;
    await until(() => hasTurned);
  }
  assert(turns < 25, `${turns} of 50 broadcasts have waited`);
  await ready?.closeWrite();
  await reading;
});

Deno.test('broadcast() with "drop" lets other work run while all connections are blocked', async () => {
  const highWaterMark = 64 * 1024;
  await using one = await pair({ framing, highWaterMark });
  await untilStuck([one.connection], highWaterMark);
  for (let i = 0; i < 5; i++) {
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    const { sent } = await broadcast([one.connection], "x", { slow: "drop" });
    assertEquals([sent, hasTurned], [0, true]);
  }
});

Deno.test("broadcast() keeps nothing for a message that a blocked connection did not get", async () => {
  const [near] = transportPair({ bufferSize: 1 });
  await using connection = new Connection(near, { framing });
  connection.send("stuck");
  await turn();
  const flush = connection.flush();
  let waits = 0;
  const then = flush.then.bind(flush);
  flush.then = (...args) => {
    waits++;
    return then(...args);
  };
  const options = { slow: "drop", highWaterMark: 1 } as const;
  for (let i = 0; i < 5; i++) {
    const { slow } = await broadcast([connection], "dropped", options);
    assertEquals(slow.length, 1);
  }
  assertEquals(waits, 1);
  connection.abort();
});

Deno.test('broadcast() with "disconnect" ends slow connections and drops their queue', async () => {
  const highWaterMark = 30_000;
  await using all = await pairs(2, { framing });
  const [stuck, ready] = all.connections;
  assert(stuck !== undefined && ready !== undefined);
  const reading = all.peers[1]?.countToEnd();
  const options = { slow: "disconnect", highWaterMark } as const;

  await untilSlow(all.connections, options);

  const error: unknown = await stuck.closed.catch((error) => error);
  assertInstanceOf(error, QuotaExceededError);
  assertEquals(error.quota, highWaterMark);
  assert(error.requested !== null && error.requested >= highWaterMark);
  assert(error.requested < highWaterMark + 20_001);
  assertEquals(
    error.message,
    `Cannot send message: the peer is slow, ${error.requested} bytes are queued for it where highWaterMark is 30000`,
  );
  const result = await broadcast(all.connections, "to one", options);
  assertEquals(result.sent, 1);
  assertStrictEquals(result.ended[0], stuck);
  await ready.closeWrite();
  assertEquals(
    await reading,
    (ready.stats().messagesSent - 1) * 20_001 + "to one\n".length,
  );
});

Deno.test('broadcast() with "disconnect" ends a connection listed twice once', async () => {
  await using one = await pair({ framing });
  const { connection } = one;
  const options = { slow: "disconnect", highWaterMark: 20_000 } as const;
  await untilStuck([connection], options.highWaterMark);
  const result = await broadcast([connection, connection], "x", options);
  assertEquals([result.sent, result.slow.length], [0, 2]);
  await assertRejects(() => connection.closed, QuotaExceededError);
});

Deno.test("broadcast() skips connections that have ended", async () => {
  await using all = await pairs(4, { framing });
  const [closed, aborted, halfClosed, open] = all.connections;
  all.peers[0]?.close();
  await closed?.close();
  aborted?.abort();
  const ending = halfClosed?.closeWrite();
  for (const slow of ["wait", "drop", "disconnect"] as const) {
    const { sent, ended } = await broadcast(all.connections, "x", { slow });
    assertEquals(sent, 1);
    assertEquals(ended.length, 3);
    assert([closed, aborted, halfClosed].every((c) => c && ended.includes(c)));
  }
  await ending;
  await open?.flush();
  assertEquals(await all.peers[3]?.read(6), "x\nx\nx\n");
  assertEquals(await broadcast([], "x"), { sent: 0, slow: [], ended: [] });
});

Deno.test("broadcast() sends a message to no connection if one framing refuses it", async () => {
  await using short = await pair({ framing: lines({ maxLength: 3 }) });
  await using long = await pair({ framing });
  const connections = [long.connection, short.connection];

  await assertRejects(() => broadcast(connections, "longer"), RangeError);
  await assertRejects(() => broadcast(connections, "a\nb"), TypeError);
  const unhandled = await unhandledRejectionsIn(async () => {
    broadcast(connections, "a\nb");
    await broadcast(connections, "ok");
  });
  assertEquals(unhandled, []);

  for (const connection of connections) {
    assertEquals(connection.stats().messagesSent, 1);
  }
  assertEquals(await long.peer.read(3), "ok\n");
  assertEquals(await short.peer.read(3), "ok\n");
});

Deno.test("broadcast() throws immediately for invalid options", async () => {
  await using one = await pair({ framing });
  const tell = (options: object) => () =>
    void broadcast([one.connection], "x", options);
  assertThrows(
    tell({ slow: "ignore" }),
    TypeError,
    'slow must be one of "wait", "drop", "disconnect": current value is "ignore"',
  );
  assertThrows(
    tell({ highWaterMark: 1 }),
    TypeError,
    'Cannot broadcast with highWaterMark as slow is "wait"',
  );
  for (const highWaterMark of [0, -1, 1.5, NaN, Infinity, "1"]) {
    assertThrows(
      tell({ slow: "drop", highWaterMark }),
      RangeError,
      `at least 1 byte: current value is ${shownValue(highWaterMark)}`,
    );
  }
  // A single connection is not a list of connections.
  assertThrows(
    () => void broadcast(one.connection as never, "x"),
    TypeError,
    "connections[Symbol.iterator]",
  );
  const strange: Line = Object.create(one.connection);
  assertThrows(() => void broadcast([one.connection, strange], "x"), TypeError);
  assertEquals(one.connection.stats().messagesSent, 0);
});

Deno.test("broadcast() limits the queue for receivers that never read", async () => {
  await using all = await pairs(20, { framing });
  const line = "x".repeat(9_999);
  const options = { slow: "drop" } as const;
  let sent = 0;
  while (sent < MORE_THAN_KERNEL_TAKES / 6) {
    await broadcast(all.connections, line, options);
    sent += line.length;
  }
  for (const connection of all.connections) {
    assert(connection.stats().bufferedAmount < 65_536 + 10_000);
  }
});
