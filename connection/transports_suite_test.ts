/**
 * The same guarantees over each kind of transport: TCP, TLS, a Unix socket, streams
 * within one process, the streams of child processes, and two ends in memory.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { fixedLength } from "../framing/fixed_length.ts";
import { FramingError } from "../framing/framing_error.ts";
import { lines } from "../framing/lines.ts";
import { unframed } from "../framing/unframed.ts";
import { untilPoll } from "../internal/event_loop.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./options.ts";
import type { ByteStreams, Transport } from "./transport.ts";
import { isPending, resettablePair, sockets, untilSteady } from "./_testing.ts";

/** Two connected transports. */
interface Link {
  readonly ends: [Transport | ByteStreams, Transport | ByteStreams];
  /** Ends the far side with an error for the near side, if this kind can do that. */
  readonly reset?: () => unknown;
  /** Settles when both ends are closed and everything is released. */
  readonly gone?: () => Promise<unknown>;
}

interface Kind {
  readonly name: string;
  readonly ignore?: boolean;
  readonly hasReset?: boolean;
  open(): Link | Promise<Link>;
}

const KINDS: Kind[] = [
  {
    name: "TCP",
    async open() {
      return { ends: await sockets() };
    },
  },
  {
    name: "TLS",
    async open() {
      using listener = Deno.listenTls({
        hostname: "127.0.0.1",
        port: 0,
        ...certificate,
      });
      const { port } = listener.addr;
      const ends = await Promise.all([
        Deno.connectTls({ hostname: "localhost", port, caCerts }),
        listener.accept(),
      ]);
      await Promise.all(ends.map((end) => end.handshake()));
      return { ends };
    },
  },
  {
    name: "a Unix socket",
    hasReset: true,
    ignore: Deno.build.os === "windows",
    async open() {
      const folder = await Deno.makeTempDir();
      const path = `${folder}/socket`;
      using listener = Deno.listen({ transport: "unix", path });
      const [near, far] = await Promise.all([
        Deno.connect({ transport: "unix", path }),
        listener.accept(),
      ]);
      await Deno.remove(folder, { recursive: true });
      return { ends: [near, far], reset: () => resetByUnread(far) };
    },
  },
  {
    name: "TransformStreams",
    hasReset: true,
    open() {
      const there = bufferedStream();
      const back = bufferedStream();
      const controller = new AbortController();
      const broken = new TransformStream<Uint8Array, Uint8Array>();
      const { signal } = controller;
      back.readable.pipeTo(broken.writable, { signal }).catch(() => {});
      return {
        ends: [
          { readable: broken.readable, writable: there.writable },
          { readable: there.readable, writable: back.writable },
        ],
        reset: () => controller.abort(new Error("Broken")),
      };
    },
  },
  {
    name: "child processes",
    ignore: Deno.build.os === "windows",
    open() {
      const [there, back] = [1, 2].map(() =>
        new Deno.Command("cat", { stdin: "piped", stdout: "piped" }).spawn()
      );
      assert(there !== undefined && back !== undefined);
      return {
        ends: [
          { readable: back.stdout, writable: there.stdin },
          { readable: there.stdout, writable: back.stdin },
        ],
        gone: () => Promise.all([there.status, back.status]),
      };
    },
  },
  {
    name: "two ends in memory",
    hasReset: true,
    open() {
      const [near, far] = transportPair();
      return { ends: [near, far], reset: () => far.reset() };
    },
  },
];

/** A stream with a small buffer, like that of a socket. */
function bufferedStream(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({}, undefined, { highWaterMark: 4 });
}

/** Closes a socket with unread bytes, so that the system resets it. */
async function resetByUnread(far: Deno.Conn): Promise<void> {
  await far.read(new Uint8Array(1));
  far.close();
}

const framing = lines({ maxLength: 100_000 });
const asItIs = { framing: unframed() };

// The timer also keeps the process alive; waiting for the peer's end does not.
const WATCHDOG_MS = 30_000;

interface Ends extends AsyncDisposable {
  readonly near: Connection<string, string>;
  readonly far: Connection<string, string>;
  readonly link: Link;
}

async function connected(
  { open }: Kind,
  options: Partial<ConnectionOptions<string, string>> = {},
): Promise<Ends> {
  const link = await open();
  const [near, far] = link.ends;
  const ends = {
    near: new Connection(near, { framing, ...options }),
    far: new Connection(far, { framing, ...options }),
  };
  const watchdog = setTimeout(() => {
    for (const end of [ends.near, ends.far]) {
      end.abort(new Error("The test waited in vain"));
    }
  }, WATCHDOG_MS);
  return {
    ...ends,
    link,
    async [Symbol.asyncDispose]() {
      clearTimeout(watchdog);
      for (const end of [ends.near, ends.far]) end.abort();
      for (const end of [ends.near, ends.far]) await end.closed.catch(() => {});
      await link.gone?.();
    },
  };
}

function testEach(
  what: string,
  test: (kind: Kind) => Promise<void>,
  kinds: readonly Kind[] = KINDS,
): void {
  for (const kind of kinds) {
    Deno.test({
      name: `Connection over ${kind.name} ${what}`,
      ignore: kind.ignore ?? false,
      fn: () => test(kind),
    });
  }
}

/** Lines of many lengths, from empty to longer than a system buffer. */
function linesToSend(name: string): string[] {
  return Array.from(
    { length: 300 },
    (_, i) => `${name} ${i} ${"x".repeat(i % 30 === 7 ? 70_000 : i % 1000)}`,
  );
}

async function sendAll(
  connection: Connection<string, string>,
  messages: readonly string[],
): Promise<void> {
  for (const message of messages) await connection.send(message);
}

testEach("carries messages both ways, in order", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  const [there, back] = [linesToSend("there"), linesToSend("back")];
  const [atFar, atNear] = await Promise.all([
    Array.fromAsync(far),
    Array.fromAsync(near),
    sendAll(near, there).then(() => near.closeWrite()),
    sendAll(far, back).then(() => far.closeWrite()),
  ]);
  assertEquals([atFar, atNear], [there, back]);
  await Promise.all([near.closed, far.closed]);
  assertEquals(near.stats().bytesSent, far.stats().bytesReceived);
  assertEquals(far.stats().messagesSent, near.stats().messagesReceived);
});

testEach("answers requests", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  const echoing = (async () => {
    for await (const line of far) await far.send(`${line}!`);
    await far.close();
  })();
  const numbers = Array.from({ length: 100 }, (_, i) => `${i}`);
  for (const number of numbers.slice(0, 10)) {
    assertEquals(await near.request(number), `${number}!`);
  }
  assertEquals(
    await Promise.all(numbers.map((number) => near.request(number))),
    numbers.map((number) => `${number}!`),
  );
  await near.close();
  await echoing;
});

testEach("replies to a peer that has half-closed", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  await sendAll(near, ["20", "22"]);
  await near.closeWrite();
  let sum = 0;
  for await (const line of far) sum += Number(line);
  await far.send(`${sum}`);
  assertEquals(await near.receive(), "42");
  await far.closeWrite();
  assertEquals(await near.receive(), undefined);
  await Promise.all([near.closed, far.closed]);
});

testEach(
  "receives what arrived together with the message before a half-close",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, far } = ends;
    // Over TLS they are one write, but several records.
    const long = "x".repeat(50_000);
    far.send("first");
    far.send(long);
    assertEquals(await near.receive(), "first");
    await near.closeWrite();
    assertEquals(await near.receive(), long);
    assertEquals(await far.receive(), undefined);
    await far.closeWrite();
    assertEquals(await near.receive(), undefined);
    await Promise.all([near.closed, far.closed]);
  },
);

testEach(
  "delivers the messages before a malformed one, and sends the answers",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, far } = ends;
    await far.send(`1\n2\n${"x".repeat(100_001)}`, asItIs);
    await assertRejects(async () => {
      for await (const line of near) await near.send(`${line}!`);
    }, FramingError);
    assertEquals([await far.receive(), await far.receive()], ["1!", "2!"]);
    await far.close().catch(() => {});
    await assertRejects(() => near.closed, FramingError);
    assert(near.signal.reason instanceof FramingError);
  },
);

testEach("loses nothing at close() of what is queued", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  const messages = linesToSend("queued");
  for (const message of messages) near.send(message);
  const closing = near.close();
  assertEquals(await Array.fromAsync(far), messages);
  await far.close();
  await closing;
  await near.closed;
});

testEach("loses nothing at close() after the peer's end", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  await far.closeWrite();
  assertEquals(await near.receive(), undefined);
  near.send("the answer to all");
  await near.close();
  assertEquals(await Array.fromAsync(far), ["the answer to all"]);
  await far.closed;
});

testEach("ends this side by close() though nothing was sent", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  await near.close();
  assertEquals(await far.receive(), undefined);
});

testEach(
  "loses nothing at close() although the peer's messages are unread",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, far } = ends;
    await sendAll(far, ["unread", "unread as well"]);
    await far.flush(); // the messages have arrived
    const messages = linesToSend("queued");
    for (const message of messages) near.send(message);
    const closing = near.close();
    assertEquals(await Array.fromAsync(far), messages);
    await far.close();
    await closing;
  },
);

testEach("ends what waits by abort(), with its reason", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  const received = Array.fromAsync(far).catch(() => []);
  const waiting = [
    near.receive(),
    near.request("question"),
    Array.fromAsync(near),
    near.closed,
  ];
  const reason = new Error("Enough");
  near.abort(reason);
  for (const promise of waiting) {
    assertStrictEquals(await assertRejects(() => promise), reason);
  }
  // It may see an end or an error.
  await received;
});

testEach(
  "waits for a peer that stops receiving, and continues with it",
  async (kind) => {
    await using ends = await connected(kind, { highWaterMark: 10_000 });
    const { near, far } = ends;
    const message = "x".repeat(1000);
    let sent = 0;
    let isStopped = false;
    const sending = (async () => {
      while (!isStopped) {
        await near.send(message);
        sent++;
      }
    })();
    await untilSteady(() => sent);
    assert(await isPending(sending));
    assert(near.stats().bufferedAmount <= 11_001);
    assertEquals(far.stats().bytesReceived, 0);
    const blocked = sent;
    const received = (async () => {
      let count = 0;
      for await (const line of far) {
        assertEquals(line, message);
        count++;
        isStopped ||= count > blocked;
      }
      return count;
    })();
    await sending;
    await near.closeWrite();
    assertEquals(await received, sent);
  },
);

testEach(
  "reports that the peer has ended, although nothing is received",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, far } = ends;
    const { peerEnded } = near;
    await far.send("last words");
    assert(await isPending(peerEnded));
    await far.closeWrite();
    await peerEnded;
    assertEquals(near.hasEnded, false);
    assertEquals(await near.receive(), "last words");
    assertEquals(near.hasEnded, true);
    await near.send("still heard");
    assertEquals(await far.receive(), "still heard");
  },
);

/** Waits for a reset, without receiving. */
async function learnOfReset(
  connection: Connection<string, string>,
  reset: () => unknown,
): Promise<Error> {
  const { signal, peerEnded } = connection;
  await connection.send("so that there is something unread");
  await connection.flush();
  assert(!signal.aborted);
  const aborted = new Promise((resolve) =>
    signal.addEventListener("abort", resolve)
  );
  await reset();
  await aborted;
  const reason = await assertRejects(() => connection.closed, Error);
  assertStrictEquals(signal.reason, reason);
  assertStrictEquals(await assertRejects(() => connection.receive()), reason);
  assertStrictEquals(await assertRejects(() => peerEnded), reason);
  return reason;
}

// TLS and pipes have no reset, and Deno has none for TCP.
testEach(
  "aborts its signal at a reset, although nothing is received",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, link: { reset } } = ends;
    assert(reset !== undefined);
    const { name, message } = await learnOfReset(near, reset);
    assertEquals(
      name === "ConnectionReset" || message === "Broken",
      true,
      `${name}: ${message}`,
    );
  },
  KINDS.filter(({ hasReset }) => hasReset),
);

Deno.test("Connection over TCP aborts its signal at a reset, although nothing is received", async () => {
  await using ends = await resettablePair({ framing });
  const { connection, reset } = ends;
  const { name } = await learnOfReset(connection, reset);
  assertEquals(name, "ConnectionReset");
});

testEach("receives a header line, and a body by its length", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  const body = "a\nb".repeat(50_000);
  const sending = (async () => {
    for (let i = 0; i < 3; i++) {
      await far.send(`${body.length}`);
      await far.send(body, asItIs);
    }
    await far.send("the end");
  })();
  for (let i = 0; i < 3; i++) {
    const length = Number(await near.receive());
    const received = await near.receive({ framing: fixedLength(length) });
    assertEquals(new TextDecoder().decode(received) === body, true);
  }
  assertEquals(await near.receive(), "the end");
  await sending;
});

testEach(
  "receives a body in pieces, and the message after it",
  async (kind) => {
    await using ends = await connected(kind);
    const { near, far } = ends;
    const length = 1_000_000;
    const sending = (async () => {
      await far.send("x".repeat(length), asItIs);
      await far.send("the end");
    })();
    let received = 0;
    for await (const piece of near.receiveStream(length)) {
      received += piece.length;
    }
    assertEquals(received, length);
    assertEquals(await near.receive(), "the end");
    await sending;
  },
);

testEach("hands its transport over with what is unread", async (kind) => {
  await using ends = await connected(kind);
  const { near, far } = ends;
  for (const line of ["hello", "unread", "and more"]) far.send(line);
  await far.flush();
  assertEquals(await near.receive(), "hello");
  const { transport, unread } = await near.detach();
  await far.closeWrite();
  const decoder = new TextDecoder();
  let text = decoder.decode(unread);
  const buffer = new Uint8Array(100);
  for (;;) {
    const length = await transport.read(buffer);
    if (length === null) break;
    text += decoder.decode(buffer.subarray(0, length));
  }
  assertEquals(text, "unread\nand more\n");
  await transport.write(new TextEncoder().encode("answer\n"));
  await transport.closeWrite();
  assertEquals(await far.receive(), "answer");
  transport.close();
});

Deno.test({
  name:
    "Connection over a child process that has exited receives what it wrote, although sending fails",
  ignore: Deno.build.os === "windows",
  async fn() {
    const child = new Deno.Command("sh", {
      args: ["-c", "echo one; echo two"],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const connection = new Connection(
      { readable: child.stdout, writable: child.stdin },
      { framing },
    );
    await child.status;
    await assertRejects(async () => {
      for (;;) { // Node still takes a message after the exit
        await connection.send("hello");
        await connection.flush();
        await untilPoll();
      }
    });

    assertEquals(await connection.receive(), "one");
    assertEquals(await connection.receive(), "two");
    await assertRejects(() => connection.receive());
    await assertRejects(() => connection.closed);
  },
});
