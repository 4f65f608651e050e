import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./options.ts";
import type { ByteStreams, Transport } from "./transport.ts";
import { nextTurn } from "../internal/event_loop.ts";
import { transportPair } from "../testing.ts";
import {
  asText,
  fixedLength,
  type Framing,
  headed,
  lengthPrefixed,
  lines,
  mapped,
  unframed,
} from "../framing.ts";
import {
  backgroundTimers,
  MORE_THAN_KERNEL_TAKES,
  MORE_THAN_MEMORY_TAKES,
  overriding,
  pair,
  socketPair,
  sockets,
  toBytes,
  turn,
  unhandledRejectionsIn,
} from "./_testing.ts";

const framing = lines();
// A timeout that expires soon, and one that does not expire in a test.
const SOON_MS = 30;
const NEVER_MS = 60_000;
// A limit, and waits that are each far shorter but together longer.
const LATER_MS = 400;
const PARTS = 30;

/** Waits for longer than a short timeout. These tests are about time itself. */
function longerThanSoon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SOON_MS * 3));
}

function aPartOfLater(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LATER_MS / 20));
}

/** Blocks this thread for longer than a short timeout. */
function blockThread(): void {
  const end = performance.now() + SOON_MS * 3;
  while (performance.now() < end);
}

/** Waits for a timeout, and asserts that everything ends with it. */
async function assertTimesOut(
  connection: Connection<unknown, never>,
  which: string,
  waiting: Promise<unknown> = connection.closed,
): Promise<void> {
  const error = await assertRejects(
    () => connection.closed,
    DOMException,
    `${which} of ${SOON_MS} ms`,
  );
  assertEquals(error.name, "TimeoutError");
  assertStrictEquals(connection.signal.reason, error);
  assertStrictEquals(await assertRejects(() => waiting), error);
}

Deno.test("Connection idleTimeout ends a wait for a silent peer", async () => {
  await using ends = await pair({ framing, idleTimeout: SOON_MS });
  const { connection } = ends;
  await assertTimesOut(connection, "idleTimeout", connection.receive());
});

Deno.test("Connection idleTimeout ends a wait for a peer that reads nothing", async () => {
  await using ends = await socketPair({
    framing: unframed(),
    idleTimeout: SOON_MS,
  });
  const { connection } = ends;
  const sent = connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  await assertTimesOut(connection, "idleTimeout", sent);
});

Deno.test("Connection idleTimeout starts again with bytes in either direction", async () => {
  await using ends = await pair({ framing, idleTimeout: LATER_MS });
  const { connection, peer } = ends;
  const received = connection.receive();
  for (let i = 0; i < PARTS; i++) {
    await aPartOfLater();
    await peer.write("x");
  }
  for (let i = 0; i < PARTS; i++) {
    await aPartOfLater();
    await connection.send("x");
  }
  await peer.write("\n");
  assertEquals(await received, "x".repeat(PARTS));
});

Deno.test("Connection idleTimeout starts again with bytes that arrive while the connection closes", async () => {
  await using ends = await socketPair({
    framing: unframed(),
    idleTimeout: LATER_MS,
  });
  const { connection, peer } = ends;
  connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  const closing = connection.close();
  for (let i = 0; i < PARTS; i++) {
    await aPartOfLater();
    await peer.write("x");
  }
  assertEquals(await peer.countToEnd(), MORE_THAN_KERNEL_TAKES);
  peer.close();
  await closing;
});

Deno.test("Connection receiveTimeout ends a connection whose peer reads everything and sends nothing", async () => {
  await using ends = await pair({ framing, receiveTimeout: SOON_MS });
  const { connection, peer } = ends;
  const drained = peer.countToEnd();
  const { promise, resolve } = Promise.withResolvers<void>();
  const sending = setInterval(() => connection.send("ping"), 1);
  connection.signal.addEventListener("abort", () => resolve());
  await promise;
  clearInterval(sending);
  await assertTimesOut(connection, "receiveTimeout");
  assert(await drained > 0);
});

Deno.test("Connection receiveTimeout ends a connection that receives nothing", async () => {
  const alive = setTimeout(() => {}, NEVER_MS);
  await using ends = await pair(
    { framing, receiveTimeout: SOON_MS },
  );
  const { connection, peer } = ends;
  assertEquals(await peer.readToEnd(), "");
  clearTimeout(alive);
  await assertTimesOut(connection, "receiveTimeout");
});

Deno.test("Connection receiveTimeout does not run while messages read ahead are not received", async () => {
  const readBufferSize = 10;
  await using ends = await pair({
    framing,
    receiveTimeout: SOON_MS,
    readBufferSize,
  });
  const { connection, peer } = ends;
  await peer.write("12345678\n9\n"); // a byte more than is read ahead
  await longerThanSoon();
  await longerThanSoon();
  assertEquals(await connection.receive(), "12345678");
  assertEquals(await connection.receive(), "9");
  await assertTimesOut(connection, "receiveTimeout");
});

Deno.test("Connection receiveTimeout starts again with each byte, not with each message", async () => {
  await using ends = await pair({ framing, receiveTimeout: LATER_MS });
  const { connection, peer } = ends;
  for (let i = 0; i < PARTS; i++) {
    await aPartOfLater();
    await peer.write("x");
  }
  await peer.write("\n");
  assertEquals(await connection.receive(), "x".repeat(PARTS));
});

Deno.test("Connection receiveTimeout stops when the peer has ended", async () => {
  await using ends = await pair({ framing, receiveTimeout: SOON_MS });
  const { connection, peer } = ends;
  await peer.conn.closeWrite();
  await connection.peerEnded;
  await longerThanSoon();
  await connection.send("still there");
  connection.closeRead();
  await longerThanSoon();
  await connection.close();
  assertEquals(await peer.readToEnd(), "still there\n");
});

Deno.test("Connection receiveTimeout does not run while close() waits for a peer that was sending", async () => {
  await using ends = await pair({ framing, receiveTimeout: SOON_MS });
  const { connection, peer } = ends;
  await peer.write("a part");
  await turn(); // it is read to watch the peer
  connection.send("answer");
  const closed = connection.close();
  await peer.write(" and more"); // read, and dropped
  await longerThanSoon();
  peer.close();
  await closed;
  await connection.closed; // without an error
});

Deno.test("Connection messageTimeout ends a wait for the rest of a message", async () => {
  await using ends = await pair({ framing, messageTimeout: SOON_MS });
  const { connection, peer } = ends;
  await peer.write("1\nhal");
  assertEquals(await connection.receive(), "1");
  await assertTimesOut(connection, "messageTimeout", connection.receive());
});

Deno.test("Connection messageTimeout ends a message that arrives byte by byte", async () => {
  await using ends = await pair({ framing, messageTimeout: SOON_MS });
  const { connection, peer } = ends;
  const received = connection.receive();
  let isOver = false;
  const trickling = (async () => {
    while (!isOver) {
      await peer.write("x");
      await turn();
    }
  })();
  await assertTimesOut(connection, "messageTimeout", received);
  isOver = true;
  await trickling.catch(() => {});
});

Deno.test("Connection messageTimeout ends a message whose bytes arrive faster than the clock is read", async () => {
  const end = performance.now() + SOON_MS * 10;
  const transport: Transport = {
    async read(buffer) {
      for (let turns = 0; turns < 5; turns++) await nextTurn();
      buffer[0] = performance.now() < end ? 97 : 10;
      return 1;
    },
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  const connection = new Connection(transport, {
    framing,
    messageTimeout: SOON_MS,
  });
  await assertTimesOut(connection, "messageTimeout", connection.receive());
});

Deno.test("Connection messageTimeout gives each message the whole time, and does not limit the silence between messages", async () => {
  await using ends = await pair({ framing, messageTimeout: LATER_MS });
  const { connection, peer } = ends;
  const received = Array.fromAsync(connection);
  for (let i = 0; i < PARTS; i++) {
    await peer.write("hal");
    await aPartOfLater();
    await peer.write("f\n");
  }
  await new Promise((resolve) => setTimeout(resolve, LATER_MS * 1.2));
  await peer.conn.closeWrite();
  assertEquals(await received, Array.from({ length: PARTS }, () => "half"));
});

Deno.test("Connection messageTimeout gives the whole time to a message after one that is dropped", async () => {
  const wanted = mapped(framing, {
    decode: (line) => line === "kept" ? line : undefined,
    encode: (line: string) => line,
  });
  const short = asText(
    lengthPrefixed({ fieldSize: 1, maxLength: 4, oversize: "discard" }),
  );
  async function receiveKept(
    framing: Framing<string>,
    [begin, goOn, end]: [begin: string, goOn: string, end: string],
  ): Promise<string | undefined> {
    await using ends = await pair({ framing, messageTimeout: SOON_MS });
    const { connection, peer } = ends;
    const received = connection.receive();
    let isOver = false;
    const waiting = longerThanSoon().then(() => isOver = true);
    await peer.write(begin);
    while (!isOver) {
      await peer.write(goOn); // one message is whole, and the next one starts
      await turn();
    }
    await waiting;
    await peer.write(end);
    return await received;
  }
  assertEquals(
    await Promise.all([
      receiveKept(wanted, ["drop", "ped\ndrop", "ped\nkept\n"]),
      receiveKept(short, ["\x07drop", "ped\x07drop", "ped\x04kept"]),
    ]),
    ["kept", "kept"],
  );
});

Deno.test("Connection messageTimeout applies to a decoder that takes a message in parts", async () => {
  const inParts: Framing<string, never> = {
    decoder() {
      let begun = "";
      return {
        get pending() {
          return begun !== "";
        },
        decode(input) {
          begun += input.takeText(input.length);
          if (!begun.endsWith("\n")) return undefined;
          const message = begun;
          begun = "";
          return message;
        },
      };
    },
    encoder: () => ({ encode() {} }),
  };
  await using ends = await pair({
    framing: inParts,
    messageTimeout: SOON_MS,
  });
  const { connection, peer } = ends;
  await peer.write("whole\n");
  assertEquals(await connection.receive(), "whole\n");
  await peer.write("hal");
  const error = await assertRejects(() => connection.receive(), DOMException);
  assertEquals(error.name, "TimeoutError");
});

Deno.test("Connection messageTimeout applies to a framing for one message that takes it in parts", async () => {
  await using ends = await pair({ framing, messageTimeout: SOON_MS });
  const { connection, peer } = ends;
  const header = headed(fixedLength(1), ([length = 0]) => length);
  const receiving = connection.receive({ framing: header });
  await peer.write(new Uint8Array([5]));
  await assertTimesOut(connection, "messageTimeout", receiving);
});

Deno.test("Connection sendTimeout ends a wait for a peer that reads nothing", async () => {
  await using ends = await socketPair({
    framing: unframed(),
    sendTimeout: SOON_MS,
  });
  const { connection } = ends;
  const sent = connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  const flushed = connection.flush();
  await assertTimesOut(connection, "sendTimeout", sent);
  assertStrictEquals(
    await assertRejects(() => flushed),
    connection.signal.reason,
  );
});

Deno.test("Connection sendTimeout ends a message that the peer reads byte by byte", async () => {
  await using ends = await pair(
    { framing: unframed(), sendTimeout: SOON_MS },
    (conn) =>
      overriding(conn, {
        async write(bytes) {
          await turn();
          return conn.write(bytes.subarray(0, 1));
        },
      }),
  );
  const { connection } = ends;
  const sent = connection.send(new Uint8Array(1024 * 1024));
  await assertTimesOut(connection, "sendTimeout", sent);
});

Deno.test("Connection sendTimeout gives each message the whole time", async () => {
  await using ends = await pair(
    { framing: unframed(), sendTimeout: LATER_MS },
    (conn) =>
      overriding(conn, {
        async write(bytes) {
          await aPartOfLater();
          return conn.write(bytes.subarray(0, 1));
        },
      }),
  );
  const { connection, peer } = ends;
  for (let i = 0; i < PARTS; i++) connection.send("x");
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "x".repeat(PARTS));
});

Deno.test("Connection sendTimeout gives a peer that sends four times the limit, and no more", async () => {
  await using ends = await pair({
    framing: unframed(),
    sendTimeout: SOON_MS,
  });
  const { connection, peer } = ends;
  const start = performance.now();
  const sent = connection.send(new Uint8Array(MORE_THAN_MEMORY_TAKES));
  const receiving = Array.fromAsync(connection);
  const beating = setInterval(() => peer.write("beat\n").catch(() => {}), 1);
  await assertTimesOut(connection, "sendTimeout", sent);
  clearInterval(beating);
  assert(performance.now() - start >= SOON_MS * 4);
  await assertRejects(() => receiving);
});

Deno.test("Connection sendTimeout ends a close that waits for the peer", async () => {
  await using ends = await socketPair({
    framing: unframed(),
    sendTimeout: SOON_MS,
  });
  const { connection } = ends;
  connection.send(new Uint8Array(MORE_THAN_KERNEL_TAKES));
  await assertTimesOut(connection, "sendTimeout", connection.close());
});

Deno.test("Connection sendTimeout ends a wait for a transport whose closeWrite() does not settle", async () => {
  for (const end of ["close", "closeWrite"] as const) {
    const streams = {
      readable: new ReadableStream<Uint8Array>(),
      writable: new WritableStream<Uint8Array>({
        close: () => new Promise(() => {}),
      }),
    };
    const alive = setTimeout(() => {}, NEVER_MS); // such streams do not keep the process alive
    const options = { framing, sendTimeout: SOON_MS };
    const connection = new Connection(streams, options);
    await connection.send("all");
    await assertTimesOut(connection, "sendTimeout", connection[end]());
    clearTimeout(alive);
  }
});

Deno.test("Connection halfClosedTimeout ends a connection whose peer has closed its side", async () => {
  await using ends = await pair({ framing, halfClosedTimeout: SOON_MS });
  const { connection, peer } = ends;
  await longerThanSoon(); // the timeout does not run before
  await peer.write("unread\n");
  await peer.conn.closeWrite();
  await assertTimesOut(connection, "halfClosedTimeout");
});

Deno.test("Connection halfClosedTimeout does not run while something is received or sent", async () => {
  await using ends = await pair({ framing, halfClosedTimeout: LATER_MS / 5 });
  const { connection, peer } = ends;
  await peer.write("one\n".repeat(4));
  await peer.conn.closeWrite();
  for (let i = 0; i < 4; i++) {
    await connection.receive();
    await aPartOfLater();
  }
  for (let i = 0; i < 4; i++) {
    await connection.send("two");
    await aPartOfLater();
  }
  await connection.close();
  await connection.closed;
});

const allTimeouts: ConnectionOptions<string, string> = {
  framing,
  idleTimeout: SOON_MS,
  messageTimeout: SOON_MS,
  sendTimeout: SOON_MS,
};

Deno.test("Connection timeouts do not run while no call waits for the peer", async () => {
  await using ends = await pair(allTimeouts);
  const { connection, peer } = ends;
  await longerThanSoon();
  await peer.write("1\n2\nhal");
  await longerThanSoon();
  assertEquals(await connection.receive(), "1");
  await longerThanSoon();
  assertEquals(await connection.receive(), "2");
  await connection.send("one");
  await longerThanSoon();
  await peer.write("f\n");
  assertEquals(await connection.receive(), "half");
  await longerThanSoon();
  await peer.conn.closeWrite();
  assertEquals(await connection.receive(), undefined);
  await longerThanSoon();
  await connection.close();
  await connection.closed;
});

Deno.test("Connection timeouts do not run after the only receive() is aborted", async () => {
  await using ends = await pair(allTimeouts);
  const { connection, peer } = ends;
  await peer.write("1\nhal");
  assertEquals(await connection.receive(), "1");
  const controller = new AbortController();
  const received = connection.receive({ signal: controller.signal });
  controller.abort();
  await assertRejects(() => received, DOMException, "aborted");
  await longerThanSoon();
  await peer.write("f\n");
  assertEquals(await connection.receive(), "half");
});

Deno.test("Connection sendTimeout stops reading from a peer that sends without end", async () => {
  await using ends = await socketPair({
    framing: unframed(),
    sendTimeout: SOON_MS,
  });
  const { connection, peer } = ends;
  const data = new Uint8Array(MORE_THAN_KERNEL_TAKES);
  const flooding = peer.write(data).catch(() => {});
  await assertTimesOut(connection, "sendTimeout", connection.send(data));
  await flooding;
  assert(peer.written < data.length);
});

Deno.test("Connection idleTimeout keeps running when receive() is aborted repeatedly", async () => {
  await using ends = await pair({ framing, idleTimeout: SOON_MS });
  const { connection } = ends;
  const receiving = (async () => {
    while (!connection.signal.aborted) {
      const signal = AbortSignal.timeout(5);
      await connection.receive({ signal }).catch(() => {});
    }
  })();
  await assertTimesOut(connection, "idleTimeout");
  await receiving;
});

Deno.test("Connection timeouts do not count time in which this thread is busy", async () => {
  await using ends = await pair(allTimeouts);
  const { connection, peer } = ends;
  for (let i = 0; i < 5; i++) {
    const received = connection.receive();
    await turn();
    const written = peer.write(`${i}\n`);
    blockThread();
    assertEquals(await received, `${i}`);
    await written;
  }
  connection.send("x");
  await turn();
  blockThread();
  await connection.flush();
  await connection.close();
  await connection.closed;
});

/** Ends of transports whose other ends write to them. */
function inMemoryPairs(
  count: number,
): [near: Transport | ByteStreams, write: () => unknown][] {
  return Array.from({ length: count }, (_, index) => {
    if (index % 2 === 0) {
      const [near, far] = transportPair();
      return [near, () => far.write(toBytes("beat\n"))];
    }
    const { readable, writable } = new TransformStream<Uint8Array>();
    const writer = writable.getWriter();
    return [
      { readable, writable: new WritableStream() },
      () => writer.write(toBytes("beat\n")).catch(() => {}), // ended later
    ];
  });
}

Deno.test("Connection timeouts do not count busy time for many connections in memory and over streams", async () => {
  const pairs = inMemoryPairs(500);
  const connections = pairs.map(([near]) => new Connection(near, allTimeouts));
  const received = connections.map((connection) => connection.receive());
  await turn();
  for (const [, write] of pairs) setTimeout(write, SOON_MS / 2);
  blockThread();
  assertEquals([...new Set(await Promise.all(received))], ["beat"]);
  const alive = setTimeout(() => {}, NEVER_MS); // unlike sockets
  const silent = await Promise.allSettled(
    connections.map((connection) => connection.receive()),
  );
  clearTimeout(alive);
  assert(silent.every(({ status }) => status === "rejected"));
});

Deno.test("Connection timeouts leave no timer running, however the connection ends", async () => {
  const options = {
    framing,
    idleTimeout: NEVER_MS,
    receiveTimeout: NEVER_MS,
    messageTimeout: NEVER_MS,
    sendTimeout: NEVER_MS,
  };
  const endings: ((connection: Connection<string, string>) => unknown)[] = [
    (connection) => connection.close(),
    (connection) => connection.abort(),
  ];
  for (const end of endings) {
    using timers = backgroundTimers();
    await using ends = await pair(options);
    const { connection, peer } = ends;
    await peer.write("1\nhal");
    assertEquals(await connection.receive(), "1");
    connection.receive();
    await connection.send("x");
    await turn();
    assertEquals(timers.count, 1); // for all four
    await end(connection);
    assertEquals(timers.count, 0);
  }
});

Deno.test("Connection timeouts leave no rejection unhandled", async () => {
  const reasons = await unhandledRejectionsIn(async () => {
    await using ends = await socketPair({ framing, idleTimeout: SOON_MS });
    const { connection } = ends;
    const aborted = new Promise((resolve) =>
      connection.signal.addEventListener("abort", resolve)
    );
    connection.receive();
    connection.request("question");
    connection.send("x".repeat(MORE_THAN_KERNEL_TAKES / 100));
    connection.flush();
    await aborted;
    connection.close();
  });
  assertEquals(reasons, []);
});

Deno.test("Connection refuses timeouts out of a timer's range", async () => {
  const [near, far] = await sockets();
  for (
    const name of [
      "idleTimeout",
      "receiveTimeout",
      "messageTimeout",
      "sendTimeout",
      "halfClosedTimeout",
    ]
  ) {
    for (const value of [0, -1, NaN, Infinity, 2 ** 31]) {
      assertThrows(
        () => new Connection(near, { framing, [name]: value }),
        RangeError,
        name,
      );
    }
  }
  assert(near.localAddr.port > 0);
  near.close();
  far.close();
});

const SLOW_MESSAGE_BYTES = 50_000;

/**
 * Two ends of a connection through the kernel, and the kernel's figures for a peer that
 * reads.
 */
interface SlowWay {
  readonly name: string;
  readonly open: () => Promise<[Transport, Transport]>;
  /** How many bytes the peer takes between two signs of progress. */
  readonly step: () => Promise<number>;
  /** How many bytes the peer takes each second. */
  readonly rate: number;
}

/** The last number in a file of `/proc`. */
async function kernelValue(file: string): Promise<number> {
  // Deno reads files of /proc only with all permissions.
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/sys/net/${file}`],
  }).output();
  return Number(new TextDecoder().decode(stdout).trim().split(/\s+/).at(-1));
}

const SLOW_WAYS: SlowWay[] = [{
  name: "TCP",
  open: sockets,
  step: async () => await kernelValue("ipv4/tcp_wmem") / 2.5,
  rate: 5_000_000,
}, {
  name: "TLS",
  open: async () => {
    const address = { hostname: "127.0.0.1", port: 0 };
    using listener = Deno.listenTls({ ...address, ...certificate });
    const [near, far] = await Promise.all([
      listener.accept(),
      Deno.connectTls({
        hostname: "localhost",
        port: listener.addr.port,
        caCerts,
      }),
    ]);
    await Promise.all([near.handshake(), far.handshake()]);
    return [near, far];
  },
  step: async () => await kernelValue("ipv4/tcp_wmem") / 2.5,
  rate: 5_000_000,
}, {
  name: "a Unix socket",
  open: async () => {
    const path = `${await Deno.makeTempDir()}/slow.sock`;
    using listener = Deno.listen({ transport: "unix", path });
    return await Promise.all([
      listener.accept(),
      Deno.connect({ transport: "unix", path }),
    ]);
  },
  step: () => kernelValue("core/wmem_default"),
  rate: 700_000,
}];

/** Reads `length` bytes, at `rate` bytes a second. This test is about time itself. */
async function readSlowly(
  transport: Transport,
  length: number,
  rate: number,
): Promise<void> {
  const start = performance.now();
  const buffer = new Uint8Array(rate / 100);
  for (let received = 0; received < length;) {
    const early = start + received / rate * 1000 - performance.now();
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    const count = await transport.read(buffer);
    if (count === null) throw new Error(`End after ${received} bytes`);
    received += count;
  }
}

Deno.test({
  name:
    "sendTimeout as docs/timeouts.md computes it ends no peer that reads slowly and steadily over TCP, TLS and Unix sockets",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await Promise.all(SLOW_WAYS.map(async ({ name, open, step, rate }) => {
      const [near, far] = await open();
      const stepBytes = await step();
      const sendTimeout = (stepBytes + SLOW_MESSAGE_BYTES) / rate * 1000;
      const connection = new Connection(near, {
        framing: unframed(),
        sendTimeout,
      });
      // More than the buffers hold, so that about two signs of progress are needed.
      const message = new Uint8Array(SLOW_MESSAGE_BYTES);
      let sent = 0;
      let isOver = false;
      const sending = (async () => {
        while (!isOver) {
          await connection.send(message);
          sent += message.length;
        }
      })();
      await readSlowly(far, stepBytes * 3, rate);
      assert(sent > stepBytes * 3, `${name}: ${sent} bytes`);
      assert(connection.stats().blockedTime > sendTimeout / 2, name);
      isOver = true;
      connection.abort();
      far.close();
      await sending.catch(() => {});
    }));
  },
});
