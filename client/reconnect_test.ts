import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import {
  MORE_THAN_KERNEL_TAKES,
  overriding,
  run,
  turn,
  unhandledRejectionsIn,
  unlessReset,
  until,
} from "../connection/_testing.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions, ReconnectOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import { lines, mapped, unframed } from "../framing.ts";
import { reconnect } from "./reconnect.ts";
import { untilPoll } from "../internal/event_loop.ts";
import type { ConnectionHandler } from "../server/handler.ts";
import { serve } from "../server/serve.ts";
import type { Server } from "../server/server.ts";
import { VirtualClock } from "../dev/simulation/clock.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { replacing } from "../dev/testdata/replacing.ts";
import { connectionPair, transportPair } from "../testing.ts";

const framing = lines();
const hostname = "127.0.0.1";
const quick = { framing, minTimeout: 1, maxTimeout: 2 };

/**
 * A server with a handler for each of its first connections; the last handler serves
 * all further ones.
 */
function serveInTurn(
  ...handlers: ConnectionHandler<string, string>[]
): Server<string, string, Deno.NetAddr> {
  let count = 0;
  return serve(
    { hostname, port: 0, framing, onError: () => {} },
    (...args) => handlers[Math.min(count++, handlers.length - 1)]?.(...args),
  );
}

/** Echoes each line. */
async function echo(connection: Connection<string, string>): Promise<void> {
  for await (const line of connection) await connection.send(line);
}

function hangUp(): void {}

/** Sends two lines, half-closes, and returns the last line that it receives. */
function sendAndListen(
  heard: (line: string | undefined) => void,
): ConnectionHandler<string, string> {
  return async (connection) => {
    connection.send("one");
    connection.send("two");
    await connection.closeWrite();
    heard((await Array.fromAsync(connection)).at(-1));
  };
}

/** Collects the errors that `onError` gets. */
function errorLog(): {
  readonly errors: unknown[];
  readonly onError: (error: unknown) => void;
} {
  const errors: unknown[] = [];
  return { errors, onError: (error) => void errors.push(error) };
}

/** Records the length of timers of at least `minimum` ms, and shortens them. */
function recordingWaits(minimum: number): Disposable & { waits: number[] } {
  const waits: number[] = [];
  const { setTimeout } = globalThis;
  const restore = replacing(globalThis as { setTimeout: unknown }, {
    setTimeout(callback: () => void, milliseconds: number) {
      if (milliseconds < minimum) return setTimeout(callback, milliseconds);
      waits.push(milliseconds);
      return setTimeout(callback, 0);
    },
  });
  return { waits, [Symbol.dispose]: () => restore[Symbol.dispose]() };
}

/** Counts the listeners of a signal. */
function countingListeners(signal: AbortSignal): {
  readonly signal: AbortSignal;
  readonly count: () => number;
} {
  let count = 0;
  return {
    count: () => count,
    signal: overriding(signal, {
      addEventListener(...args: Parameters<typeof signal.addEventListener>) {
        count++;
        signal.addEventListener(...args);
      },
      removeEventListener(
        ...args: Parameters<typeof signal.removeEventListener>
      ) {
        count--;
        signal.removeEventListener(...args);
      },
    }),
  };
}

Deno.test("reconnect() opens a new connection after an aborted request", async () => {
  const answers: string[] = [];
  await using server = serveInTurn(
    async (connection) => {
      for await (const line of connection) {
        if (line !== "ignored") await connection.send(line);
      }
    },
    echo,
  );
  const { errors, onError } = errorLog();
  await reconnect(
    { ...quick, port: server.addr.port, onError },
    async (connection) => {
      const signal = AbortSignal.timeout(50);
      answers.push(await connection.request("ignored", { signal }));
      answers.push(await connection.request("next"));
    },
  );
  assertEquals(answers, ["ignored", "next"]);
  assertEquals(errors.map((error) => error instanceof DOMException), [true]);
});

Deno.test("reconnect() refuses invalid options before it opens anything", async () => {
  using _nothing = replacing(Deno as { connect: unknown }, {
    connect: () => {
      throw new Error("Opened");
    },
  });
  const port = 1;
  const connect = () => {
    throw new Error("Opened");
  };
  const cases: [object, ErrorConstructor, string][] = [
    [{}, RangeError, "port"],
    [{ port, path: "/tmp/socket" }, TypeError, "port with path"],
    [{ port, connectTimeout: 0 }, RangeError, "connectTimeout"],
    [{ port, signal: null }, TypeError, "signal"],
    [{ connect, framing: undefined, signal: {} }, TypeError, "signal"],
    [{ port, minTimeout: 0 }, RangeError, "minTimeout"],
    [{ port, minTimeout: NaN }, RangeError, "minTimeout"],
    [{ port, maxTimeout: Infinity }, RangeError, "maxTimeout"],
    [{ port, minTimeout: 2, maxTimeout: 1 }, RangeError, "minTimeout"],
    [{ port, minTimeout: 60_001 }, RangeError, "minTimeout"],
    [{ port, multiplier: 0.9 }, RangeError, "multiplier"],
    [{ port, multiplier: NaN }, RangeError, "multiplier"],
    [{ port, multiplier: Infinity }, RangeError, "multiplier"],
    [{ port, jitter: -0.1 }, RangeError, "jitter"],
    [{ port, jitter: 1.1 }, RangeError, "jitter"],
    [{ port, jitter: NaN }, RangeError, "jitter"],
    [{ port, jitter: null as never }, RangeError, "jitter"],
    [{ port, maxAttempts: 0 }, RangeError, "maxAttempts"],
    [{ port, maxAttempts: 1.5 }, RangeError, "maxAttempts"],
    [{ port, maxAttempts: NaN }, RangeError, "maxAttempts"],
    [{ port, onConnect: true }, TypeError, "onConnect"],
    [{ port, onError: "log" }, TypeError, "onError"],
    [{ connect }, TypeError, "framing with connect"],
    [{ connect, framing: undefined, port }, TypeError, "port with connect"],
    [
      { connect, framing: undefined, tls: false },
      TypeError,
      "tls with connect",
    ],
    [
      { connect: 1, framing: undefined },
      TypeError,
      "connect must be a function",
    ],
  ];
  for (const [options, errorClass, message] of cases) {
    await assertRejects(
      () =>
        reconnect(
          Object.assign({ framing }, options) as ReconnectOptions<
            string,
            string
          >,
          () => {},
        ),
      errorClass,
      message,
    );
  }
  for (
    const options of [undefined, null, { port }, { port, framing: undefined }]
  ) {
    await assertRejects(
      () => reconnect(options as ReconnectOptions, () => {}),
      TypeError,
      "framing must be given",
    );
  }
  for (const handler of [undefined, null, {}] as unknown[]) {
    await assertRejects(
      () => reconnect({ framing, port }, handler as () => void),
      TypeError,
      "handler must be a function",
    );
  }
});

Deno.test("reconnect() resolves with the handler's result and closes the connection", async () => {
  const received = Promise.withResolvers<string[]>();
  await using server = serveInTurn(async (connection) => {
    await connection.send("welcome");
    received.resolve(await Array.fromAsync(connection));
  });
  const options = { ...quick, port: server.addr.port };
  let used: Connection<string, string> | undefined;

  const welcome: string | undefined = await reconnect(
    options,
    (connection) => {
      used = connection;
      connection.send("last words");
      return connection.receive();
    },
  );

  assertEquals(welcome, "welcome");
  assertEquals(await received.promise, ["last words"]);
  await used?.closed;
});

Deno.test("reconnect() makes the next connection when the peer has closed its side", async () => {
  await using server = serveInTurn(
    (connection) => connection.send("one"),
    (connection) => connection.send("two"),
    async (connection) => {
      await connection.send("three");
      await connection.receive();
    },
  );
  const { errors, onError } = errorLog();
  const received: string[] = [];
  await reconnect(
    { ...quick, port: server.addr.port, onError },
    async (connection) => {
      for await (const line of connection) {
        received.push(line);
        if (line === "three") break;
      }
    },
  );
  assertEquals(received, ["one", "two", "three"]);
  assertEquals(errors.length, 2);
  for (const error of errors) {
    assertInstanceOf(error, Deno.errors.UnexpectedEof);
  }
});

Deno.test("reconnect() makes the next connection when a handler only waits for the peer's end", async () => {
  const leavings: ConnectionHandler<string, string>[] = [
    hangUp,
    hangUp,
    (connection) => connection.send("news"),
    // A part of a message.
    (connection) => connection.send("news", { framing: unframed() }),
  ];
  await using server = serveInTurn(...leavings, echo);
  let count = 0;
  const answer = await reconnect(
    { ...quick, port: server.addr.port, onError: () => {} },
    async (connection) => {
      if (++count > leavings.length) return await connection.request("hello");
      await connection.peerEnded;
    },
  );
  assertEquals([count, answer], [5, "hello"]);
});

Deno.test("reconnect() resolves when a handler that watches for the peer's end has received what it wants", async () => {
  const takeMessage = async (connection: Connection<string, string>) => {
    assertEquals(await connection.receive(), "all");
  };
  const takeStream = async (connection: Connection<string, string>) => {
    for await (const _piece of connection.receiveStream(2));
  };
  for (const take of [takeMessage, takeStream]) {
    await using server = serveInTurn((connection) => {
      connection.send("all");
      connection.send("more");
    });
    let count = 0;
    await reconnect(
      { ...quick, port: server.addr.port },
      async (connection) => {
        count++;
        const { peerEnded } = connection;
        await take(connection);
        await peerEnded;
      },
    );
    assertEquals(count, 1);
  }
});

Deno.test("reconnect() resolves when a handler that receives or learns of the peer's end leaves messages", async () => {
  await using server = serveInTurn((connection) => {
    connection.send("all");
    connection.send("more");
  });
  let count = 0;
  await reconnect(
    {
      ...quick,
      port: server.addr.port,
      onConnect: (connection) => connection.peerEnded,
    },
    async (connection) => {
      count++;
      // All have arrived: the first is taken before the end is asked for.
      const received = connection.receive();
      const { peerEnded } = connection;
      assertEquals(await Promise.race([received, peerEnded]), "all");
    },
  );
  assertEquals(count, 1);
});

Deno.test("reconnect() does not take a question of onConnect for one of the handler", async () => {
  await using server = serveInTurn((connection) => connection.send("bye"));
  let count = 0;
  await reconnect(
    {
      ...quick,
      port: server.addr.port,
      onConnect: (connection) => connection.peerEnded,
    },
    () => void count++,
  );
  assertEquals(count, 1);
});

Deno.test("reconnect() takes a handler that watches for the peer's end, returns a value and leaves messages as done", async () => {
  await using server = serveInTurn((connection) => connection.send("bye"));
  let count = 0;
  const result = await reconnect(
    { ...quick, port: server.addr.port },
    async (connection) => {
      count++;
      await connection.peerEnded;
      return "left";
    },
  );
  assertEquals([count, result], [1, "left"]);
});

Deno.test("reconnect() rejects with the error of a handler that watches for the peer's end and leaves messages", async () => {
  await using server = serveInTurn((connection) => connection.send("bye"));
  let count = 0;
  const error = new Error("The handler's own");
  const rejected = await assertRejects(() =>
    reconnect(
      { ...quick, port: server.addr.port },
      async (connection) => {
        count++;
        await connection.peerEnded;
        throw error;
      },
    )
  );
  assertEquals([count, rejected], [1, error]);
});

Deno.test("reconnect() resolves when a handler that watches the connection returns before it sees the peer's end", async () => {
  await using server = serveInTurn((connection) => connection.send("all"));
  let count = 0;
  await reconnect(
    { ...quick, port: server.addr.port },
    async (connection) => {
      count++;
      assertEquals(connection.signal.aborted, false);
      assertEquals(await connection.receive(), "all");
      await until(() => server.connections.size === 0);
      for (let i = 0; i < 3; i++) await turn();
    },
  );
  assertEquals(count, 1);
});

Deno.test("reconnect() resolves when the handler returns before it receives the peer's end", async () => {
  await using server = serveInTurn((connection) => connection.send("all"));
  const used: Connection<string, string>[] = [];
  await reconnect(
    { ...quick, port: server.addr.port },
    async (connection) => {
      used.push(connection);
      assertEquals(await connection.receive(), "all");
      await until(() => server.connections.size === 0);
    },
  );
  assertEquals(used.length, 1);
});

Deno.test("reconnect() resolves when the handler returns before it receives bytes that break the framing", async () => {
  await using server = await resettingServer("all\ntoo long\n");
  const answer: string | undefined = await reconnect(
    {
      framing: lines({ maxLength: 3 }),
      port: server.port,
      maxAttempts: 1,
    },
    (connection) => connection.receive(),
  );
  assertEquals(answer, "all");
});

Deno.test("reconnect() makes the next connection when the handler closed one with unread messages", async () => {
  await using server = serveInTurn((connection) => {
    for (const line of ["one", "two", "three"]) connection.send(line);
  });
  const { errors, onError } = errorLog();
  let count = 0;
  await reconnect(
    { ...quick, port: server.addr.port, onError },
    async (connection) => {
      await connection.receive();
      if (++count < 3) await connection.close();
    },
  );
  assertEquals([count, errors.length], [3, 2]);
});

Deno.test("reconnect() makes the next connection when one is reset within a message", async () => {
  await using server = await resettingServer("whole\npart");
  const { errors, onError } = errorLog();
  const received: string[] = [];
  const connections: Connection<string, string>[] = [];
  await reconnect(
    { ...quick, port: server.port, onError },
    async (connection) => {
      connections.push(connection);
      if (connections.length === 3) return;
      assertEquals(await connection.receive(), "whole");
      server.reset();
      for await (const line of connection) received.push(line);
    },
  );
  assertEquals(received, []);
  assertEquals(errors.length, 2);
  for (const error of errors) {
    assertInstanceOf(error, Deno.errors.ConnectionReset);
  }
});

/** A server that writes `text` on each connection and can reset the last one. */
async function resettingServer(text: string): Promise<
  AsyncDisposable & { readonly port: number; readonly reset: () => void }
> {
  let last: net.Socket | undefined;
  const server = net.createServer((socket) => {
    last = socket;
    socket.on("error", () => {});
    socket.write(text);
  });
  server.listen(0, hostname);
  await once(server, "listening");
  const address = server.address();
  assert(address !== null && typeof address === "object");
  return {
    port: address.port,
    reset: () => void last?.resetAndDestroy(),
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      last?.destroy();
      await closed;
    },
  };
}

Deno.test("reconnect() makes the next connection when the handler has ended the last one", async () => {
  await using server = serveInTurn(echo);
  const reason = new Error("No heartbeat");
  const { errors, onError } = errorLog();
  const endings: ((connection: Connection<string, string>) => unknown)[] = [
    (connection) => connection.abort(reason),
    (connection) => connection.close(),
    () => {},
  ];
  let count = 0;
  await reconnect(
    { ...quick, port: server.addr.port, onError },
    async (connection) => {
      await endings[count++]?.(connection);
    },
  );
  assertEquals(count, 3);
  assertEquals(errors.length, 2);
  assertStrictEquals(errors[0], reason);
  assertInstanceOf(errors[1], Deno.errors.UnexpectedEof);
});

Deno.test("reconnect() makes the next connection when the server closes it and the handler only waits for closed", async () => {
  const greet = async (connection: Connection<string, string>) => {
    await connection.receive();
    connection.send("welcome");
    connection.send("news");
  };
  const handlers: ((connection: Connection<string, string>) => unknown)[] = [
    (connection) => connection.closed,
    async (connection) => {
      await connection.receive();
      await connection.closed;
    },
    async (connection) => {
      await connection.closeWrite();
      await connection.closed;
    },
    (connection) => void connection.closed.catch(() => {}),
  ];
  await Promise.all(handlers.map(async (handler, index) => {
    await using server = serveInTurn(greet, echo);
    const { errors, onError } = errorLog();
    const opened: Connection<string, string>[] = [];
    await reconnect({
      ...quick,
      port: server.addr.port,
      onError,
      async onConnect(connection) {
        await connection.request("login");
      },
    }, async (connection) => {
      if (opened.push(connection) === 1) await handler(connection);
    });
    if (index === handlers.length - 1) {
      return assertEquals([opened.length, errors.length], [1, 0]);
    }
    assertEquals(opened.length, 2);
    assertInstanceOf(errors[0], Deno.errors.UnexpectedEof);
    // Lines sent before the end are not lost.
    const rest = index === 1 ? undefined : "news";
    assertEquals(await opened[0]?.receive(), rest);
    assertEquals(await opened[0]?.receive(), undefined);
  }));
});

Deno.test("reconnect() keeps a connection open while its handler answers after the server's end", async () => {
  // Runs until a second connection, whose handler only waits, was closed.
  async function untilOthersWereClosed(): Promise<void> {
    await using server = serveInTurn(hangUp, echo);
    let count = 0;
    await reconnect(
      { ...quick, port: server.addr.port, onError() {} },
      (connection) => count++ === 0 ? connection.closed : undefined,
    );
  }
  const handlers: ((connection: Connection<string, string>) => unknown)[] = [
    // Receives the end.
    async (connection) => {
      connection.closed.catch(() => {});
      for await (const _line of connection);
      await untilOthersWereClosed();
    },
    async (connection) => {
      const { closed, peerEnded } = connection;
      await Promise.race([closed, peerEnded]);
      await untilOthersWereClosed();
    },
    // Handles a message.
    async (connection) => {
      connection.closed.catch(() => {});
      for await (const _line of connection) {
        await untilOthersWereClosed();
        break;
      }
    },
    // Sends all the time.
    async (connection) => {
      connection.closed.catch(() => {});
      const sending = setInterval(() => connection.send("more"), 10);
      await untilOthersWereClosed();
      clearInterval(sending);
    },
    // Waits only for the signal.
    async (connection) => {
      assertEquals(connection.signal.aborted, false);
      await untilOthersWereClosed();
    },
  ];
  await Promise.all(handlers.map(async (handler, index) => {
    const heard = Promise.withResolvers<string | undefined>();
    await using server = serveInTurn(
      sendAndListen(heard.resolve),
    );
    await reconnect(
      {
        ...quick,
        port: server.addr.port,
        onError(error) {
          throw error;
        },
      },
      async (connection) => {
        await handler(connection);
        await connection.send(`answer ${index}`);
      },
    ).catch(() => {}); // the messages have ended
    assertEquals(await heard.promise, `answer ${index}`);
  }));
});

Deno.test("reconnect() resolves when the handler stops receiving", async () => {
  const news = async (connection: Connection<string, string>) => {
    await connection.send("news");
    await connection.receive();
  };
  await using server = serveInTurn(news, news);
  const options = { ...quick, port: server.addr.port };
  const line = await reconnect(options, async (connection) => {
    for await (const line of connection.readable) return line;
  });
  assertEquals(line, "news");
  const result = await reconnect(options, async (connection) => {
    connection.closeRead();
    return await connection.receive() ?? "enough";
  });
  assertEquals(result, "enough");
});

Deno.test("reconnect() makes the next connection after an unanswered request, and resends nothing", async () => {
  const arrived: string[] = [];
  await using server = serveInTurn(async (connection) => {
    arrived.push(await connection.receive() ?? "nothing");
  }, async (connection) => {
    for await (const line of connection) {
      arrived.push(line);
      await connection.send(line);
    }
  });
  const { errors, onError } = errorLog();
  let count = 0;
  const answer = await reconnect(
    { ...quick, port: server.addr.port, onError },
    (connection) => connection.request(`question ${++count}`),
  );
  assertEquals(answer, "question 2");
  assertEquals(arrived, ["question 1", "question 2"]);
  assertEquals(errors.length, 1);
  assertInstanceOf(errors[0], Error);
  assertEquals(errors[0].name, "UnexpectedEof");
});

Deno.test("reconnect() makes the next connection when a request finds that the peer has hung up", async () => {
  const { errors, onError } = errorLog();
  await using hangingUp = connectionPair({ framing });
  await using answering = connectionPair({ framing });
  hangingUp.far.closeWrite();
  answering.far.expect().then((line) => answering.far.send(line.toUpperCase()));
  const connections = [hangingUp.near, answering.near].values();
  const answer = await reconnect({
    connect: () => Promise.resolve(connections.next().value!),
    minTimeout: 1,
    onError,
  }, async (connection) => {
    assert(!connection.signal.aborted); // reads ahead from now on
    await untilPoll();
    return await connection.request("hello");
  });
  assertEquals(answer, "HELLO");
  assertEquals(errors.length, 1);
  assertInstanceOf(errors[0], Error);
  assertEquals(errors[0].name, "UnexpectedEof");
});

Deno.test("reconnect() makes the next connection when sent messages cannot be written", async () => {
  await using server = await resettingServer("ready\n");
  const { errors, onError } = errorLog();
  const unlimited = lines({ maxLength: Infinity });
  let count = 0;
  await reconnect(
    { ...quick, framing: unlimited, port: server.port, onError },
    async (connection) => {
      await connection.receive();
      if (++count === 2) return;
      connection.send("x".repeat(MORE_THAN_KERNEL_TAKES));
      setTimeout(server.reset, 0);
    },
  );
  assertEquals(count, 2);
  assertEquals(errors.length, 1);
});

Deno.test("reconnect() rejects with the handler's error if the connection is open", async () => {
  const left = Promise.withResolvers<void>();
  await using server = serveInTurn(async (connection) => {
    await unlessReset(echo(connection), undefined);
    left.resolve();
  });
  const { errors, onError } = errorLog();
  const reason = new Error("Cannot do my work");
  let used: Connection<string, string> | undefined;
  const error = await assertRejects(() =>
    reconnect(
      { ...quick, port: server.addr.port, onError },
      async (connection) => {
        used = connection;
        await connection.request("hello");
        throw reason;
      },
    )
  );
  assertStrictEquals(error, reason);
  assertStrictEquals(used?.signal.reason, reason);
  assertEquals(errors, []);
  await left.promise;
});

Deno.test("reconnect() makes the next connection when a handler throws after its connection has ended", async () => {
  await using server = serveInTurn(hangUp, echo);
  const { errors, onError } = errorLog();
  const reason = new Error("It went away");
  await reconnect(
    { ...quick, port: server.addr.port, onError },
    async (connection) => {
      connection.send("hello");
      if (await connection.receive() === undefined) throw reason;
    },
  );
  assertEquals(errors.length, 1);
  assertStrictEquals(errors[0], reason);
});

Deno.test("reconnect() waits for the handler and the release of the connection before it reconnects", async () => {
  await using server = serveInTurn(hangUp, hangUp, echo);
  const order: string[] = [];
  let count = 0;
  await reconnect(
    {
      ...quick,
      port: server.addr.port,
      onError: () => void order.push("loss"),
    },
    async (connection) => {
      order.push("begin");
      const released = () => order.push("released");
      connection.closed.then(released, released);
      if (++count === 3) return;
      await Array.fromAsync(connection);
      for (let i = 0; i < 5; i++) await turn();
      order.push("end");
      if (count === 2) throw new Error("It went away");
    },
  );
  const round = ["begin", "end", "released", "loss"];
  assertEquals(order, [...round, ...round, "begin", "released"]);
});

Deno.test({
  name:
    "reconnect() waits until the server of a Unix socket starts, and until it restarts",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    const servers: Server<string, string, Deno.UnixAddr>[] = [];
    const start = () => void servers.push(serve({ path, framing }, echo));
    const errors: unknown[] = [];
    try {
      let count = 0;
      await reconnect({
        ...quick,
        path,
        onError(error) {
          errors.push(error);
          if (errors.length === 2 || errors.length === 4) start();
        },
      }, async (connection) => {
        const line: string = await connection.request("hello");
        assertEquals(line, "hello");
        if (++count === 2) return;
        await servers[0]?.shutdown();
        await Array.fromAsync(connection);
      });
      const { NotFound, UnexpectedEof } = Deno.errors;
      [NotFound, NotFound, UnexpectedEof, NotFound].forEach((type, i) =>
        assertInstanceOf(errors[i], type)
      );
    } finally {
      for (const server of servers) await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("reconnect() tries again if it does not trust the certificate yet", async () => {
  await using server = serve(
    { hostname, port: 0, framing, tls: certificate, onError: () => {} },
    echo,
  );
  const { errors, onError } = errorLog();
  const tls: { caCerts?: string[] } = {};
  const answer = await reconnect({
    ...quick,
    port: server.addr.port,
    tls,
    onError(error) {
      onError(error);
      tls.caCerts = caCerts;
    },
  }, (connection) => connection.request("hello"));
  assertEquals(answer, "hello");
  assertEquals(errors.length, 1);
  assertInstanceOf(errors[0], Deno.errors.InvalidData);
});

Deno.test("reconnect() calls onConnect on each connection before the handler", async () => {
  const heard: string[] = [];
  await using server = serveInTurn(async (connection) => {
    for await (const line of connection) {
      heard.push(line);
      await connection.send(`${line}?`);
      if (line === "work") return;
    }
  });
  const order: string[] = [];
  let count = 0;
  await reconnect({
    ...quick,
    port: server.addr.port,
    onError: () => {},
    async onConnect(connection) {
      order.push(await connection.request("login"));
    },
  }, async (connection) => {
    order.push(await connection.request("work"));
    if (++count < 3) await Array.fromAsync(connection);
  });
  assertEquals(heard, ["login", "work", "login", "work", "login", "work"]);
  assertEquals(order, heard.map((line) => `${line}?`));
});

Deno.test("reconnect() counts a failed onConnect as a failed attempt", async () => {
  await using server = serveInTurn(echo);
  const told: [unknown, Connection<string, string> | undefined][] = [];
  const logins: Connection<string, string>[] = [];
  let handled = 0;
  const error = await assertRejects(() =>
    reconnect({
      ...quick,
      port: server.addr.port,
      maxAttempts: 3,
      onError: (error, connection) => void told.push([error, connection]),
      async onConnect(connection) {
        logins.push(connection);
        await connection.request("login");
        throw new Error(`Refused ${logins.length}`);
      },
    }, () => void handled++), Error);
  assertEquals(error.message, "Refused 3");
  assertEquals(handled, 0);
  assertEquals(told.length, 2);
  for (const [i, [error, connection]] of told.entries()) {
    assertEquals(String(error), `Error: Refused ${i + 1}`);
    assertStrictEquals(connection, logins[i]);
    assertStrictEquals(connection?.signal.reason, error);
    await assertRejects(() => connection?.closed ?? Promise.resolve());
  }
});

Deno.test("reconnect() waits longer each time, up to a limit, if the peer closes immediately", async () => {
  await using server = serveInTurn(hangUp);
  using recording = recordingWaits(10_000);
  const error = await assertRejects(
    () =>
      reconnect({
        framing,
        port: server.addr.port,
        minTimeout: 10_000,
        maxTimeout: 50_000,
        multiplier: 1.5,
        jitter: 0,
        maxAttempts: 7,
        onError: () => {},
      }, async (connection) => {
        await connection.receive();
      }),
    Deno.errors.UnexpectedEof,
  );
  assertStringIncludes(error.message, "messages of the connection have ended");
  assertEquals(recording.waits, [
    10_000,
    15_000,
    22_500,
    33_750,
    50_000,
    50_000,
  ]);
});

Deno.test("reconnect() waits between a second and a minute by default", async () => {
  using _refusing = replacing(Deno as { connect: unknown }, {
    connect: () => Promise.reject(new Deno.errors.ConnectionRefused("No")),
  });
  using _random = replacingRandom(() => 0);
  using recording = recordingWaits(1000);
  const reason = new Error("Enough");
  let count = 0;
  const error = await assertRejects(() =>
    reconnect({
      framing,
      port: 1,
      onError() {
        if (++count === 9) throw reason;
      },
    }, () => {})
  );
  assertStrictEquals(error, reason);
  assertEquals(
    recording.waits,
    [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => 1000 * seconds),
  );
});

Deno.test("reconnect() randomizes the share of a wait that jitter gives", async () => {
  using _refusing = replacing(Deno as { connect: unknown }, {
    connect: () => Promise.reject(new Deno.errors.ConnectionRefused("No")),
  });
  using _random = replacingRandom(() => 0.5);
  for (const [jitter, expected] of [[0, 10_000], [0.5, 7500], [1, 5000]]) {
    using recording = recordingWaits(5000);
    await assertRejects(() =>
      reconnect({
        framing,
        port: 1,
        jitter,
        minTimeout: 10_000,
        maxAttempts: 2,
        onError: () => {},
      }, () => {})
    );
    assertEquals(recording.waits, [expected]);
  }
});

// `replacing()` cannot be used: the functions of `Math` are not enumerable.
function replacingRandom(random: () => number): Disposable {
  const original = Math.random;
  Math.random = random;
  return {
    [Symbol.dispose]() {
      Math.random = original;
    },
  };
}

Deno.test("reconnect() starts with minTimeout again when a connection has lasted longer than the next wait", async () => {
  await using server = serveInTurn(hangUp);
  using recording = recordingWaits(10_000);
  // How long each connection lasts, by a fake clock.
  const lasting = [0, 0, 40_000, 40_001, 0, 10_001, 20_000];
  let now = 0;
  let count = 0;
  performance.now = () => now;
  try {
    await reconnect({
      framing,
      port: server.addr.port,
      minTimeout: 10_000,
      jitter: 0,
      onError: () => {},
    }, async (connection) => {
      const lasts = lasting[count++];
      if (lasts === undefined) return;
      await connection.receive();
      now += lasts;
    });
  } finally {
    Reflect.deleteProperty(performance, "now");
  }
  assertEquals(recording.waits, [
    10_000,
    20_000,
    40_000, // 40 s is not longer than the next wait
    60_000, // 40.001 s is not longer than a minute
    60_000,
    60_000,
    60_000,
  ]);

  recording.waits.length = 0;
  lasting.splice(0, Infinity, 0, 0, 40_001, 0, 0, 0, 90_000, 10_001, 0);
  now = 0;
  count = 0;
  performance.now = () => now;
  try {
    // Connections that lasted long enough do not count as failures.
    await assertRejects(() =>
      reconnect({
        framing,
        port: server.addr.port,
        minTimeout: 10_000,
        jitter: 0,
        maxAttempts: 4,
        onError: () => {},
      }, async (connection) => {
        const lasts = lasting[count++] ?? 0;
        await connection.receive();
        now += lasts;
      })
    );
  } finally {
    Reflect.deleteProperty(performance, "now");
  }
  assertEquals(recording.waits, [
    10_000,
    20_000,
    10_000, // lasted long enough
    10_000,
    20_000,
    40_000,
    10_000, // lasted long enough
    10_000, // lasted long enough
    10_000,
    20_000,
    40_000,
  ]);
});

Deno.test("reconnect() rejects with the last error after maxAttempts", async () => {
  const listener = Deno.listen({ hostname, port: 0 });
  listener.close();
  const { errors, onError } = errorLog();
  for (const maxAttempts of [1, 3]) {
    errors.length = 0;
    await assertRejects(
      () =>
        reconnect(
          { ...quick, port: listener.addr.port, maxAttempts, onError },
          () => {},
        ),
      Deno.errors.ConnectionRefused,
    );
    assertEquals(errors.length, maxAttempts - 1);
  }
});

Deno.test("reconnect() waits for onError, and rejects with what it throws", async () => {
  await using server = serveInTurn(hangUp);
  const reason = new Error("Enough");
  const order: string[] = [];
  const error = await assertRejects(() =>
    reconnect({
      ...quick,
      port: server.addr.port,
      async onError() {
        await turn();
        order.push("error");
        if (order.length === 4) throw reason;
      },
    }, async (connection) => {
      order.push("connection");
      await connection.receive();
    })
  );
  assertStrictEquals(error, reason);
  assertEquals(order, ["connection", "error", "connection", "error"]);
});

Deno.test("reconnect() logs errors without onError", async () => {
  await using server = serveInTurn(hangUp, echo);
  const logged: unknown[] = [];
  using _console = replacing(console, { error: (error) => logged.push(error) });
  await reconnect(
    { ...quick, port: server.addr.port },
    async (connection) => {
      connection.send("hello");
      await connection.receive();
    },
  );
  assertEquals(logged.length, 1);
  assertInstanceOf(logged[0], Deno.errors.UnexpectedEof);
});

Deno.test("reconnect() does not try again after the caller's mistake", async () => {
  await using server = serveInTurn(echo);
  const { port } = server.addr;
  const { errors, onError } = errorLog();
  const never = () => {
    throw new Error("Handled");
  };
  const options = { ...quick, onError };
  await assertRejects(
    () => reconnect({ ...options, port, hostname: "no\0name" }, never),
    URIError,
  );
  await assertRejects(
    () =>
      reconnect({
        ...options,
        port,
        onConnect: (connection) => connection.send("two\nlines"),
      }, never),
    TypeError,
  );
  await assertRejects(
    () =>
      reconnect({ ...options, port }, (connection) => {
        connection.abort(new Error("Broken"));
        throw new RangeError("Out of range");
      }),
    RangeError,
    "Out of range",
  );
  assertEquals(errors, []);
});

Deno.test("reconnect() tries again after an error that the peer's message caused", async () => {
  const strict = mapped(framing, {
    decode(line) {
      if (line === "garbage") throw new RangeError(`Unknown: ${line}`);
      return line;
    },
    encode: (line: string) => line,
  });
  await using server = serveInTurn(
    (connection) => connection.send("garbage"), // received in onConnect
    async (connection) => {
      await connection.send("login");
      await connection.send("garbage"); // received in the handler
      await connection.receive();
    },
    async (connection) => {
      await connection.send("login");
      await connection.send("fine");
      await connection.receive();
    },
  );
  const { errors, onError } = errorLog();

  const answer = await reconnect({
    ...quick,
    framing: strict,
    port: server.addr.port,
    onConnect: async (connection) => void await connection.receive(),
    onError,
  }, (connection) => connection.receive());

  assertEquals(answer, "fine");
  assertEquals(errors.length, 2);
  for (const error of errors) assertInstanceOf(error, RangeError);
});

Deno.test({
  name: "reconnect() does not try again without permission",
  permissions: { net: false },
  async fn() {
    const { errors, onError } = errorLog();
    await assertRejects(
      () => reconnect({ ...quick, port: 1, onError }, () => {}),
      Deno.errors.NotCapable,
    );
    assertEquals(errors, []);
  },
});

Deno.test("reconnect() rejects when its signal is aborted, in every phase", async (t) => {
  const reason = new Error("Enough");

  /** Runs until `abort` is called. */
  async function ends(
    options: Partial<ReconnectOptions<string, string>> & { port: number },
    abortWhen: (phase: Phase) => void,
    handler: (connection: Connection<string, string>) => Promise<unknown> = (
      connection,
    ) => Array.fromAsync(connection),
  ): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const { errors, onError } = errorLog();
    const phase: Phase = { abort: () => controller.abort(reason), options: {} };
    abortWhen(phase);
    const error = await assertRejects(() =>
      reconnect(
        { ...quick, onError, ...options, ...phase.options, signal },
        handler,
      )
    );
    assertStrictEquals(error, reason);
    assertEquals(errors, []);
  }

  await t.step("before it begins", async () => {
    await ends({ port: 1 }, ({ abort }) => abort());
  });

  await t.step("while it connects", async () => {
    const hung = Promise.withResolvers<never>();
    const dialled = Promise.withResolvers<void>();
    using _dialling = replacing(Deno as { connect: unknown }, {
      connect() {
        dialled.resolve();
        return hung.promise;
      },
    });
    await ends({ port: 1 }, ({ abort }) => dialled.promise.then(abort));
  });

  await t.step("while it logs in", async () => {
    await using server = serveInTurn(echo);
    await ends({ port: server.addr.port }, (phase) => {
      phase.options.onConnect = async (connection) => {
        queueMicrotask(phase.abort);
        await connection.receive();
      };
    });
  });

  await t.step("while the handler works", async () => {
    await using server = serveInTurn(echo);
    for (const fails of [true, false]) {
      let abort: () => void = () => {};
      await ends(
        { port: server.addr.port },
        (phase) => abort = phase.abort,
        async (connection) => {
          queueMicrotask(abort);
          const receiving = connection.receive();
          await (fails ? receiving : receiving.catch(() => {}));
        },
      );
    }
  });

  await t.step("while it waits", async () => {
    await using server = serveInTurn(hangUp);
    const forever = { minTimeout: 2 ** 31 - 1, maxTimeout: 2 ** 31 - 1 };
    await ends(
      { port: server.addr.port, ...forever, jitter: 0 },
      (phase) => {
        phase.options.onError = () => void setTimeout(phase.abort, 0);
      },
    );
  });
});

interface Phase {
  readonly abort: () => void;
  readonly options: {
    onConnect?: (connection: Connection<string, string>) => Promise<void>;
    onError?: () => void;
  };
}

Deno.test("reconnect() rejects when its signal is aborted, even if the function that it awaits never settles", async (t) => {
  const reason = new Error("Enough");

  /** Runs until `wait` is called, which never settles by itself. */
  async function ends(
    run: (wait: () => Promise<never>, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const controller = new AbortController();
    const hung = Promise.withResolvers<never>();
    const wait = () => {
      setTimeout(() => controller.abort(reason), 0);
      return hung.promise;
    };
    const unhandled = await unhandledRejectionsIn(async () => {
      const error = await assertRejects(() => run(wait, controller.signal));
      assertStrictEquals(error, reason);
      hung.reject(new Error("Too late"));
    });
    assertEquals(unhandled, []);
  }

  await using server = serveInTurn(echo);
  const { port } = server.addr;

  await t.step("the handler", async () => {
    const opened = Promise.withResolvers<Connection<string, string>>();
    await ends((wait, signal) =>
      reconnect({ ...quick, port, signal }, (connection) => {
        opened.resolve(connection);
        return wait();
      })
    );
    const { closed } = await opened.promise;
    assertStrictEquals(await assertRejects(() => closed), reason);
  });

  await t.step("onConnect", async () => {
    await ends((onConnect, signal) =>
      reconnect({ ...quick, port, signal, onConnect }, () => {})
    );
  });

  await t.step("onError", async () => {
    await ends((wait, signal) =>
      reconnect({
        ...quick,
        port,
        signal,
        onConnect: () => Promise.reject(new Error("Not logged in")),
        onError: wait,
      }, () => {})
    );
  });

  await t.step("connect", async () => {
    await ends((connect, signal) => reconnect({ connect, signal }, () => {}));
  });
});

Deno.test("reconnect() takes a connect function", async () => {
  await using server = serveInTurn(hangUp, echo);
  const { errors, onError } = errorLog();
  let attempts = 0;
  const answer = await reconnect({
    connect() {
      if (++attempts === 1) return Promise.reject(new Error("Not yet"));
      return connect({ port: server.addr.port, framing });
    },
    minTimeout: 1,
    maxTimeout: 2,
    onError,
  }, (connection) => connection.request("hello"));
  assertEquals(answer, "hello");
  assertEquals(attempts, 3);
  assertEquals(
    errors.map((error) => error instanceof Error && error.name),
    ["Error", "UnexpectedEof"],
  );
});

Deno.test("reconnect() takes a connect function from an instance of a class", async () => {
  await using server = serveInTurn(echo);
  class Options {
    readonly #port = server.addr.port;
    maxAttempts = 1;
    connect() {
      return connect({ port: this.#port, framing });
    }
  }
  const answer = await reconnect(
    new Options(),
    (connection) => connection.request("hello"),
  );
  assertEquals(answer, "hello");
});

Deno.test("reconnect() aborts a connection of the connect function when its signal is aborted", async () => {
  await using server = serveInTurn(echo);
  const reason = new Error("Enough");
  const controller = new AbortController();
  const { signal } = controller;
  const open = () => connect({ port: server.addr.port, framing });

  let connection: Connection<string, string> | undefined;
  const running = reconnect({ connect: open, signal }, async (each) => {
    connection = each;
    await each.request("hello");
    controller.abort(reason);
    await each.receive();
  });
  assertStrictEquals(await assertRejects(() => running), reason);
  assertStrictEquals(connection?.signal.reason, reason);
});

Deno.test("reconnect() aborts a connection that the connect function returns after the abort", async () => {
  await using server = serveInTurn(echo);
  const reason = new Error("Enough");
  const controller = new AbortController();
  const opening = Promise.withResolvers<Connection<string, string>>();
  const running = reconnect({
    connect() {
      setTimeout(() => controller.abort(reason), 0);
      return opening.promise;
    },
    signal: controller.signal,
  }, () => {});
  assertStrictEquals(await assertRejects(() => running), reason);
  const late = await connect({ port: server.addr.port, framing });
  opening.resolve(late);
  assertStrictEquals(await assertRejects(() => late.closed), reason);
});

Deno.test("reconnect() does not try again when the connect function returns no Connection", async () => {
  const connect = () => Promise.resolve({} as Connection<string, string>);
  await assertRejects(
    () => reconnect({ connect }, () => {}),
    TypeError,
    "connect must give a Connection",
  );
});

Deno.test("reconnect() leaves no listener on its signal when the handler has returned", async () => {
  await using server = serveInTurn(hangUp, hangUp, echo);
  const { signal, count } = countingListeners(new AbortController().signal);
  await reconnect(
    { ...quick, port: server.addr.port, signal, onError: () => {} },
    async (connection) => {
      connection.send("hello");
      await connection.receive();
    },
  );
  assertEquals(count(), 0);
});

Deno.test("reconnect() uses one listener for all calls that share a signal", async () => {
  await using server = serveInTurn(hangUp, hangUp, hangUp, echo);
  const { signal, count } = countingListeners(new AbortController().signal);
  const counts: number[] = [];
  const all = Array.from(
    { length: 3 },
    () =>
      reconnect(
        { ...quick, port: server.addr.port, signal, onError: () => {} },
        async (connection) => {
          counts.push(count());
          connection.send("hello");
          await connection.receive();
        },
      ),
  );
  await Promise.all(all);
  assertEquals(counts, Array(6).fill(1));
  assertEquals(count(), 0);
});

Deno.test("reconnect() takes the options of connect() and has its types", () => {
  // Checked, not run.
  const open = () => connect({ port: 1, framing });
  const _ = () => [
    reconnect({ framing, port: 1, tls: { caCerts } }, (connection) => {
      const _line: Promise<string | undefined> = connection.receive();
    }) satisfies Promise<void>,
    reconnect({ path: "/socket", framing }, async (connection) => {
      const line: string | undefined = await connection.receive();
      return line?.length ?? 0;
    }) satisfies Promise<number>,
    reconnect({
      port: 1,
      framing,
      onConnect: async (connection) => void await connection.request("text"),
      onError: (_error, connection) => connection?.abort(),
    }, () => {}),
    // @ts-expect-error: an address is needed
    reconnect({ framing }, () => {}),
    // @ts-expect-error: a framing of lines sends text
    reconnect({ port: 1, framing }, (connection) => connection.send(1)),
    (options: ConnectOptions) => reconnect(options, () => {}),
    reconnect({
      connect: open,
      onConnect: (connection) => connection.send("text"),
    }, async (connection) => {
      const line: string | undefined = await connection.receive();
      return line?.length ?? 0;
    }) satisfies Promise<number>,
    // @ts-expect-error: connect knows the address
    reconnect({ connect: open, port: 1 }, hangUp),
    // @ts-expect-error: and how to connect
    reconnect({ connect: open, tls: true }, hangUp),
  ];
});

Deno.test("reconnect() keeps the process alive for a handler that only waits for the end", async () => {
  const { output, code } = await run(`
    import { lines, reconnect, serve } from "${
    import.meta.resolve("../mod.ts")
  }";

    const address = { hostname: "127.0.0.1", port: 0, framing: lines() };
    const server = serve(address, () =>
      new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, 20)))
    );
    server.unref();
    const { port } = server.addr;
    let attempts = 0;
    reconnect(
      { ...address, port, minTimeout: 1, onError() {} },
      (connection) => attempts++ === 0 ? connection.peerEnded : undefined,
    ).then(() => console.log("connected again"));
  `);
  assertEquals([output, code], ["connected again\n", 0]);
});

Deno.test("reconnect() does not count busy time for a handler that answers after the server's end", async () => {
  using clock = new VirtualClock();
  const [near, far] = transportPair();
  const connection = new Connection(near, { framing });
  const controller = new AbortController();
  const running = reconnect(
    { connect: () => Promise.resolve(connection), signal: controller.signal },
    async (connection) => {
      await connection.receive();
      await connection.closed;
    },
  );
  await far.write(new TextEncoder().encode("question\n"));
  await far.closeWrite();
  await clock.settle();
  clock.pass(1500);
  await clock.fireDue();
  const sent = connection.send("answer");
  await clock.settle();
  await sent;
  controller.abort();
  await assertRejects(() => running, DOMException, "aborted");
});

Deno.test("reconnect() copies its options when it is called", async () => {
  await using server = serveInTurn(hangUp, echo);
  const { port } = server.addr;
  const options: ReconnectOptions<string, string> = { ...quick, port };
  const losses: unknown[] = [];
  options.onError = (error) => void losses.push(error);
  const running = reconnect(options, (connection) => connection.request("a"));
  options.port = 1; // as if reused for another call, to a server that is not there
  options.signal = AbortSignal.abort();
  assertEquals(await running, "a");
  assertEquals(losses.length, 1);
});
