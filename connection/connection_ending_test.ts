import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Connection } from "./connection.ts";
import { type Framing, FramingError, lines, unframed } from "../framing.ts";
import { untilPoll } from "../internal/event_loop.ts";
import {
  isPending,
  MORE_THAN_KERNEL_TAKES,
  overriding,
  pair,
  resettablePair,
  socketPair,
  sockets,
  turn,
  unhandledRejectionsIn,
  until,
  untilSteady,
  writingBehind,
} from "./_testing.ts";
import type { Transport } from "./transport.ts";

const framing = lines();
// Takes short messages and sends long ones.
const longAnswers: Framing<string> = {
  decoder: () => lines({ maxLength: 8 }).decoder(),
  encoder: () => lines({ maxLength: Infinity }).encoder(),
};
const UNREAD = new Uint8Array(MORE_THAN_KERNEL_TAKES);

Deno.test("Connection replies to a peer that has half-closed", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n");
  await peer.conn.closeWrite();
  const answered = (async () => {
    for await (const message of connection) {
      await connection.send(message + "!");
    }
    await turn();
    await connection.send("all answered");
    await connection.close();
  })();
  assertEquals(await peer.readToEnd(), "1!\n2!\n3!\nall answered\n");
  await answered;
  await connection.closed;
});

Deno.test("Connection sends more than the kernel buffers hold to a peer that has half-closed", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), undefined);
  connection.send(UNREAD);
  const closing = connection.closeWrite();
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES);
  await closing;
  await connection.closed;
});

Deno.test("Connection receives from a peer after closeWrite()", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  connection.send("question");
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "question\n");
  const received = Array.fromAsync(connection);
  await turn();
  await peer.write("answer 1\n");
  await turn();
  await peer.write("answer 2\n");
  await peer.conn.closeWrite();
  assertEquals(await received, ["answer 1", "answer 2"]);
  await connection.closed;
  assert(!connection.signal.aborted);
});

Deno.test("Connection.closeWrite() sends the queue first, and send() rejects after it", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  connection.send("one");
  const closing = connection.closeWrite();
  assertStrictEquals(connection.closeWrite(), closing);
  const error = await assertRejects(
    () => connection.send("late"),
    DOMException,
  );
  assertEquals(error.name, "InvalidStateError");
  await assertRejects(() => connection.request("late"), DOMException, "ended");
  await closing;
  assertEquals(await peer.readToEnd(), "one\n");
});

Deno.test("Connection releases its transport when both sides have ended, without close()", async () => {
  for (const first of ["peer", "connection"]) {
    // Without `pair`, which would release the transport itself.
    const [near, far] = await sockets();
    const connection = new Connection(near, { framing });
    if (first === "peer") far.close();
    else await connection.closeWrite();
    if (first === "peer") {
      assertEquals(await connection.receive(), undefined);
      assert(await isPending(connection.closed));
      await connection.closeWrite();
    } else {
      const received = connection.receive();
      assert(await isPending(connection.closed));
      far.close();
      assertEquals(await received, undefined);
    }
    await connection.closed;
    await connection.closeWrite();
    await connection.close();
    connection.abort();
    await connection.closed;
    assert(!connection.signal.aborted);
  }
});

Deno.test("Connection.close() sends the queue first", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  connection.send(UNREAD);
  connection.send("the end");
  const closing = connection.close();
  assert(await isPending(closing));
  const error = await assertRejects(() => connection.send("x"), DOMException);
  assertEquals(error.name, "InvalidStateError");
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES + 7);
  await closing;
  await connection.closed;
  assertEquals(connection.stats().bufferedAmount, 0);
  assert(!connection.signal.aborted);
});

Deno.test("Connection.close() works as the first call", async () => {
  const [near, far] = await sockets();
  const connection = new Connection(near, { framing });
  await connection.close();
  await connection.closed;
  assertEquals(await far.read(new Uint8Array(1)), null);
  assertEquals(await connection.receive(), undefined);
  await assertRejects(() => connection.send("x"), DOMException, "ended");
  await connection.closeWrite();
  await connection.flush();
  far.close();
});

Deno.test("Connection.close() settles all pending receivers", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  const reader = connection.readable.getReader();
  const received = connection.receive();
  const iterated = Array.fromAsync(connection);
  const read = reader.read();
  const answer = connection.request("question");
  await turn();
  await connection.close();
  assertEquals(await received, undefined);
  assertEquals(await iterated, []);
  assert((await read).done);
  const error = await assertRejects(() => answer, Error);
  assertEquals(error.name, "UnexpectedEof");
  await connection.closed;
});

Deno.test("Connection.close() keeps messages that were read for receive()", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n");
  assertEquals(await connection.receive(), "1");
  await connection.close();
  assertEquals(await connection.receive(), "2");
  assertEquals(await Array.fromAsync(connection), ["3"]);
});

Deno.test("Connection.close() delivers no part of a message whose rest it drops", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await connection.send("0"); // otherwise nothing is read during close()
  await peer.write("1\n2, and");
  assertEquals(await connection.receive(), "1");
  const closing = connection.close();
  assertEquals(await peer.readToEnd(), "0\n");
  await peer.write(" the rest\n");
  await peer.conn.closeWrite();
  await closing;
  assertEquals(await connection.receive(), undefined);
});

Deno.test("Connection.close() and closeWrite() agree in any order, twice and concurrently", async () => {
  const orders = [
    ["close", "close"],
    ["close", "closeWrite"],
    ["closeWrite", "close"],
    ["closeWrite", "close", "closeWrite", "close"],
  ] as const;
  for (const order of orders) {
    for (const isQueued of [false, true]) {
      await using ends = await pair({ framing });
      const { connection, peer } = ends;
      if (isQueued) connection.send("one");
      await Promise.all(order.map((method) => connection[method]()));
      await connection.closed;
      assertEquals(await peer.readToEnd(), isQueued ? "one\n" : "");
      await Promise.all(order.map((method) => connection[method]()));
    }
  }
});

Deno.test("Connection.closeWrite() calls no method of a closed transport", async () => {
  const calls: string[] = [];
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      closeWrite() {
        calls.push("closeWrite");
        return conn.closeWrite();
      },
      close() {
        calls.push("close");
        conn.close();
      },
    }));
  const { connection } = ends;
  await connection.close();
  await connection.closeWrite();
  assertEquals(calls, ["close"]);
});

Deno.test("Connection.close() works from within an iteration", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n");
  const received: string[] = [];
  for await (const message of connection) {
    received.push(message);
    await connection.close();
  }
  assertEquals(received, ["1", "2"]);
  await connection.closed;
});

Deno.test("Connection.close() works after the peer's end", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  peer.close();
  assertEquals(await connection.receive(), undefined);
  await connection.close();
  await connection.closed;
});

Deno.test("Connection closes at the end of its `await using` scope", async () => {
  const [near, far] = await sockets();
  {
    await using connection = new Connection(near, { framing });
    connection.send("one");
  }
  const bytes = new Uint8Array(10);
  assertEquals(await far.read(bytes), 4);
  assertEquals(await far.read(bytes), null);
  far.close();
});

Deno.test("Connection.abort() rejects pending calls with its reason", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection } = ends;
  const { signal } = connection;
  const reader = connection.readable.getReader();
  const waiting = [
    connection.receive(),
    connection.request("question"),
    Array.fromAsync(connection),
    Array.fromAsync(connection.batches()),
    reader.read(),
    connection.send(UNREAD),
    connection.flush(),
    connection.closeWrite(),
    connection.closed,
  ];
  await untilSteady(() => connection.stats().bytesSent);
  const reason = new Error("Enough");
  connection.abort(reason);
  assert(signal.aborted);
  assertStrictEquals(signal.reason, reason);
  for (const promise of waiting) {
    assertStrictEquals(await assertRejects(() => promise), reason);
  }
});

Deno.test("Connection.abort() drops queued and unreceived messages", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n");
  assertEquals(await connection.receive(), "1");
  connection.send("dropped");
  const reason = new Error("Enough");
  connection.abort(reason);
  assertStrictEquals(await assertRejects(() => connection.receive()), reason);
  assertEquals(connection.stats().bufferedAmount, 0);
  await assertRejects(() => connection.closed);
  assertEquals(await peer.countToEnd().catch(() => 0), 0);
});

Deno.test("Connection rejects every call after an error with that error", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  const reason = new Error("Enough");
  connection.abort(reason);
  connection.abort(new Error("Another"));
  for (const _ of [1, 2]) {
    const calls = [
      () => connection.send("x"),
      () => connection.flush(),
      () => connection.receive(),
      () => connection.request("x"),
      () => connection.closeWrite(),
      () => Array.fromAsync(connection),
      () => Array.fromAsync(connection.batches()),
      () => connection.readable.getReader().read(),
      () => connection.closed,
    ];
    for (const call of calls) {
      if (call === calls[7] && connection.readable.locked) continue;
      assertStrictEquals(await assertRejects(call), reason);
    }
    await connection.close(); // the transport is already closed
  }
  assertStrictEquals(connection.signal.reason, reason);
});

Deno.test("Connection.abort() with unread bytes lets the peer read the bytes that have arrived, and then the end", async () => {
  await using ends = await socketPair({ framing });
  const { connection, peer } = ends;
  await connection.send("whole");
  await connection.flush();
  assertEquals(await peer.read(6), "whole\n");
  await connection.send("the last");
  await connection.flush();
  await peer.write("x".repeat(100_000)); // no receiver reads it
  connection.abort();
  await connection.closed.catch(() => {});
  if (Deno.build.os === "linux") {
    assertEquals(await peer.readToEnd(), "the last\n");
  }
  await assertRejects(
    async () => {
      for (;;) await peer.write("x".repeat(100_000));
    },
    Error, // BrokenPipe; on other systems ConnectionReset or ConnectionAborted
  );
});

Deno.test("Connection.abort() without a reason rejects with an AbortError", async () => {
  const [near, far] = await sockets();
  const connection = new Connection(near, { framing });
  connection.abort();
  const error = await assertRejects(() => connection.closed, DOMException);
  assertEquals(error.name, "AbortError");
  far.close();
});

Deno.test("Connection.abort() works at every stage", async () => {
  const stages: Record<
    string,
    (connection: Connection<string, string>, peer: Deno.Conn) => unknown
  > = {
    "before anything": () => {},
    "with a read pending": (connection) => void connection.receive(),
    "with a write scheduled": (connection) => void connection.send("x"),
    "with a write blocked": async (connection) => {
      const text = "x".repeat(1024 * 1024);
      for (let i = 0; i < 32; i++) connection.send(text);
      await untilSteady(() => connection.stats().bytesSent);
    },
    "during a request": async (connection) => {
      connection.request("question");
      await connection.flush();
    },
    "during closeWrite": (connection) => {
      connection.send("x");
      connection.closeWrite();
    },
    "during close": (connection) => {
      connection.send("x");
      connection.close();
    },
    "after the peer's end": async (connection, peer) => {
      await peer.closeWrite();
      await connection.receive();
    },
    "twice": (connection) => connection.abort(),
  };
  for (const [stage, prepare] of Object.entries(stages)) {
    const [near, far] = await sockets();
    const connection = new Connection(near, { framing });
    await prepare(connection, far);
    connection.abort(new Error(stage));
    await assertRejects(() => connection.closed);
    assert(connection.signal.aborted, stage);
    far.close();
  }
});

Deno.test("Connection.abort() works from within an iteration and a listener", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  connection.signal.addEventListener("abort", () => {
    connection.abort(new Error("Again"));
    connection.close();
    connection.send("late");
    connection.receive();
  });
  await peer.write("1\n2\n");
  const reason = new Error("Enough");
  const received: string[] = [];
  const error = await assertRejects(async () => {
    for await (const message of connection) {
      received.push(message);
      connection.abort(reason);
    }
  });
  assertStrictEquals(error, reason);
  assertEquals(received, ["1"]);
});

Deno.test("Connection is aborted by its signal option, with its reason", async () => {
  const [near, far] = await sockets();
  const controller = new AbortController();
  const connection = new Connection(near, {
    framing,
    signal: controller.signal,
  });
  const received = connection.receive();
  const reason = new Error("Enough");
  controller.abort(reason);
  for (const promise of [received, connection.closed]) {
    assertStrictEquals(await assertRejects(() => promise), reason);
  }
  far.close();
});

Deno.test("Connection ends immediately if its signal is already aborted", async () => {
  const [near, far] = await sockets();
  const signal = AbortSignal.abort("no time");
  const connection = new Connection(near, { framing, signal });
  const reason = await connection.closed.catch((reason) => reason);
  assertEquals(reason, "no time");
  assertEquals(connection.signal.reason, "no time");
  far.close();
});

Deno.test("Connection leaves no listener on its signal option when it has ended", async () => {
  let listeners = 0;
  const { signal } = new AbortController();
  const watched = overriding(signal, {
    addEventListener() {
      listeners++;
    },
    removeEventListener() {
      listeners--;
    },
  });
  await using ends = await pair({ framing, signal: watched });
  assertEquals(listeners, 1);
  await ends.connection.close();
  assertEquals(listeners, 0);
});

Deno.test("Connection.signal aborts only if the connection ends with an error", async () => {
  {
    await using ends = await pair({ framing });
    const { connection, peer } = ends;
    const { signal } = connection;
    await peer.write("1\n");
    await peer.conn.closeWrite();
    assertEquals(await Array.fromAsync(connection), ["1"]);
    await connection.close();
    connection.abort(new Error("Too late"));
    await connection.closed;
    assert(!signal.aborted);
    assert(!connection.signal.aborted);
  }
  await using ends = await pair({ framing });
  const { connection } = ends;
  const reason = new Error("Enough");
  connection.abort(reason);
  // It was not used before.
  assertStrictEquals(connection.signal.reason, reason);
  assertStrictEquals(connection.signal, connection.signal);
});

Deno.test("Connection.hasEnded is true once a receiver has reached the peer's end", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("one\ntwo");
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), "one");
  assertEquals(connection.hasEnded, false);
  assertEquals(await connection.receive(), "two");
  assertEquals(await connection.receive(), undefined);
  assertEquals(connection.hasEnded, true);
  await connection.send("still sent");
  await connection.close();
  assertEquals(await peer.readToEnd(), "still sent\n");
});

Deno.test("Connection.hasEnded is true once a request has found that the peer has ended", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  assert(!connection.signal.aborted); // reads ahead from now on
  await peer.conn.closeWrite();
  await untilPoll();
  assertEquals(connection.hasEnded, false);
  await assertRejects(() => connection.request("one"), Error, "ended");
  assertEquals(connection.hasEnded, true);
  await connection.send("still sent");
  await connection.close();
  assertEquals(await peer.readToEnd(), "still sent\n");
});

Deno.test("Connection.request() that finds the peer's end leaves a message made of the end to its receiver", async () => {
  const last = ["last"];
  const decoder = {
    decode: (_: unknown, ended: boolean) => ended ? last.shift() : undefined,
  };
  await using ends = await pair({
    framing: { encoder: () => framing.encoder(), decoder: () => decoder },
  });
  const { connection, peer } = ends;
  assert(!connection.signal.aborted); // reads ahead from now on
  await peer.conn.closeWrite();
  await untilPoll();
  await assertRejects(() => connection.request("one"), Error, "ended");
  assertEquals(await connection.receive(), "last");
  assertEquals(await connection.receive(), undefined);
});

Deno.test("Connection.hasEnded is true immediately after an end on this side", async () => {
  const endings: [(connection: Connection<string>) => void, boolean][] = [
    [(connection) => connection.close(), true],
    [(connection) => connection.abort(), true],
    [(connection) => connection.closeWrite(), false],
    [(connection) => connection.closeRead(), false],
  ];
  for (const [end, expected] of endings) {
    await using ends = await pair({ framing });
    const { connection, peer } = ends;
    await peer.write("one\ntwo\nthree\n");
    assertEquals(await connection.receive(), "one");
    assertEquals(connection.hasEnded, false);
    end(connection);
    assertEquals(connection.hasEnded, expected);
  }
});

Deno.test("Connection.hasEnded stays false after closeRead()", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  connection.closeRead();
  assertEquals(await connection.receive(), undefined);
  assertEquals(connection.hasEnded, false);
});

Deno.test("Connection.hasEnded is false before a receiver has reached the error", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 3 }) });
  const { connection, peer } = ends;
  await peer.write("one\ntoo long\n");
  assertEquals(await connection.receive(), "one");
  assertEquals(connection.hasEnded, false);
  await assertRejects(() => connection.receive(), FramingError);
  assertEquals(connection.hasEnded, true);
});

Deno.test("Connection ends with an error when it is reset while it waits for messages", async () => {
  await using ends = await resettablePair({ framing });
  const { connection, reset } = ends;
  const { signal } = connection;
  const reader = connection.readable.getReader();
  const waiting: Promise<unknown>[] = [
    connection.receive(),
    connection.request("question"),
    Array.fromAsync(connection),
    reader.read(),
    connection.closed,
  ];
  await connection.flush();
  reset();
  for (const promise of waiting) {
    const error = await assertRejects(
      () => promise,
      Deno.errors.ConnectionReset,
    );
    assertStrictEquals(signal.reason, error);
  }
  await assertRejects(() => connection.send("x"), Deno.errors.ConnectionReset);
});

Deno.test("Connection that was reset while idle ends with an error when it is used again", async () => {
  await using ends = await resettablePair({ framing });
  const { connection, write, reset } = ends;
  await write("1\n");
  assertEquals(await connection.receive(), "1");
  reset();
  await assertRejects(async () => {
    while (true) {
      await connection.send("x");
      await connection.flush();
      await turn();
    }
  });
  const error = await assertRejects(() => connection.closed);
  assert(
    error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.BrokenPipe,
  );
});

Deno.test("Connection delivers the messages before a reset", async () => {
  await using ends = await resettablePair({ framing });
  const { connection, write, reset } = ends;
  await write("1\n2\n");
  assertEquals(await connection.receive(), "1");
  const waiting = connection.receive().then(async (message) => {
    assertEquals(message, "2");
    await connection.receive();
  });
  await assertRejects(async () => {
    reset();
    await waiting;
  }, Deno.errors.ConnectionReset);
});

Deno.test("Connection delivers everything its peer sent before it closed, although writes fail", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const messages = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
  await peer.write(messages.join("\n") + "\n");
  peer.close();
  const received = [await connection.receive()];
  const error = await assertRejects(async () => {
    while (true) {
      await connection.send("answer");
      await connection.flush();
      await turn();
    }
  });
  assertStrictEquals(connection.signal.reason, error);
  assertStrictEquals(await assertRejects(() => connection.closed), error);
  const failed = assertRejects(async () => {
    for await (const message of connection) received.push(message);
  });
  assertStrictEquals(await failed, error);
  assertEquals(received, messages);
});

/** Makes a pair whose connection fails every write, as if the peer were gone. */
function pairWithoutWrites() {
  return pair({ framing }, (conn) =>
    overriding(conn, {
      write: () => Promise.reject(new Deno.errors.BrokenPipe("Gone")),
    }));
}

Deno.test("Connection delivers no part of a message that is cut off after a failed write", async () => {
  await using ends = await pairWithoutWrites();
  const { connection, peer } = ends;
  await peer.write("whole\nbea");
  await peer.conn.closeWrite();
  await assertRejects(
    () => connection.send("x").then(() => connection.flush()),
    Deno.errors.BrokenPipe,
  );
  assertEquals(await connection.receive(), "whole");
  await assertRejects(() => connection.receive(), Deno.errors.BrokenPipe);
  await assertRejects(() => connection.closed, Deno.errors.BrokenPipe);
});

Deno.test("Connection delivers no part of a message that is cut off after a failed write, also after it has ended", async () => {
  await using ends = await pairWithoutWrites();
  const { connection, peer } = ends;
  await peer.write("whole\nbea");
  await peer.conn.closeWrite();
  connection.send("x");
  await assertRejects(() => connection.closed, Deno.errors.BrokenPipe);
  assertEquals(await connection.receive(), "whole");
  await assertRejects(() => connection.receive(), Deno.errors.BrokenPipe);
});

for (const call of ["send()", "closeWrite()"]) {
  Deno.test(`Connection over byte streams receives what arrived before ${call} fails, whatever the error`, async () => {
    // As that of Deno's WebSocketStream.
    const error = new TypeError("Broken pipe (os error 32)");
    const fail = () => Promise.reject(error);
    const { readable, writable } = new TransformStream<Uint8Array>();
    const connection = new Connection(
      { readable, writable: new WritableStream({ write: fail, close: fail }) },
      { framing },
    );
    const peer = writable.getWriter();
    const sent = peer.write(new TextEncoder().encode("first\nsecond\n"));
    assertStrictEquals(
      await assertRejects(() =>
        call === "send()"
          ? connection.send("x").then(() => connection.flush())
          : connection.closeWrite()
      ),
      error,
    );
    assertEquals(await connection.receive(), "first");
    assertEquals(await connection.receive(), "second");
    await sent;
    await peer.close();
    assertStrictEquals(await assertRejects(() => connection.receive()), error);
    assertStrictEquals(await assertRejects(() => connection.closed), error);
  });
}

Deno.test("Connection calls closeWrite() of the transport once, for closeWrite() and close()", async () => {
  let ended = 0;
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      closeWrite() {
        ended++;
        return conn.closeWrite();
      },
    }));
  const { connection, peer } = ends;
  await connection.send("all");
  connection.closeWrite();
  const closing = connection.close();
  assertEquals(await peer.readToEnd(), "all\n");
  peer.close();
  await closing;
  assertEquals(ended, 1);
});

Deno.test("Connection.abort() ends a connection that drains the transport after a failed write", async () => {
  await using ends = await pairWithoutWrites();
  const { connection } = ends;
  const received = connection.receive();
  await assertRejects(() =>
    connection.send("x").then(() => connection.flush())
  );
  connection.abort();
  await assertRejects(() => received, Deno.errors.BrokenPipe);
  await assertRejects(() => connection.closed, Deno.errors.BrokenPipe);
});

Deno.test("Connection ends with an error when it is reset while a write is blocked", async () => {
  await using ends = await resettablePair({ framing: unframed() });
  const { connection, reset } = ends;
  const waiting: Promise<unknown>[] = [
    connection.send(UNREAD),
    connection.flush(),
    connection.closeWrite(),
    connection.closed,
  ];
  await untilSteady(() => connection.stats().bytesSent);
  reset();
  const errors = await Promise.all(
    waiting.map((each) => assertRejects(() => each)),
  );
  assert(
    errors[0] instanceof Deno.errors.ConnectionReset ||
      errors[0] instanceof Deno.errors.BrokenPipe,
  );
  assertEquals(new Set(errors).size, 1);
  assertEquals(connection.stats().bufferedAmount, 0);
});

Deno.test("Connection ends when its peer closes with unread messages while both sides send", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  const sending = assertRejects(async () => {
    while (true) await connection.send(new Uint8Array(10_000));
  });
  const flooding = peer.write(UNREAD).catch(() => {});
  const received = Array.fromAsync(connection.batches()).catch(() => {});
  await until(() => connection.stats().bytesReceived > 10_000_000);
  peer.close();
  await flooding;
  await received;
  const error = await sending;
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("Connection resets a peer whose messages it did not read", async () => {
  await using ends = await socketPair({ framing });
  const { connection, peer } = ends;
  const flooding = peer.write(UNREAD);
  await untilSteady(() => peer.written);
  connection.abort();
  const error = await assertRejects(() => flooding);
  assert(
    error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.BrokenPipe,
  );
});

Deno.test("Connection rejects receive() in a listener of its signal", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  let late: Promise<unknown> = Promise.resolve();
  connection.signal.addEventListener("abort", () => {
    late = connection.receive();
  });
  const received = connection.receive();
  await peer.write("much too long\n");
  const error = await assertRejects(() => received, FramingError);
  assertStrictEquals(await assertRejects(() => late), error);
});

Deno.test("Connection answers the messages before a malformed one, then ends with its error", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  const { signal } = connection;
  await peer.write("1\n2\nmuch too long\n3\n");
  const error = await assertRejects(async () => {
    for await (const message of connection) {
      await connection.send(message + "!");
    }
  }, FramingError);
  assertStrictEquals(signal.reason, error);
  assertEquals(await peer.read(6), "1!\n2!\n");
  assertStrictEquals(await assertRejects(() => connection.closed), error);
  assertStrictEquals(await assertRejects(() => connection.send("x")), error);
  await connection.close();
});

Deno.test("Connection answers the messages before a malformed one if it receives one message ahead", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  await peer.write("1\n2\nmuch too long\n");
  let next = connection.receive();
  await assertRejects(async () => {
    while (true) {
      const message = await next;
      next = connection.receive();
      connection.send(message + "!");
    }
  }, FramingError);
  assertEquals(await peer.read(6), "1!\n2!\n");
});

Deno.test("Connection piped into itself answers the messages before a malformed one", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  const messages = "message\n".repeat(100);
  await peer.write(messages + "much too long\n");
  const piping = connection.readable.pipeTo(connection.writable);
  const error = await assertRejects(() => piping, FramingError);
  assertEquals(await peer.read(messages.length), messages);
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("Connection piped into itself answers a slow peer's messages before a malformed one", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using ends = await pair(
    { framing: lines({ maxLength: 8 }), highWaterMark: 24 },
    (conn) => writingBehind(gate, conn),
  );
  const { connection, peer } = ends;
  const messages = "message\n".repeat(5); // three are queued, two wait in the pipe
  await peer.write(messages + "much too long\n");
  const piping = assertRejects(
    () => connection.readable.pipeTo(connection.writable),
    FramingError,
  );
  await until(() => connection.signal.aborted);
  open();
  assertEquals(await peer.readToEnd(), messages);
  await piping;
});

Deno.test("Connection sends all its answers to a slow peer after a malformed message", async () => {
  await using ends = await socketPair({ framing: longAnswers });
  const { connection, peer } = ends;
  connection.send("x".repeat(MORE_THAN_KERNEL_TAKES / 2));
  await peer.write("much too long\n");
  await assertRejects(() => connection.receive(), FramingError);
  assert(await isPending(connection.closed));
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES / 2 + 1);
  await assertRejects(() => connection.closed, FramingError);
});

Deno.test("Connection releases its transport when its answers after a malformed message cannot be sent", async () => {
  const ways = ["peer closes", "abort", "sendTimeout", "idleTimeout"] as const;
  for (const way of ways) {
    await using ends = await socketPair({
      framing: longAnswers,
      ...(way === "sendTimeout" && { sendTimeout: 20 }),
      ...(way === "idleTimeout" && { idleTimeout: 20 }),
    });
    const { connection, peer } = ends;
    const flushed = connection.send("x".repeat(MORE_THAN_KERNEL_TAKES / 2));
    await peer.write("much too long\n");
    const error = await assertRejects(() => connection.receive());
    if (way === "peer closes") peer.close();
    if (way === "abort") connection.abort(new Error("Enough"));
    assertStrictEquals(await assertRejects(() => connection.closed), error);
    assertStrictEquals(await assertRejects(() => flushed), error);
    assertInstanceOf(error, FramingError, way);
  }
});

Deno.test("Connection releases its transport when the owner has closed the socket", async () => {
  const [conn, peer] = await sockets();
  const connection = new Connection(conn, { framing });
  const received = connection.receive();
  conn.close();
  await assertRejects(() => received);
  await assertRejects(() => connection.closed);
  connection.abort();
  await connection.close();
  peer.close();
});

Deno.test("Connection leaves no rejection unhandled, however it ends", async () => {
  const endings: Record<
    string,
    (connection: Connection<string, string>) => void
  > = {
    "abort": (connection) => connection.abort(new Error("Enough")),
    "close": (connection) => void connection.close(),
    "both": (connection) => {
      connection.close();
      connection.abort();
    },
    "closeWrite": (connection) => {
      connection.closeWrite();
      connection.abort();
    },
  };
  for (const [name, end] of Object.entries(endings)) {
    const reasons = await unhandledRejectionsIn(async () => {
      await using ends = await pair({ framing, highWaterMark: 10 });
      const { connection } = ends;
      connection.readable.getReader();
      const writer = connection.writable.getWriter();
      writer.write("x".repeat(100));
      writer.write("refused\n");
      writer.write("after it");
      void connection.signal;
      void connection.closed;
      connection.receive();
      connection.expect();
      connection[Symbol.asyncIterator]().next();
      connection.request("question");
      connection.send("x".repeat(100));
      connection.flush();
      end(connection);
      connection.receive();
      connection.send("late");
      connection.flush();
      writer.write("late");
      writer.close();
      writer.abort();
      await connection.closed.catch(() => {});
      connection.writable.abort();
    });
    assertEquals(reasons, [], name);
  }
});

Deno.test("Connection leaves no rejection unhandled when its peer resets it", async () => {
  const reasons = await unhandledRejectionsIn(async () => {
    await using ends = await resettablePair({ framing });
    const { connection, reset } = ends;
    connection.receive();
    connection.request("question");
    connection.batches()[Symbol.asyncIterator]().next();
    await connection.flush();
    const aborted = new Promise((resolve) =>
      connection.signal.addEventListener("abort", resolve)
    );
    reset();
    connection.send("x");
    await aborted;
    connection.close();
    connection.closeWrite();
    connection.flush();
    connection.send("late");
  });
  assertEquals(reasons, []);
});

Deno.test("Connection.close() loses no sent bytes although the peer's messages are unread", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  await peer.write("x".repeat(100_000));
  connection.send(new Uint8Array(2_000_000));
  const closing = connection.close();
  assertEquals(await peer.countToEnd(), 2_000_000);
  peer.close();
  await closing;
});

Deno.test("Connection.close() loses no sent bytes to a peer that is known to be sending", async () => {
  const length = MORE_THAN_KERNEL_TAKES / 4;
  const ways = ["read waits", "message has begun"] as const;
  for (const way of ways) {
    await using ends = await socketPair({ framing: longAnswers });
    const { connection, peer } = ends;
    const received = connection.receive();
    if (way === "message has begun") await peer.write("x");
    connection.send("y".repeat(length));
    await isPending(received);
    const closing = connection.close();
    if (way === "read waits") await peer.write("x");
    assert(await isPending(closing));

    let count = 0;
    for await (const chunk of peer.chunks()) {
      count += chunk.length;
      if (connection.stats().bytesSent === length + 1) break;
    }
    assert(await isPending(closing), way);
    await peer.write("more");
    assertEquals(count + await peer.countToEnd(), length + 1);
    peer.close();
    await closing;
  }
});

Deno.test("Connection.close() settles as soon as the peer closes too", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await connection.send("1");
  const closing = connection.close();
  assertEquals(await peer.read(2), "1\n");
  peer.close();
  await closing;
});

Deno.test("Connection.close() drains a peer that is blocked by unread bytes", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  connection.send(new Uint8Array(2 * MORE_THAN_KERNEL_TAKES));
  const writing = peer.write("x".repeat(MORE_THAN_KERNEL_TAKES));
  await untilSteady(() => connection.stats().bytesSent);
  const closing = connection.close();
  await writing;
  assertEquals(await peer.countToEnd(), 2 * MORE_THAN_KERNEL_TAKES);
  peer.close();
  await closing;
});

Deno.test("Connection ends with an error if its transport returns an impossible number of bytes", async () => {
  const silent: Transport = {
    read: () => new Promise(() => {}),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  for (const length of [undefined, NaN, -1, 1.5, 1e6, "1"] as number[]) {
    const moved = () => Promise.resolve(length);
    const writing = new Connection(
      { ...silent, write: moved },
      { framing: lines() },
    );
    writing.send("hello");
    await assertRejects(() => writing.flush(), RangeError, `${length}`);
    const reading = new Connection(
      { ...silent, read: moved },
      { framing: lines() },
    );
    await assertRejects(() => reading.receive(), RangeError, `${length}`);
    await assertRejects(() => reading.closed, RangeError, "read()");
  }
});

Deno.test("Connection adds one listener to a signal for all connections and calls that share it", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  let listeners = 0;
  Reflect.set(signal, "addEventListener", (
    type: string,
    listener: () => void,
  ) => {
    listeners++;
    add(type, listener);
  });
  const pairs = await Promise.all(
    Array.from({ length: 3 }, () => pair({ framing, signal })),
  );
  const receiving = pairs.flatMap(({ connection }) => [
    connection.receive({ signal }),
    connection.receive({ signal }),
  ]);
  controller.abort(new Error("enough"));
  assertEquals(listeners, 1);
  const ended = pairs.map(({ connection }) => connection.closed);
  for (const each of [...receiving, ...ended]) {
    await assertRejects(() => each, Error, "enough");
  }
  for (const each of pairs) await each[Symbol.asyncDispose]();
});

Deno.test("Connection delivers what had arrived when a stream of Node is closed, and sending fails", async () => {
  const [output, input] = [new PassThrough(), new PassThrough()];
  const connection = new Connection(
    {
      readable: Readable.toWeb(output) as ReadableStream<Uint8Array>,
      writable: Writable.toWeb(input),
    },
    { framing },
  );
  output.end("one\ntwo\n");
  input.destroy(); // as that of a child process that has exited
  await once(input, "close");
  connection.send("hello");

  await assertRejects(() => connection.flush(), Error, "abort");
  assertEquals(await connection.receive(), "one");
  assertEquals(await connection.receive(), "two");
  await assertRejects(() => connection.receive(), Error, "abort");
  await assertRejects(() => connection.closed, Error, "abort");
});
