import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { Connection } from "./connection.ts";
import type { ConnectionOptions, ConnectionRequestOptions } from "./options.ts";
import { asJson, delimited, type Framing, lines, mapped } from "../framing.ts";
import {
  isPending,
  overriding,
  pair,
  Peer,
  run,
  sockets,
  SOCKETS_PROGRAM,
  toBytes,
  turn,
} from "./_testing.ts";

const framing = lines();

Deno.test("Connection sends and receives messages of its framing's type", async () => {
  const numbers = mapped(lines(), {
    decode: Number,
    encode: (value: number) => String(value),
  });
  await using ends = await pair({ framing: numbers });
  const { connection, peer } = ends;
  const answer: Promise<number> = connection.request(1);
  assertEquals(await peer.read(2), "1\n");
  await peer.write("2\n");
  assertEquals(await answer, 2);

  await using jsonEnds = await pair({
    framing: asJson(delimited("\n")),
  });
  await jsonEnds.connection.send({ a: [1] });
  assertEquals(await jsonEnds.peer.read(10), '{"a":[1]}\n');
});

Deno.test("Connection.request() gives each of many concurrent requests its answer", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const server = new Connection(peer.conn, { framing });
  const serving = (async () => {
    for await (const question of server) {
      // So some answers arrive alone and some together.
      if (question.endsWith("7")) await turn();
      await server.send(`re: ${question}`);
    }
  })();
  const questions = Array.from({ length: 1_000 }, (_, i) => `question ${i}`);
  const answers = await Promise.all(
    questions.map((question) => connection.request(question)),
  );
  assertEquals(answers, questions.map((question) => `re: ${question}`));
  await connection.close();
  await serving;
  await server.close();
});

Deno.test("Connection.request() sends immediately, without waiting for earlier answers", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const answers = [connection.request("1"), connection.request("2")];
  assertEquals(await peer.read(4), "1\n2\n");
  await peer.write("one\n");
  assertEquals(await answers[0], "one");
  await peer.write("two\n");
  assertEquals(await answers[1], "two");
});

Deno.test('Connection.request(), aborted, still swallows its answer with onAbort "skip"', async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const options = { signal: controller.signal, onAbort: "skip" } as const;
  const first = connection.request("1");
  const aborted = connection.request("2", options);
  const alsoAborted = connection.request("3", options);
  const last = connection.request("4");
  const reason = new Error("No time");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => aborted), reason);
  assertStrictEquals(await assertRejects(() => alsoAborted), reason);
  assertEquals(await peer.read(8), "1\n2\n3\n4\n");
  await peer.write("one\ntwo\nthree\nfour\nfive\n");
  assertEquals(await first, "one");
  assertEquals(await last, "four");
  assertEquals(await connection.receive(), "five");
});

Deno.test("Connection.request() that is skipped as the last one drops its answer", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = connection.request("1", { signal, onAbort: "skip" });
  controller.abort();
  await assertRejects(() => aborted, DOMException, "aborted");
  await peer.write("one\n");
  const next = connection.request("2");
  await peer.write("two\n");
  assertEquals(await next, "two");
});

Deno.test("Connection.request(), when aborted, ends the connection, because its answer may never come", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const first = connection.request("1");
  const ignored = connection.request("2", { signal });
  const next = connection.request("3");
  await peer.write("one\n");
  assertEquals(await first, "one");
  const reason = new Error("No time");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => ignored), reason);
  const error = await assertRejects(() => next, DOMException, "was aborted");
  assertEquals([error.name, Reflect.get(error, "cause")], [
    "AbortError",
    reason,
  ]);
  assertStrictEquals(await assertRejects(() => connection.closed), error);
  assertEquals(connection.hasEnded, true);
});

Deno.test("Connection.request() ignores its signal after its answer", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const answer = connection.request("1", { signal: controller.signal });
  await peer.write("one\n");
  assertEquals(await answer, "one");
  controller.abort();
  const next = connection.request("2");
  await peer.write("two\n");
  assertEquals(await next, "two");
});

Deno.test("Connection.request() refuses an unknown onAbort, and sends nothing", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  const options = { onAbort: "wait" } as unknown as ConnectionRequestOptions;
  await assertRejects(
    () => connection.request("1", options),
    TypeError,
    "onAbort",
  );
  assertEquals(connection.stats().messagesSent, 0);
});

Deno.test("Connection.request() refuses an invalid signal or framing, and sends nothing", async () => {
  await using ends = await pair({ framing });
  const { connection } = ends;
  const wrongs: object[] = [
    { signal: 5 },
    { signal: null },
    { framing: {} },
    { framing: null },
  ];
  for (const options of wrongs) {
    await assertRejects(() => connection.request("1", options), TypeError);
    await assertRejects(() => connection.receive(options), TypeError);
  }
  assertEquals(connection.stats().messagesSent, 0);
});

Deno.test("Connection.request() sends nothing if its signal is already aborted", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const signal = AbortSignal.abort("no time");
  const reason = await connection.request("1", { signal }).catch((reason) =>
    reason
  );
  assertEquals(reason, "no time");
  assertEquals(connection.stats().messagesSent, 0);
  const next = connection.request("2");
  assertEquals(await peer.read(2), "2\n");
  await peer.write("two\n");
  assertEquals(await next, "two");
});

Deno.test("Connection.request() rejects all pending requests at the peer's end", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const answers = ["1", "2", "3"].map((each) => connection.request(each));
  assertEquals(await peer.read(6), "1\n2\n3\n");
  await peer.write("one\n");
  await peer.conn.closeWrite();
  assertEquals(await answers[0], "one");
  for (const answer of answers.slice(1)) {
    const error = await assertRejects(() => answer, Error, "answer");
    assertEquals(error.name, "UnexpectedEof");
  }
  const error = await assertRejects(
    () => connection.request("4"),
    Error,
    "answer",
  );
  assertEquals(error.name, "UnexpectedEof");
  // A request that could not get an answer was not sent.
  assertEquals(connection.stats().messagesSent, 3);
  await connection.send("still open");
  assertEquals(await peer.read(11), "still open\n");
});

Deno.test("Connection.request() takes the remainder at the peer's end as its answer", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const answer = connection.request("1");
  await peer.write("unfinished");
  await peer.conn.closeWrite();
  assertEquals(await answer, "unfinished");
});

Deno.test("Connection gives its addresses, also after its end", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  assertEquals(connection.localAddr, peer.conn.remoteAddr);
  assertEquals(connection.remoteAddr, peer.conn.localAddr);
  await connection.close();
  assertEquals(connection.localAddr?.transport, "tcp");
});

Deno.test("Connection.readable can be iterated by hand, past its end and after return()", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n4\n");
  const kept = connection.readable.values({ preventCancel: true });
  assertEquals(await Promise.all([kept.next(), kept.next()]), [
    { value: "1", done: false },
    { value: "2", done: false },
  ]);
  await kept.return?.();
  assert((await kept.next()).done);
  assertEquals(await connection.receive(), "3");

  await peer.conn.closeWrite();
  const iterator = connection.readable.values();
  assertEquals(await iterator.next(), { value: "4", done: false });
  assertEquals((await iterator.next()).done, true);
  assertEquals((await iterator.next()).done, true);
  assert(!connection.readable.locked);
});

Deno.test("Connection.readable gives each message once to two iterators, one after the other", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  await peer.write("1\n2\n3\n4\n5\n");
  const received: string[] = [];
  for await (
    const message of connection.readable.values({ preventCancel: true })
  ) {
    received.push(message);
    if (message === "2") break;
  }
  assertEquals(await connection.receive(), "3");
  await peer.conn.closeWrite();
  received.push(...await Array.fromAsync(connection.readable));
  assertEquals(received, ["1", "2", "4", "5"]);
});

/** A connection whose socket option calls are recorded. */
function noting(
  conn: Deno.TcpConn,
  options: ConnectionOptions<string, string>,
): Record<string, unknown> {
  const noted: Record<string, unknown> = {};
  const connection = new Connection(
    overriding(conn, {
      setNoDelay(value) {
        noted.noDelay = value;
        conn.setNoDelay(value);
      },
      setKeepAlive(value) {
        noted.keepAlive = value;
        conn.setKeepAlive(value);
      },
    }),
    options,
  );
  connection.abort();
  return noted;
}

Deno.test("Connection sets noDelay and keepAlive on a TCP connection", async () => {
  const cases: [ConnectionOptions<string, string>, Record<string, unknown>][] =
    [
      [{ framing }, { noDelay: true }],
      [{ framing, noDelay: undefined, keepAlive: undefined }, {
        noDelay: true,
      }],
      [{ framing, noDelay: false }, { noDelay: false }],
      [{ framing, keepAlive: true }, { noDelay: true, keepAlive: true }],
      [{ framing, keepAlive: false, noDelay: true }, {
        noDelay: true,
        keepAlive: false,
      }],
    ];
  for (const [options, expected] of cases) {
    const [near, far] = await sockets();
    assertEquals(noting(near, options), expected);
    far.close();
  }
});

Deno.test("Connection refuses noDelay and keepAlive over a Unix socket", {
  ignore: Deno.build.os === "windows",
}, async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/socket`;
  using listener = Deno.listen({ transport: "unix", path });
  const [near, far] = await Promise.all([
    Deno.connect({ transport: "unix", path }),
    listener.accept(),
  ]);
  for (const name of ["noDelay", "keepAlive"] as const) {
    assertThrows(
      () => new Connection(near, { framing, [name]: true }),
      TypeError,
      `${name} over Unix socket`,
    );
  }
  const options = { framing, noDelay: false, keepAlive: false };
  await using connection = new Connection(near, options);
  await connection.send("one");
  await using peer = new Connection(far, { framing });
  assertEquals(await peer.receive(), "one");
  assertEquals(connection.remoteAddr?.transport, "unix");
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Connection refuses noDelay and keepAlive over TLS", async () => {
  const [near, far] = await sockets();
  const conn = await Deno.startTls(near, { hostname: "localhost" });
  for (const name of ["noDelay", "keepAlive"] as const) {
    assertThrows(
      () => new Connection(conn, { framing, [name]: true }),
      TypeError,
      `${name} over TLS`,
    );
  }
  conn.close();
  far.close();
});

Deno.test("Connection refuses invalid options, and leaves the socket open", async () => {
  const [near, far] = await sockets();
  for (const name of ["readBufferSize", "highWaterMark"]) {
    for (const value of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(
        () => new Connection(near, { framing, [name]: value }),
        RangeError,
        `${name} must be a whole number of at least 1 byte: current value is ${value}`,
      );
    }
  }
  for (const options of [undefined, {}, { framing: undefined }] as unknown[]) {
    assertThrows(
      () => new Connection(near, options as ConnectionOptions),
      TypeError,
      "framing must be given",
    );
  }
  assertThrows(
    () => new Connection(near, { framing: {} as Framing }),
    TypeError,
    "framing must have the methods",
  );
  for (const signal of [null, 5, {}, new EventTarget()] as unknown[]) {
    assertThrows(
      () => new Connection(near, { framing, signal: signal as AbortSignal }),
      TypeError,
      "must be an AbortSignal: current value is",
    );
  }
  await near.write(toBytes("x"));
  using peer = new Peer(far);
  assertEquals(await peer.read(1), "x");
  near.close();
});

Deno.test("Connection.unref() lets the process end, and ref() keeps it", async () => {
  const program = (calls: string) => `
    ${SOCKETS_PROGRAM}
    const connection = new Connection(near, {
      framing: lines(),
      idleTimeout: 60_000,
    });
    ${calls}
    connection.receive().then((message) => {
      console.log("received", message);
      connection.abort();
      far.close();
    });
    console.log("waiting");
    const timer = setTimeout(
      () => far.write(new TextEncoder().encode("late\\n")),
      100,
    );
    Deno.unrefTimer(timer);
  `;
  const [unref, ref, again] = await Promise.all([
    run(program("connection.unref();")),
    run(program("")),
    run(program("connection.unref(); connection.ref();")),
  ]);
  assertEquals(unref, { output: "waiting\n", code: 0 });
  assertEquals(ref, { output: "waiting\nreceived late\n", code: 0 });
  assertEquals(again, ref);
});

Deno.test("Connection.receive() waits as long as the peer is silent", async () => {
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const received = connection.receive();
  assert(await isPending(received));
  await peer.write("one\n");
  assertEquals(await received, "one");
});
