import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Connection } from "./connection.ts";
import {
  asText,
  delimited,
  fixedLength,
  FramingError,
  lengthPrefixed,
  lines,
  mapped,
  unframed,
} from "../framing.ts";
import {
  isPending,
  MORE_THAN_KERNEL_TAKES,
  overriding,
  pair,
  socketPair,
  toBytes,
  turn,
  unhandledRejectionsIn,
  until,
  untilSteady,
} from "./_testing.ts";

const framing = lines();

Deno.test("Connection.receive() rejects if the framing's own function calls it", async () => {
  await using ends = await pair({
    framing: mapped(lines(), {
      decode(line) {
        if (line === "two") inner = connection.receive();
        return line;
      },
      encode: (line: string) => line,
    }),
  });
  let inner: Promise<string | undefined> | undefined;
  const { connection, peer } = ends;
  await peer.write("one\ntwo\n");
  assertEquals(await connection.receive(), "one");
  assertEquals(await connection.receive(), "two");
  const error = await assertRejects(async () => await inner, DOMException);
  assertEquals(error.name, "InvalidStateError");
});

Deno.test("Connection.request() of the framing's own function gets the buffered message", async () => {
  const takes: ((
    connection: Connection<string, string>,
  ) => Promise<unknown>)[] = [
    (connection) => connection.receive(),
    (connection) => connection[Symbol.asyncIterator]().next(),
    (connection) => connection.readable.values().next(),
  ];
  for (const take of takes) {
    await using ends = await pair({
      framing: mapped(lines(), {
        decode(line) {
          if (line === "one") inner = connection.request("question");
          return line;
        },
        encode: (line: string) => line,
      }),
    });
    let inner: Promise<string> | undefined;
    const { connection, peer } = ends;
    connection.peerEnded.catch(() => {}); // makes the connection read ahead
    await peer.write("one\ntwo\n");
    await until(() => connection.stats().bytesReceived === 8);
    await take(connection);
    assertEquals(await inner, "two");
  }
});

Deno.test("Connection.receive() gives messages in order, then undefined", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("one\ntwo\nthree");
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), "one");
  assertEquals(await connection.receive(), "two");
  assertEquals(await connection.receive(), "three");
  assertEquals(await connection.receive(), undefined);
  assertEquals(await connection.receive(), undefined);
});

Deno.test("Connection assembles a message that arrives byte by byte", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const received = connection.receive();
  for (const byte of "née\n") {
    await peer.write(byte);
    await turn();
  }
  assertEquals(await received, "née");
});

Deno.test("Connection receives bytes with a framing of bytes", async () => {
  await using ends = await pair({ framing: delimited("\n") });
  const { connection, peer } = ends;
  await peer.write("one\r\ntwo\n");
  assertEquals(await connection.receive(), toBytes("one\r"));
  assertEquals(await connection.receive(), toBytes("two"));
});

Deno.test("Connection reads the socket only when a message is asked for", async () => {
  let reads = 0;
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      read(buffer) {
        reads++;
        return conn.read(buffer);
      },
    }));
  const { connection, peer } = ends;
  await peer.write("one\ntwo\n");
  await turn();
  assertEquals(reads, 0);
  assertEquals(connection.stats().bytesReceived, 0);

  assertEquals(await connection.receive(), "one");
  await turn();
  assertEquals(reads, 1);
  assertEquals(await connection.receive(), "two");
  await turn();
  assertEquals(reads, 1);
});

Deno.test("Connection makes the peer wait when its consumer stops, and loses nothing", async () => {
  await using ends = await socketPair({ framing: fixedLength(1024) });
  const { connection, peer } = ends;
  const flood = peer.write(new Uint8Array(MORE_THAN_KERNEL_TAKES))
    .then(() => peer.conn.closeWrite());
  assertEquals((await connection.receive())?.length, 1024);

  await untilSteady(() => peer.written);
  assert(peer.written < MORE_THAN_KERNEL_TAKES);
  const stopped = connection.stats().bytesReceived;
  assert(stopped <= 64 * 1024, `${stopped} bytes were read ahead`);

  let count = 1;
  for await (const messages of connection.batches()) count += messages.length;
  await flood;
  assertEquals(count * 1024, MORE_THAN_KERNEL_TAKES);
  assertEquals(connection.stats().messagesReceived, count);
});

Deno.test("Connection reads at most readBufferSize ahead when it is busy", async () => {
  const readBufferSize = 10_000;
  await using ends = await pair({ framing: fixedLength(100), readBufferSize });
  const { connection, peer } = ends;
  const flood = peer.write(new Uint8Array(1_000_000))
    .then(() => peer.conn.closeWrite());
  let received = 0;
  for await (const { length } of connection) {
    received += length;
    const ahead = connection.stats().bytesReceived - received;
    assert(ahead <= readBufferSize, `${ahead} bytes were read ahead`);
  }
  await flood;
  assertEquals(received, 1_000_000);
});

Deno.test("Connection reads no more than readBufferSize in one read", async () => {
  const sizes = new Set<number>();
  await using ends = await pair(
    { framing: unframed(), readBufferSize: 7 },
    (conn) =>
      overriding(conn, {
        read(buffer) {
          sizes.add(buffer.length);
          return conn.read(buffer);
        },
      }),
  );
  const { connection, peer } = ends;
  const sent = Uint8Array.from({ length: 10_000 }, (_, i) => i);
  await peer.write(sent);
  await peer.conn.closeWrite();
  const received: number[] = [];
  for await (const chunk of connection) {
    assert(chunk.length >= 1 && chunk.length <= 7);
    received.push(...chunk);
  }
  assertEquals(Uint8Array.from(received), sent);
  assertEquals([...sizes], [7]);
});

Deno.test("Connection uses small reads when quiet, and reads of up to 64 KiB when busy", async () => {
  let size = 0;
  await using ends = await socketPair(
    { framing: unframed() },
    (conn) =>
      overriding(conn, {
        read(buffer) {
          size = buffer.length;
          return conn.read(buffer);
        },
      }),
  );
  const { connection, peer } = ends;
  const quiet = connection.receive();
  assert(size <= 1024);
  await peer.write("x");
  await quiet;

  const flood = peer.write(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  let largest = 0;
  while (connection.stats().bytesReceived < MORE_THAN_KERNEL_TAKES) {
    await connection.receive();
    largest = Math.max(largest, size);
  }
  await flood;
  assert(largest > 32 * 1024 && largest <= 64 * 1024, `Largest: ${largest}`);
});

Deno.test("Connection keeps no large buffer alive for small messages", async () => {
  await using ends = await pair({ framing: fixedLength(100) });
  const { connection, peer } = ends;
  const kept = [];
  for (let i = 0; i < 10_000; i++) {
    await peer.write(new Uint8Array(100).fill(i));
    kept.push(await connection.receive());
  }
  const buffers = new Set(kept.map((message) => message?.buffer));
  let held = 0;
  for (const buffer of buffers) held += buffer?.byteLength ?? 0;
  assert(held < 8_000_000, `1 MB of messages holds ${held} bytes`);
  for (const [i, message] of kept.entries()) {
    assert(message?.every((byte) => byte === i % 256), "A message has changed");
  }
});

Deno.test("Connection keeps no large buffer alive for small messages after it was busy", async () => {
  await using ends = await pair({ framing: fixedLength(100) });
  const { connection, peer } = ends;
  const busy = peer.write(new Uint8Array(4_000_000));
  for (let i = 0; i < 40_000; i++) await connection.receive();
  await busy;
  const buffers = new Set<ArrayBuffer>();
  for (let i = 0; i < 2_000; i++) {
    await peer.write(new Uint8Array(100));
    const message = await connection.receive();
    if (message !== undefined) buffers.add(message.buffer);
  }
  let held = 0;
  for (const { byteLength } of buffers) held += byteLength;
  assert(held < 2_000_000, `200 kB of messages hold ${held} bytes`);
});

Deno.test("Connection continues with receive() after a loop that breaks", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n4\n5\n");
  for await (const message of connection) {
    if (message === "2") break;
  }
  assertEquals(await connection.receive(), "3");
  for await (const message of connection) {
    assertEquals(message, "4");
    break;
  }
  for await (const messages of connection.batches()) {
    assertEquals([...messages], ["5"]);
    break;
  }
  const later = connection.receive();
  await peer.write("6\n");
  assertEquals(await later, "6");
  await connection.send("still open");
  assertEquals(await peer.read(11), "still open\n");
});

Deno.test("Connection continues after a loop whose body throws", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n");
  await assertRejects(
    async () => {
      for await (const message of connection) throw new Error(message);
    },
    Error,
    "1",
  );
  assertEquals(await connection.receive(), "2");
});

Deno.test("Connection.batches() gives all messages of a read together, and no empty batch", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\nhal");
  const batches = connection.batches()[Symbol.asyncIterator]();
  assertEquals([...(await batches.next()).value], ["1", "2", "3"]);
  const next = batches.next();
  assert(await isPending(next));
  await peer.write("f");
  assert(await isPending(next));
  await peer.write("\n4\n");
  assertEquals([...(await next).value], ["half", "4"]);
  await peer.conn.closeWrite();
  assertEquals(await batches.next(), { value: undefined, done: true });
});

Deno.test("Connection gives messages to all kinds of receivers in turn", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const reader = connection.readable.getReader();
  const iterator = connection[Symbol.asyncIterator]();
  const batches = connection.batches()[Symbol.asyncIterator]();
  await turn(); // a new stream requests nothing before its first read
  const received = Promise.all([
    connection.receive(),
    iterator.next(),
    connection.request("question"),
    reader.read(),
    connection.receive(),
    batches.next().then(({ value }) => [...value]),
  ]);
  assertEquals(await peer.read(9), "question\n");
  await peer.write("1\n2\n3\n4\n5\n6\n7\n");
  assertEquals(await received, [
    "1",
    { value: "2", done: false },
    "3",
    { value: "4", done: false },
    "5",
    ["6", "7"],
  ]);
  reader.releaseLock();
});

Deno.test("Connection gives each message to one of ten concurrent loops", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const loops = Array.from({ length: 10 }, () => Array.fromAsync(connection));
  const numbers = Array.from({ length: 5_000 }, (_, i) => String(i));
  await peer.write(numbers.join("\n") + "\n");
  await peer.conn.closeWrite();
  const received = (await Promise.all(loops)).flat();
  assertEquals(received.sort((a, b) => Number(a) - Number(b)), numbers);
});

Deno.test("Connection tells every waiting receiver that the peer has ended", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const reader = connection.readable.getReader();
  const iterator = connection[Symbol.asyncIterator]();
  const received = [
    connection.receive(),
    connection.receive(),
    iterator.next(),
    reader.read(),
    connection.receive(),
  ];
  await peer.conn.closeWrite();
  assertEquals(await Promise.all(received), [
    undefined,
    undefined,
    { value: undefined, done: true },
    { value: undefined, done: true },
    undefined,
  ]);
});

Deno.test("Connection.receive() loses no message when aborted", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  for (let i = 0; i < 20; i++) {
    const controller = new AbortController();
    const aborted = connection.receive({ signal: controller.signal });
    const reason = new Error(`Abort ${i}`);
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => aborted), reason);
    await peer.write(`${i}\n`);
    // The message arrives alternately before and after it is requested.
    if (i % 2 === 0) await turn();
    assertEquals(await connection.receive(), String(i));
  }
});

Deno.test("Connection.receive() gives the message or the abort reason if both come together", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const received: string[] = [];
  const aborts: Promise<void>[] = [];
  const sending = (async () => {
    for (let i = 0; i < 500; i++) await peer.write(`${i}\n`);
    await peer.conn.closeWrite();
  })();
  while (true) {
    const controller = new AbortController();
    const receiving = connection.receive({ signal: controller.signal });
    aborts.push(
      Promise.resolve().then(() => turn()).then(() => controller.abort()),
    );
    try {
      const message = await receiving;
      if (message === undefined) break;
      received.push(message);
    } catch (error) {
      assertInstanceOf(error, DOMException);
    }
  }
  await Promise.all([sending, ...aborts]);
  assertEquals(received, Array.from({ length: 500 }, (_, i) => String(i)));
});

Deno.test("Connection.receive() leaves the order of other receivers unchanged when it is aborted", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const first = connection.receive();
  const aborted = connection.receive({ signal: controller.signal });
  const last = connection.receive();
  controller.abort();
  await assertRejects(() => aborted, DOMException, "aborted");
  await peer.write("1\n2\n");
  assertEquals(await Promise.all([first, last]), ["1", "2"]);
});

Deno.test("Connection.receive() rejects immediately if its signal is already aborted", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("one\n");
  const signal = AbortSignal.abort("no time");
  const reason = await connection.receive({ signal }).catch((reason) => reason);
  assertEquals(reason, "no time");
  assertEquals(connection.stats().bytesReceived, 0);
  assertEquals(await connection.receive(), "one");
});

Deno.test("Connection.receive() leaves no listener on a signal", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  let listeners = 0;
  const { signal } = new AbortController();
  const watched = overriding(signal, {
    addEventListener(...args: Parameters<AbortSignal["addEventListener"]>) {
      listeners++;
      signal.addEventListener(...args);
    },
    removeEventListener(
      ...args: Parameters<AbortSignal["removeEventListener"]>
    ) {
      listeners--;
      signal.removeEventListener(...args);
    },
  });
  for (let i = 0; i < 10; i++) {
    const received = connection.receive({ signal: watched });
    assertEquals(listeners, 1);
    await peer.write("x\n");
    await received;
    await turn();
    assertEquals(listeners, 0);
  }
});

Deno.test("Connection.readable gives messages and ends when the peer ends", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  assertStrictEquals(connection.readable, connection.readable);
  await peer.write("1\n2\n3\n");
  await peer.conn.closeWrite();
  assertEquals(await Array.fromAsync(connection.readable), ["1", "2", "3"]);
});

Deno.test("Connection.readable waits for its reader", async () => {
  await using ends = await socketPair({ framing: fixedLength(1024) });
  const { connection, peer } = ends;
  const reader = connection.readable.getReader();
  const flood = peer.write(new Uint8Array(MORE_THAN_KERNEL_TAKES))
    .then(() => peer.conn.closeWrite());
  await untilSteady(() => peer.written);
  assertEquals(connection.stats().bytesReceived, 0);
  await reader.read();
  await untilSteady(() => peer.written);
  assert(connection.stats().bytesReceived <= 64 * 1024);
  reader.releaseLock();
  let count = 1;
  for await (const _ of connection.readable) count++;
  await flood;
  assertEquals(count * 1024, MORE_THAN_KERNEL_TAKES);
});

Deno.test("Connection.readable lets receive() continue when a loop over it breaks", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n");
  for await (
    const message of connection.readable.values({ preventCancel: true })
  ) {
    if (message === "2") break;
  }
  assertEquals(await connection.receive(), "3");
});

/** Reads a stream, and leaves before a message has come. */
async function leaveRead(readable: ReadableStream): Promise<void> {
  const reader = readable.getReader();
  const left = assertRejects(() => reader.read(), TypeError);
  await turn(); // the stream has requested a message
  reader.releaseLock();
  await left;
}

Deno.test("Connection.readable gives its next reader the message that the last one has asked for first", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await leaveRead(connection.readable);
  const messages = connection.readable.values();
  await peer.write("1\n2\n3\n");
  await peer.conn.closeWrite();
  await connection.peerEnded; // the message is in the stream's own queue
  assertEquals(await Array.fromAsync(messages), ["1", "2", "3"]);
});

Deno.test("Connection.readable leaves the next message to other receivers when its reader has stopped", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await leaveRead(connection.readable);
  const received = connection.receive();

  const stop = new AbortController();
  await peer.write("1\n");
  assertEquals(await received, "1");
  const piped = connection.readable.pipeTo(new WritableStream(), {
    preventCancel: true,
    signal: stop.signal,
  });
  await turn();
  stop.abort();
  await assertRejects(() => piped, DOMException);
  await peer.write("2\n3\n");
  assertEquals(await connection.receive(), "2");
  const again = connection.readable.getReader();
  assertEquals((await again.read()).value, "3");
});

Deno.test("Connection.readable, when cancelled, ends the messages and lets the connection send", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const reader = connection.readable.getReader();
  const read = reader.read();
  const received = connection.receive();
  await reader.cancel();
  assert((await read).done);
  assertEquals(await received, undefined);
  await peer.write("never read\n");
  await connection.send("one");
  assertEquals(await peer.read(4), "one\n");
});

Deno.test("Connection.closeRead() ends the messages after the buffered ones", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n");
  assertEquals(await connection.receive(), "1");
  connection.closeRead();
  assertEquals(await Array.fromAsync(connection), ["2", "3"]);
  assertEquals(await connection.receive(), undefined);
  await connection.send("one");
  assertEquals(await peer.read(4), "one\n");
});

Deno.test("Connection delivers the messages before a malformed one, then its error", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  await peer.write("1\n2\nmuch too long\n");
  assertEquals(await connection.receive(), "1");
  assertEquals(await connection.receive(), "2");
  const error = await assertRejects(() => connection.receive(), FramingError);
  assertEquals(error.code, "too-long");
  assertStrictEquals(await assertRejects(() => connection.receive()), error);
  assertStrictEquals(
    await assertRejects(() => Array.fromAsync(connection.readable)),
    error,
  );
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("Connection rejects all receivers with a malformed message's error, after the messages before it", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  const received = Array.from({ length: 4 }, () => connection.receive());
  await peer.write("1\n2\nmuch too long\n");
  const [first, second, third, fourth] = await Promise.allSettled(received);
  assertEquals(first, { status: "fulfilled", value: "1" });
  assertEquals(second, { status: "fulfilled", value: "2" });
  assert(third?.status === "rejected" && fourth?.status === "rejected");
  assertInstanceOf(third.reason, FramingError);
  assertStrictEquals(fourth.reason, third.reason);
});

Deno.test("Connection delivers the messages of a batch before its error", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 8 }) });
  const { connection, peer } = ends;
  await peer.write("1\n2\nmuch too long\n");
  const batches: string[][] = [];
  await assertRejects(async () => {
    for await (const batch of connection.batches()) batches.push([...batch]);
  }, FramingError);
  assertEquals(batches, [["1", "2"]]);
});

Deno.test("Connection ends with a FramingError when the stream ends inside a message", async () => {
  await using ends = await pair({ framing: fixedLength(4) });
  const { connection, peer } = ends;
  await peer.write("fourfi");
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), toBytes("four"));
  const error = await assertRejects(() => connection.receive(), FramingError);
  assertEquals(error.code, "truncated");
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("Connection delivers the remainder at the end before its error", async () => {
  let calls = 0;
  await using ends = await pair<string, never>({
    framing: {
      decoder: () => ({
        decode(_input, ended) {
          if (!ended) return undefined;
          if (calls++ === 0) return "last";
          throw new FramingError("Unfinished", { code: "malformed" });
        },
      }),
      encoder: () => ({ encode() {} }),
    },
  });
  const { connection, peer } = ends;
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), "last");
  await assertRejects(() => connection.receive(), FramingError, "Unfinished");
});

Deno.test("Connection ends with the error that its decoder throws", async () => {
  const error = new TypeError("Bad decoder");
  await using ends = await pair<string, never>({
    framing: {
      decoder: () => ({
        decode(input) {
          if (input.length > 0) throw error;
          return undefined;
        },
      }),
      encoder: () => ({ encode() {} }),
    },
  });
  const { connection, peer } = ends;
  await peer.write("x");
  assertStrictEquals(await assertRejects(() => connection.receive()), error);
  assertStrictEquals(await assertRejects(() => connection.closed), error);
});

Deno.test("Connection ends with the error that the transport's ref() throws, and loses no message", async () => {
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      ref() {
        throw new Error("no ref");
      },
      unref() {},
    }));
  const { connection, peer } = ends;
  await peer.write("one\n");
  connection.peerEnded.catch(() => {}); // reads ahead without keeping the process alive
  await until(() => connection.stats().bytesReceived > 0);
  assertEquals(await connection.receive(), "one");
  await assertRejects(() => connection.receive(), Error, "no ref");
  await assertRejects(() => connection.closed, Error, "no ref");
});

Deno.test("Connection ends with the error that the transport's read() throws", async () => {
  await using ends = await pair({ framing }, (conn) =>
    overriding(conn, {
      read() {
        throw new Error("no read");
      },
    }));
  const { connection } = ends;
  await assertRejects(() => connection.receive(), Error, "no read");
  await assertRejects(() => connection.closed, Error, "no read");
});

Deno.test("Connection.readable, when cancelled by the framing's own function, does not block other receivers", async () => {
  await using ends = await pair({
    framing: mapped(lines(), {
      decode(line) {
        if (line === "enough") cancelled = reader.cancel();
        return line;
      },
      encode: (line: string) => line,
    }),
  });
  let cancelled: Promise<void> | undefined;
  const { connection, peer } = ends;
  const reader = connection.readable.getReader();
  const reading = reader.read();
  await turn(); // the stream starts only then
  const next = connection.receive();
  const last = connection.receive();
  await peer.write("enough\nnext\n");
  assertEquals((await reading).done, true);
  await cancelled;
  assertEquals([await next, await last], ["next", undefined]);
  await connection.close();
});

Deno.test("Connection.close() during a read of the transport drains the peer's bytes up to its end", async () => {
  let closing: Promise<void> | undefined;
  await using ends = await pair(
    { framing: unframed() },
    (conn) =>
      overriding(conn, {
        read(buffer) {
          closing ??= ends.connection.close();
          return conn.read(buffer);
        },
      }),
  );
  const { connection, peer } = ends;
  await connection.send("answer");
  const receiving = connection.receive();
  await peer.write(new Uint8Array(8 * 1024 * 1024)); // a reset would make this write fail
  await peer.conn.closeWrite();
  assertEquals(await peer.readToEnd(), "answer");
  assertEquals(await receiving, undefined);
  await closing;
});

Deno.test("Connection starts one read at most, also if the transport calls the connection during a read", async () => {
  const callBacks: ((connection: Connection) => unknown)[] = [
    (connection) => connection.receive(),
    (connection) => connection.peerEnded,
    (connection) => connection.close(),
  ];
  for (const callBack of callBacks) {
    let underWay = 0;
    let most = 0;
    await using ends = await pair({}, (conn) =>
      overriding(conn, {
        async read(buffer) {
          most = Math.max(most, ++underWay);
          if (!hasCalled) {
            hasCalled = true;
            callBack(ends.connection);
          }
          try {
            return await conn.read(buffer);
          } finally {
            underWay--;
          }
        },
      }));
    let hasCalled = false;
    const { connection, peer } = ends;
    await connection.send("so that close() reads");
    const receiving = connection.receive();
    await peer.write("\n\n");
    await peer.conn.closeWrite();
    await receiving;
    await connection.close();
    assertEquals([hasCalled, most], [true, 1]);
  }
});

Deno.test("Connection.readable gives messages to concurrent reads in their order", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const iterator = connection.readable.values({ preventCancel: true });
  const order: string[] = [];
  const working = ["a", "b", "c"].map(async (name) => {
    for (let i = 0; i < 3; i++) {
      order.push(`${name}${(await iterator.next()).value}`);
    }
  });
  await peer.write("1\n2\n3\n4\n5\n6\n7\n8\n9\n");
  await Promise.all(working);
  assertEquals(order, ["a1", "b2", "c3", "a4", "b5", "c6", "a7", "b8", "c9"]);
});

Deno.test("Connection delivers buffered messages if close() or closeRead() is called while it decodes, but not after abort()", async () => {
  const ways: [
    end: (connection: Connection<string>) => void,
    expected: string[],
  ][] = [
    [(connection) => connection.close(), ["one", "two"]],
    [(connection) => connection.closeRead(), ["one", "two"]],
    // The receiver keeps messages that it received before.
    [(connection) => connection.abort(new Error("Enough")), ["one"]],
  ];
  for (const [end, expected] of ways) {
    await using ends = await pair({
      framing: lines({
        maxLength: 10,
        oversize: "discard",
        onDiscard: () => end(connection),
      }),
    });
    const { connection, peer } = ends;
    await peer.write("one\nmuch too long\ntwo\n");
    const received: string[] = [];
    try {
      for await (const message of connection) received.push(message);
      assertEquals(await connection.receive(), undefined);
    } catch (error) {
      assertInstanceOf(error, Error);
      assertEquals(error.message, "Enough");
      assertStrictEquals(
        await assertRejects(() => connection.receive()),
        error,
      );
    }
    assertEquals(received, expected);
  }
});

Deno.test("Connection calls the decoder for the remainder until it returns undefined", async () => {
  const remainder = ["one", "two", "three"];
  await using ends = await pair<string, never>({
    framing: {
      decoder: () => ({
        decode: (_input, ended) => ended ? remainder.shift() : undefined,
      }),
      encoder: () => ({ encode() {} }),
    },
  });
  const { connection, peer } = ends;
  await peer.conn.closeWrite();
  assertEquals(await Array.fromAsync(connection), ["one", "two", "three"]);
});

Deno.test("Connection leaves no rejection unhandled when its receivers are not awaited", async () => {
  const reasons = await unhandledRejectionsIn(async () => {
    await using ends = await pair({ framing: lines({ maxLength: 8 }) });
    const { connection, peer } = ends;
    connection.receive();
    connection.receive({ signal: AbortSignal.abort() });
    const controller = new AbortController();
    connection.receive({ signal: controller.signal });
    controller.abort();
    connection[Symbol.asyncIterator]().next();
    connection.batches()[Symbol.asyncIterator]().next();
    connection.request("question");
    let isAborted = false;
    connection.signal.addEventListener("abort", () => isAborted = true);
    await peer.write("1\nmuch too long\n");
    await until(() => isAborted);
    connection.receive();
    connection.request("late");
  });
  assertEquals(reasons, []);
});

Deno.test("Connection delivers an error after the messages of a mapped framing without reading more bytes", async () => {
  await using ends = await pair({
    framing: asText(lengthPrefixed({ maxLength: 8 })),
  });
  const { connection, peer } = ends;
  await peer.write("\0\0\0\x01a\0\0\0\x09");
  assertEquals(await connection.receive(), "a");
  await assertRejects(() => connection.receive(), FramingError, "longer than");
});

Deno.test("Connection.stats() counts the dropped messages of each framing, for this connection only", async () => {
  await using ends = await pair({
    framing: lines({ maxLength: 3, oversize: "discard" }),
  });
  await using other = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const numbers = mapped(lines(), {
    decode(line) {
      if (!/^\d+$/.test(line)) throw new FramingError("Not a number");
      return Number(line);
    },
    encode: String,
    onMalformed: "discard",
  });
  await peer.write("long\none\nlong\nlong\ntwo\n");
  assertEquals([await connection.receive(), await connection.receive()], [
    "one",
    "two",
  ]);
  assertEquals(connection.stats().messagesDropped, 3);
  await peer.write("x\ny\n1\nz\n2\n");
  assertEquals(await connection.receive({ framing: numbers }), 1);
  assertEquals(connection.stats().messagesDropped, 5);
  for await (const batch of connection.reframe(numbers).batches()) {
    assertEquals([...batch], [2]);
    break;
  }
  const { messagesDropped, messagesReceived } = connection.stats();
  assertEquals([messagesDropped, messagesReceived], [6, 4]);
  assertEquals(other.connection.stats().messagesDropped, 0);
});

Deno.test("Connection uses small reads for a stream of messages that are all dropped", async () => {
  const error = new FramingError("Refused");
  const rooms: number[] = [];
  let left = 4096;
  const transport = {
    read(buffer: Uint8Array) {
      rooms.push(buffer.length);
      const length = Math.min(left, buffer.length);
      left -= length;
      return Promise.resolve(length === 0 ? null : length);
    },
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  await using connection = new Connection(transport, {
    framing: mapped(fixedLength(1), {
      decode(): string {
        throw error;
      },
      encode: (message: string) => message,
      onMalformed: "discard",
    }),
  });
  assertEquals(await connection.receive(), undefined);
  assertEquals(connection.stats().messagesDropped, 4096);
  assert(Math.max(...rooms) <= 2048, `${rooms}`);
});

Deno.test("Connection gives others a turn while a stream always has small chunks", async () => {
  const length = 100_000;
  let count = 0;
  const readable = new ReadableStream<Uint8Array>({
    pull(controller) {
      count++;
      controller.enqueue(new Uint8Array(1));
    },
  }, { highWaterMark: 0 });
  const writable = new WritableStream<Uint8Array>();
  const connection = new Connection(
    { readable, writable },
    { framing: fixedLength(length) },
  );
  let countAtTimer = 0;
  const timer = setTimeout(() => countAtTimer = count, 0);
  await connection.receive();
  clearTimeout(timer);
  await connection.close();
  assert(countAtTimer > 0 && countAtTimer < length, `${countAtTimer}`);
});
