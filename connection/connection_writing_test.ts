import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { concat, equals } from "@std/bytes";
import { broadcast } from "./broadcast.ts";
import { Connection } from "./connection.ts";
import type { Transport } from "./transport.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { transportPair } from "../testing/transport_pair.ts";
import {
  ChunkDecoder,
  ChunkEncoder,
  delimited,
  type Encoder,
  type Framing,
  lengthPrefixed,
  lines,
  mapped,
  type Sendable,
  unframed,
} from "../framing.ts";
import {
  isPending,
  MORE_THAN_KERNEL_TAKES,
  overriding,
  pair,
  socketPair,
  sockets,
  toBytes,
  turn,
  unhandledRejectionsIn,
  unlessReset,
  untilSteady,
  writingBehind,
} from "./_testing.ts";

const framing = lines();
const toText = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const MEBIBYTE = 1024 * 1024;

/** A message of `length` bytes that differs from all others. */
function numbered(index: number, length: number): Uint8Array {
  const message = new Uint8Array(length).fill(index);
  for (let i = 0; i < length; i += 1000) message[i] = index + i / 1000;
  return message;
}

Deno.test("Connection.forward() rejects while a message is encoded", async () => {
  const forwards: Promise<void>[] = [];
  const encoder: Encoder<string> = {
    encode(line, output) {
      output.writeBytes(toBytes(line));
      if (line === "out") forwards.push(connection.forward(batch));
      output.writeByte(0x0a);
    },
  };
  const framing = { ...lines(), encoder: () => encoder };
  await using ends = connectionPair({ framing });
  const { near: connection, far } = ends;
  await far.send("in");
  const batches = connection.batches()[Symbol.asyncIterator]();
  const { value: batch } = await batches.next();
  assert(batch);

  await connection.send("out");

  await assertRejects(
    () => Promise.all(forwards),
    DOMException,
    "while that encodes another",
  );
  assertEquals(await far.receive(), "out");
});

Deno.test("Connection.forward() refuses what is no batch", async () => {
  await using ends = connectionPair({ framing: lines() });
  for (const given of [null, undefined, ["line"], "line", {}]) {
    await assertRejects(
      // @ts-expect-error: no batch, as in JavaScript
      () => ends.near.forward(given),
      TypeError,
      "Cannot forward as batch",
    );
  }
  assertEquals(ends.near.stats().messagesSent, 0);
});

Deno.test("Connection.forward() rejects after closeWrite() and after abort()", async () => {
  await using ends = connectionPair({ framing: lines() });
  const { near: connection, far } = ends;
  await far.send("one");
  const batches = connection.batches()[Symbol.asyncIterator]();
  const { value: batch } = await batches.next();
  assert(batch);
  await connection.closeWrite();
  await assertRejects(() => connection.forward(batch));
  connection.abort(new Error("enough"));
  await assertRejects(() => connection.forward(batch), Error, "enough");
  // Nothing of the message is sent, although there is no room left.
  await assertRejects(() => connection.forward(batch, 0, 0), Error, "enough");
});

Deno.test("Connection.closeWrite() rejects with the transport's error, which ends the connection", async () => {
  const [near] = transportPair();
  const transport = overriding(near, {
    closeWrite: () => Promise.reject(new Error("cannot end")),
  });
  const connection = new Connection(transport, { framing: lines() });
  await assertRejects(() => connection.closeWrite(), Error, "cannot end");
  await assertRejects(() => connection.closed, Error, "cannot end");
});

Deno.test("Connection.closed rejects with the error that the transport's close() throws", async () => {
  let timesClosed = 0;
  const transport: Transport = {
    read: () => Promise.resolve(null),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {
      timesClosed++;
      throw new Error("cannot close");
    },
  };
  const connection = new Connection(transport, { framing: lines() });
  await assertRejects(() => connection.close(), Error, "cannot close");
  await assertRejects(() => connection.closed, Error, "cannot close");
  // It does not replace the reason of an abort.
  const aborted = new Connection(transport, { framing: lines() });
  aborted.abort(new Error("enough"));
  await assertRejects(() => aborted.closed, Error, "enough");
  assertEquals(timesClosed, 2);
});

Deno.test("Connection.closed rejects with the error of an async close() of the transport", async () => {
  const [near] = transportPair();
  const methods: Partial<Transport>[] = [
    { close: () => Promise.reject(new Error("async")) },
    { reset: () => Promise.reject(new Error("async")) },
    { setNoDelay: () => Promise.reject(new Error("async")) },
    { setKeepAlive: () => Promise.reject(new Error("async")) },
  ];
  for (const method of methods) {
    const transport = overriding<Transport>(near, {
      read: () => Promise.resolve(null),
      closeWrite: () => Promise.resolve(),
      ...method,
    });
    const connection = new Connection(transport, {
      framing: lines(),
      keepAlive: method.setKeepAlive !== undefined,
    });
    if (method.reset === undefined) await connection.close().catch(() => {});
    else connection.abort(new Error("async, and the reason of the abort"));
    // Otherwise the rejection would be unhandled.
    await assertRejects(() => connection.closed, Error, "async");
  }
});

Deno.test("Connection.send() delivers messages of all sizes whole and in order without being awaited", async () => {
  const framing = lengthPrefixed();
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const large = [0, 1, 1_000, 16_383, 16_385, 65_535, 65_537, MEBIBYTE];
  const messages: Sendable[] = [];
  for (let i = 0; i < 30_000; i++) {
    const length = i % 1_000 === 0
      ? large[i / 1_000 % large.length] ?? 0
      : i * 7 % 211;
    messages.push(i % 3 === 0 ? "é".repeat(length / 2) : numbered(i, length));
  }

  const sent = messages.map((message) => connection.send(message));
  const closing = connection.closeWrite();
  const decoder = new ChunkDecoder(framing);
  let count = 0;
  for await (const chunk of peer.chunks()) {
    for (const received of decoder.decode(chunk)) {
      const expected = toBytes(messages[count] ?? "");
      assert(equals(received, expected), `Message ${count} is another`);
      count++;
    }
  }
  assertEquals(decoder.end(), []);
  assertEquals(count, messages.length);
  await Promise.all([...sent, closing]);
  const { messagesSent, bufferedAmount } = connection.stats();
  assertEquals({ messagesSent, bufferedAmount }, {
    messagesSent: messages.length,
    bufferedAmount: 0,
  });
});

Deno.test("Connection.send() delivers messages in order when it is awaited across turns of the event loop", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const received = peer.readToEnd();
  const expected: string[] = [];
  for (let i = 0; i < 2_000; i++) {
    const message = `${i}`.padEnd(i % 50 === 0 ? 20_000 : i % 100, ".");
    expected.push(message + "\n");
    if (i % 3 === 0) await connection.send(message);
    else connection.send(message);
    if (i % 97 === 0) await turn();
  }
  await connection.closeWrite();
  assertEquals(await received, expected.join(""));
});

Deno.test("Connection.send() has copied the bytes when it returns", async () => {
  for (const framing of [unframed(), lengthPrefixed(), delimited("\n")]) {
    for (const length of [10, 5_000, 20_000, MEBIBYTE]) {
      await using ends = await pair({ framing });
      const { connection, peer } = ends;
      const bytes = new Uint8Array(length);
      const received = Array.fromAsync(peer.chunks());
      const expected: Uint8Array[] = [];
      for (let i = 0; i < 5; i++) {
        bytes.fill(65 + i);
        expected.push(new ChunkEncoder(framing).encode(bytes));
        connection.send(bytes);
      }
      bytes.fill(0);
      await connection.closeWrite();
      assert(
        equals(concat(await received), concat(expected)),
        `${length} bytes have changed on their way`,
      );
    }
  }
});

Deno.test("Connection.send() has copied a Buffer, whose slice() is a view, when it returns", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  const buffer = Buffer.alloc(100_000, "a");
  connection.send(buffer);
  buffer.fill("b");
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "a".repeat(100_000));
});

Deno.test("Connection.send() never changes a frame that its framing made", async () => {
  const other = "x".repeat(12_345);
  for (const length of [1_000, 20_000, 64 * 1024, 100_000]) {
    const frame = new Uint8Array(length).fill(65);
    const constant: Framing<Uint8Array<ArrayBuffer>, Sendable> = {
      decoder: () => unframed().decoder(),
      encoder: () => ({
        encode: (message, output) =>
          output.writeBytes(message.length === 0 ? frame : toBytes(message)),
      }),
    };
    await using ends = await pair({ framing: constant });
    const { connection, peer } = ends;
    const received = peer.countToEnd();
    for (let i = 0; i < 100; i++) {
      connection.send(i % 2 === 0 ? "" : new Uint8Array());
      connection.send(other);
      if (i % 10 === 0) await connection.flush();
    }
    await connection.closeWrite();
    assertEquals(await received, 100 * (length + other.length));
    assert(frame.every((byte) => byte === 65), "The frame was written to");
  }
});

Deno.test("Connection.send() has copied a frame whose buffer its framing reuses", async () => {
  const scratch = new Uint8Array(200_000);
  const reusing = mapped(unframed(), {
    decode: (bytes) => bytes,
    encode(length: number) {
      scratch.fill(65 + length % 26, 0, length);
      return scratch.subarray(0, length);
    },
  });
  await using ends = await pair({ framing: reusing });
  const { connection, peer } = ends;
  const received = peer.readToEnd();
  const lengths = [3, 100_000, 20_001, 5, 30_002, 200_000, 1];
  for (const length of lengths) connection.send(length);
  await connection.closeWrite();
  assertEquals(
    await received,
    lengths.map((length) =>
      String.fromCharCode(65 + length % 26).repeat(length)
    ).join(""),
  );
});

/** Makes a pair that adds each write of the connection to `writes`. */
function pairNotingWrites(writes: string[]) {
  return pair({ framing }, (conn) =>
    overriding(conn, {
      write(bytes) {
        writes.push(new TextDecoder().decode(bytes));
        return conn.write(bytes);
      },
    }));
}

Deno.test("Connection writes the messages of one turn together", async () => {
  const writes: string[] = [];
  await using ends = await pairNotingWrites(writes);
  const { connection, peer } = ends;
  connection.send("1");
  connection.send("2");
  await connection.send("3");
  await Promise.resolve();
  connection.send("4");
  assertEquals(writes, []);
  assertEquals(await peer.read(8), "1\n2\n3\n4\n");
  assertEquals(writes, ["1\n2\n3\n4\n"]);

  connection.send("5");
  assertEquals(await peer.read(2), "5\n");
  assertEquals(writes, ["1\n2\n3\n4\n", "5\n"]);
});

Deno.test("Connection.request() writes a single request immediately, and gathers the following ones", async () => {
  const writes: string[] = [];
  await using ends = await pairNotingWrites(writes);
  const { connection, peer } = ends;
  const answers = ["1", "2", "3"].map((each) => connection.request(each));
  assertEquals(writes, ["1\n"]);
  assertEquals(await peer.read(6), "1\n2\n3\n");
  assertEquals(writes, ["1\n", "2\n3\n"]);
  await peer.write("a\nb\nc\n");
  assertEquals(await Promise.all(answers), ["a", "b", "c"]);

  connection.send("4");
  const last = connection.request("5");
  assertEquals(writes.length, 2);
  assertEquals(await peer.read(4), "4\n5\n");
  await peer.write("d\n");
  assertEquals(await last, "d");
});

Deno.test("Connection.request() keeps its order with requests that the transport's write() makes", async () => {
  let next: Promise<string> | undefined;
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      write(bytes) {
        next ??= ends.connection.request("2");
        return conn.write(bytes);
      },
    }));
  const { connection, peer } = ends;
  const first = connection.request("1");
  assertEquals(await peer.read(4), "1\n2\n");
  await peer.write("a\nb\n");
  assertEquals(await Promise.all([first, next]), ["a", "b"]);
});

Deno.test("Connection.request() writes before it waits for the socket", async () => {
  const calls: string[] = [];
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      read(buffer) {
        calls.push("read");
        return conn.read(buffer);
      },
      write(bytes) {
        calls.push("write");
        return conn.write(bytes);
      },
    }));
  const { connection, peer } = ends;
  for (const question of ["first", "again"]) {
    const answer = connection.request(question);
    assertEquals(await peer.read(6), `${question}\n`);
    await peer.write("answer\n");
    assertEquals(await answer, "answer");
  }
  // The connection knows only after the first read whether the socket is empty.
  assertEquals(calls.slice(-2), ["write", "read"]);
});

Deno.test("Connection writes the messages of a turn that a timer started together", async () => {
  const writes: string[] = [];
  await using ends = await pairNotingWrites(writes);
  const { connection, peer } = ends;
  setTimeout(async () => {
    for (const message of ["1", "2", "3"]) await connection.send(message);
  }, 0);
  assertEquals(await peer.read(6), "1\n2\n3\n");
  assertEquals(writes, ["1\n2\n3\n"]);
});

Deno.test("Connection writes the answers to all messages of one read together, in a loop that awaits each send", async () => {
  let writes = 0;
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      write(bytes) {
        writes++;
        return conn.write(bytes);
      },
    }));
  const { connection, peer } = ends;
  const echo = (async () => {
    for await (const message of connection) await connection.send(message);
  })();
  const messages = "0123456789\n".repeat(90);
  await peer.write(messages);
  assertEquals(await peer.read(messages.length), messages);
  assertEquals(writes, 1);
  await peer.conn.closeWrite();
  await echo;
});

Deno.test("Connection writes all messages sent during a write together in the next write", async () => {
  const writes: number[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      async write(bytes) {
        writes.push(bytes.length);
        await gate;
        return conn.write(bytes);
      },
    }));
  const { connection, peer } = ends;
  for (let i = 0; i < 10; i++) {
    connection.send("x");
    await turn();
  }
  assertEquals(writes, [2]);
  open();
  assertEquals(await peer.read(20), "x\n".repeat(10));
  assertEquals(writes, [2, 18]);
});

Deno.test("Connection loses nothing when the kernel accepts a write in parts", async () => {
  await using ends = await pair(
    { framing },
    (conn) =>
      overriding(conn, {
        write: (bytes) => conn.write(bytes.subarray(0, 1 + bytes.length % 7)),
      }),
  );
  const { connection, peer } = ends;
  const received = peer.readToEnd();
  const messages = Array.from({ length: 1_000 }, (_, i) => `message ${i}`);
  for (const [i, message] of messages.entries()) {
    connection.send(message);
    if (i % 10 === 0) await turn();
  }
  await connection.closeWrite();
  assertEquals(await received, messages.join("\n") + "\n");
});

Deno.test("Connection.send() waits while the peer does not read, and continues when it reads again", async () => {
  const highWaterMark = 32 * 1024;
  await using ends = await socketPair({ framing: unframed(), highWaterMark });
  const { connection, peer } = ends;
  const message = new Uint8Array(8 * 1024);
  const total = MORE_THAN_KERNEL_TAKES / message.length;
  let settled = 0;
  let largest = 0;
  const sending = (async () => {
    for (let i = 0; i < total; i++) {
      await connection.send(message);
      settled++;
      largest = Math.max(largest, connection.stats().bufferedAmount);
    }
    await connection.closeWrite();
  })();
  await untilSteady(() => settled);
  assert(settled < total);
  const { bufferedAmount, bytesSent, messagesSent } = connection.stats();
  assertEquals(bytesSent + bufferedAmount, messagesSent * message.length);
  assert(bufferedAmount >= highWaterMark);
  assert(bufferedAmount < highWaterMark + message.length);

  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES);
  await sending;
  assert(largest < highWaterMark, `${largest} bytes were queued`);
  assert(connection.stats().blockedTime > 0);
});

Deno.test("Connection.writable makes writer.ready wait for the peer", async () => {
  const highWaterMark = 32 * 1024;
  await using ends = await socketPair({ framing: unframed(), highWaterMark });
  const { connection, peer } = ends;
  const message = new Uint8Array(8 * 1024);
  const total = MORE_THAN_KERNEL_TAKES / message.length;
  const writer = connection.writable.getWriter();
  let written = 0;
  const writing = (async () => {
    for (let i = 0; i < total; i++) {
      await writer.ready;
      writer.write(message);
      written++;
    }
    await writer.close();
  })();
  await untilSteady(() => written);
  assert(written < total);
  assert(
    connection.stats().bufferedAmount < highWaterMark + message.length,
  );
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES);
  await writing;
  writer.releaseLock();
});

Deno.test("Connection.writable makes the source of a pipe wait for a slow peer", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection, peer } = ends;
  let pulled = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += 64 * 1024;
      controller.enqueue(new Uint8Array(64 * 1024));
      if (pulled === MORE_THAN_KERNEL_TAKES) controller.close();
    },
  });
  const piping = source.pipeTo(connection.writable);
  await untilSteady(() => pulled);
  assert(pulled < MORE_THAN_KERNEL_TAKES);
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES);
  await piping;
});

Deno.test("Connection.send() resolves immediately below highWaterMark, and waits from there on", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using ends = await pair(
    { framing: unframed(), highWaterMark: 100 },
    (conn) => writingBehind(gate, conn),
  );
  const { connection } = ends;
  await connection.send(new Uint8Array(99));
  const waiting = connection.send(new Uint8Array(1));
  assert(await isPending(waiting));
  assertEquals(connection.stats().bufferedAmount, 100);
  open();
  await waiting;
});

Deno.test("Connection.send() counts the bytes of text, not its characters, for highWaterMark", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using ends = await pair(
    { framing, highWaterMark: 100 },
    (conn) => writingBehind(gate, conn),
  );
  const { connection } = ends;
  await connection.send("→".repeat(32)); // 97 bytes with the line feed
  const waiting = connection.send("→");
  const writer = connection.writable.getWriter();
  assertEquals(writer.desiredSize, -1);
  assert(await isPending(waiting));
  open();
  await waiting;
});

Deno.test("Connection.send() resolves with the smallest highWaterMark", async () => {
  await using ends = await pair({ framing, highWaterMark: 1 });
  const { connection, peer } = ends;
  for (let i = 0; i < 10; i++) await connection.send(`${i}`);
  assertEquals(
    await peer.read(20),
    Array.from({ length: 10 }, (_, i) => `${i}\n`).join(""),
  );
});

Deno.test("Connection.flush() waits until the kernel has taken the messages sent before it, and no others", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let isStuck = false;
  await using ends = await pair(
    { framing: unframed() },
    (conn) =>
      overriding(conn, {
        async write(bytes) {
          if (isStuck) await gate;
          isStuck = true;
          return conn.write(bytes);
        },
      }),
  );
  const { connection } = ends;
  await connection.flush();
  connection.send("first");
  const first = connection.flush();
  const again = connection.flush();
  const before = connection.stats();
  assertEquals([before.bufferedAmount, before.bytesSent], [5, 0]);
  await turn();
  connection.send("second");
  const second = connection.flush();
  await Promise.all([first, again]);
  const between = connection.stats();
  assertEquals([between.bufferedAmount, between.bytesSent], [6, 5]);
  assert(await isPending(second));
  open();
  await second;
  const after = connection.stats();
  assertEquals([after.bufferedAmount, after.bytesSent], [0, 11]);
});

Deno.test("Connection.send() rejects only messages that its framing refuses", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  const sends = [
    connection.send("one"),
    connection.send("two\nlines"),
    connection.send("much too long"),
    connection.send("two"),
  ];
  const results = await Promise.allSettled(sends);
  assertEquals(results.map(({ status }) => status), [
    "fulfilled",
    "rejected",
    "rejected",
    "fulfilled",
  ]);
  await assertRejects(() => connection.send("two\nlines"), TypeError);
  await assertRejects(() => connection.send("much too long"), RangeError);
  await assertRejects(() => connection.request("two\nlines"), TypeError);
  assertEquals(connection.stats().messagesSent, 2);
  const received = connection.receive();
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "one\ntwo\n");
  // The refused request does not wait for an answer.
  await peer.write("three\n");
  assertEquals(await received, "three");
});

Deno.test("Connection.send() leaves no rejection unhandled when it is not awaited", async () => {
  const reasons = await unhandledRejectionsIn(async () => {
    await using ends = await pair({ framing, highWaterMark: 10 });
    const { connection } = ends;
    connection.send("two\nlines");
    connection.send("long enough to wait");
    connection.flush();
    connection.request("question");
    connection.abort(new Error("Enough"));
    connection.send("late");
    connection.flush();
    connection.closeWrite();
    connection.close();
  });
  assertEquals(reasons, []);
});

Deno.test("Connection sends nothing by itself, and encodes an empty message", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await connection.send("");
  await connection.send("");
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "\n\n");

  await using unframedEnds = await pair({ framing: unframed() });
  await unframedEnds.connection.send("");
  await unframedEnds.connection.flush();
  await unframedEnds.connection.send("x");
  await unframedEnds.connection.send(new Uint8Array());
  await unframedEnds.connection.close();
  assertEquals(await unframedEnds.peer.readToEnd(), "x");
});

Deno.test("Connection.readable.pipeTo(connection.writable) echoes all messages", async () => {
  const [near, far] = await sockets();
  const server = new Connection(near, { framing });
  const piping = server.readable.pipeTo(server.writable);
  const client = new Connection(far, { framing });

  const requests = Array.from({ length: 5_000 }, (_, i) => `message ${i}`);
  const answers = Promise.all(
    requests.map((request) => client.request(request)),
  );
  assertEquals(await answers, requests);
  await client.send("the last");
  await client.closeWrite();
  assertEquals(await client.receive(), "the last");
  assertEquals(await client.receive(), undefined);

  // Without close(): both sides have ended, so everything is released.
  await Promise.all([piping, server.closed, client.closed]);
  assertEquals(server.stats().messagesSent, 5_001);
});

Deno.test("Connection.writable ends a pipe from a source that waits when the connection ends", async () => {
  for (const how of ["abort", "close"] as const) {
    await using ends = await pair({ framing });
    const { connection } = ends;
    let cancelled: unknown;
    const source = new ReadableStream<string>({
      cancel: (reason) => {
        cancelled = reason;
      },
    });
    const piping = source.pipeTo(connection.writable);
    const reason = new Error("Enough");
    if (how === "abort") connection.abort(reason);
    else await connection.close();
    const error = await assertRejects(() => piping);
    if (how === "abort") assertStrictEquals(error, reason);
    assertStrictEquals(cancelled, error);
    assert(!source.locked);
  }
});

Deno.test("Connection.writable, when aborted, aborts the connection", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  const reason = new Error("Enough");
  await connection.writable.abort(reason);
  assertStrictEquals(await assertRejects(() => connection.closed), reason);
});

Deno.test("Connection.writable, when aborted without a reason, aborts the connection", async () => {
  const ways: ((writable: WritableStream<string>) => Promise<unknown>)[] = [
    (writable) => writable.abort(),
    (writable) => writable.getWriter().abort(),
    (writable) =>
      ReadableStream.from(failing()).pipeTo(writable).catch(() => {}),
  ];
  // deno-lint-ignore require-yield
  async function* failing(): AsyncGenerator<string> {
    await turn();
    throw undefined;
  }
  for (const abort of ways) {
    await using ends = await pair<string, string>({ framing });
    await abort(ends.connection.writable);
    assert(ends.connection.hasEnded);
    const error = await assertRejects(
      () => ends.connection.closed,
      DOMException,
    );
    assertEquals(error.name, "AbortError");
  }
});

Deno.test("Connection rejects a message that is sent while another is encoded", async () => {
  let refused: Promise<void> | undefined;
  const framing = mapped(
    lengthPrefixed(),
    {
      decode: toText,
      encode(message: string) {
        refused ??= connection.send("within");
        return message;
      },
    },
  );
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await connection.send("one");
  await connection.send("two");
  const error = await assertRejects(() => refused ?? Promise.resolve());
  assertInstanceOf(error, DOMException);
  assertEquals(error.name, "InvalidStateError");
  assertEquals(await peer.read(14), "\0\0\0\x03one\0\0\0\x03two");
});

Deno.test("Connection keeps other bytes out of the frame of a message that is being encoded", async () => {
  await using from = connectionPair({ framing });
  await from.far.send("within");
  const { value: batch } = await from.near.batches()[Symbol.asyncIterator]()
    .next();
  const refused: Promise<unknown>[] = [];
  let within: () => void = () => {};
  const torn: Framing<string> = {
    decoder: framing.decoder,
    encoder: () => ({
      encode(message, output) {
        output.writeText(message.slice(0, 1));
        within();
        output.writeText(`${message.slice(1)}\n`);
      },
    }),
  };
  await using ends = connectionPair({ framing: torn });
  within = () => {
    refused.push(ends.near.forward(batch), broadcast([ends.near], "within"));
    within = () => {};
  };
  await ends.near.send("one");
  await ends.near.send("two");
  assertEquals(await ends.far.receive(), "one");
  assertEquals(await ends.far.receive(), "two");
  assertEquals(refused.length, 2);
  for (const each of refused) {
    const error = await assertRejects(() => each, DOMException);
    assertEquals(error.name, "InvalidStateError");
  }
});

Deno.test("Connection that ends while a message is encoded does not send that message", async () => {
  const ways: [
    end: (connection: Connection<string, string>) => unknown,
    sent: string,
  ][] = [
    [(connection) => connection.close(), "\0\0\0\x03one"],
    [(connection) => connection.closeWrite(), "\0\0\0\x03one"],
    [(connection) => connection.abort(), ""],
  ];
  for (const [end, sent] of ways) {
    const framing = mapped(
      lengthPrefixed(),
      {
        decode: toText,
        encode(message: string) {
          end(connection);
          return message;
        },
      },
    );
    await using ends = await pair({ framing });
    const { connection, peer } = ends;
    connection.send("one");
    assertEquals(await unlessReset(peer.readToEnd(), ""), sent);
    assertEquals(connection.stats().bufferedAmount, 0);
    await assertRejects(() => connection.send("two"));
  }
});

Deno.test("Connection.request() is aborted by a signal while its message is encoded", async () => {
  const controller = new AbortController();
  const framing = mapped(
    lengthPrefixed(),
    {
      decode: toText,
      encode(message: string) {
        controller.abort(new Error("Enough"));
        return message;
      },
    },
  );
  await using ends = await pair({ framing });
  const { connection } = ends;
  const { signal } = controller;
  await assertRejects(
    () => connection.request("?", { signal }),
    Error,
    "Enough",
  );
  await assertRejects(() => connection.closed, DOMException, "was aborted");
});

Deno.test("Connection.request() rejects like send() after the end of this side", async () => {
  for (const end of ["close", "closeWrite"] as const) {
    await using ends = await pair({ framing });
    const { connection } = ends;
    connection.closeRead();
    connection[end]();
    const error = await assertRejects(() => connection.request("?"));
    assertInstanceOf(error, DOMException);
    assertEquals(error.name, "InvalidStateError");
  }
});

Deno.test("Connection.writable is errored if it is first used after the end", async () => {
  await using aborted = await pair({ framing });
  const reason = new Error("Enough");
  aborted.connection.abort(reason);
  const endless = new ReadableStream<string>({
    pull: () => new Promise(() => {}),
  });
  const piping = endless.pipeTo(aborted.connection.writable);
  assertStrictEquals(await assertRejects(() => piping), reason);

  await using closed = await pair({ framing });
  await closed.connection.close();
  const writer = closed.connection.writable.getWriter();
  const error = await assertRejects(() => writer.closed);
  assertInstanceOf(error, DOMException);
  assertEquals(error.name, "InvalidStateError");
});

Deno.test("Connection.stats() counts no blocked time after the end", async () => {
  await using ends = await socketPair({ framing: unframed() });
  const { connection } = ends;
  connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  await untilSteady(() => connection.stats().bytesSent);
  connection.abort();
  await assertRejects(() => connection.closed);
  const { blockedTime } = connection.stats();
  assert(blockedTime > 0);
  // This test is about time itself.
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(connection.stats().blockedTime, blockedTime);
});

Deno.test("Connection.stats() returns a snapshot with the counts of both directions", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const none = connection.stats();
  assertEquals(none, {
    bytesReceived: 0,
    bytesSent: 0,
    messagesReceived: 0,
    messagesDropped: 0,
    messagesSent: 0,
    bufferedAmount: 0,
    blockedTime: 0,
  });
  await peer.write("one\ntwo\nhal");
  await connection.receive();
  await connection.send("née");
  assertEquals(connection.stats().bufferedAmount, 5);
  await connection.flush();
  const { blockedTime, ...counts } = connection.stats();
  assertEquals(counts, {
    bytesReceived: 11,
    bytesSent: 5,
    messagesReceived: 1,
    messagesDropped: 0,
    messagesSent: 1,
    bufferedAmount: 0,
  });
  assert(blockedTime >= 0);
  assertEquals(none.bytesReceived, 0);
});
