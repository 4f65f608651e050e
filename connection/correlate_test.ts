import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { asJson } from "../framing/as_json.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { mapped } from "../framing/mapped.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { Connection } from "./connection.ts";
import { correlate, type CorrelateOptions } from "./correlate.ts";
import {
  isPending,
  overriding,
  sockets,
  turn,
  unhandledRejectionsIn,
  until,
} from "./_testing.ts";

/** A message of a protocol such as JSON-RPC. */
interface Message {
  readonly id?: number | undefined;
  readonly method?: string | undefined;
  readonly result?: unknown;
}

const framing = mapped(lines({ maxLength: 1000 }), {
  decode: (line): Message => JSON.parse(line),
  encode: (message: Message) => JSON.stringify(message),
});

const answers: CorrelateOptions<Message> = {
  id: ({ id, method }) => method === undefined ? id : undefined,
};

/** Makes a request for each id. */
function asking(method: string): (id: number) => Message {
  return (id) => ({ id, method });
}

/** The name of the error of a request when the messages have ended. */
async function rejectsAsEnded(call: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(call, Error);
  assertEquals(error.name, "UnexpectedEof");
}

Deno.test("correlate() gives each request its answer, in whatever order they come", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const methods = ["one", "two", "three", "four"];
  const requests = methods.map((method) => client.request(asking(method)));
  assertEquals(client.outstanding, 4);
  for (const expected of methods) {
    assertEquals((await pair.far.receive())?.method, expected);
  }
  for (const id of [3, 1, 4, 2]) await pair.far.send({ id, result: id });
  assertEquals(await Promise.all(requests), [
    { id: 1, result: 1 },
    { id: 2, result: 2 },
    { id: 3, result: 3 },
    { id: 4, result: 4 },
  ]);
  assertEquals([client.outstanding, client.unmatched], [0, 0]);
});

Deno.test("correlate() lets both sides send requests with the same ids", async () => {
  await using pair = connectionPair({ framing });
  const sides = [pair.near, pair.far].map((connection) =>
    correlate(connection, {
      ...answers,
      onMessage: ({ id, method }) =>
        connection.send({ id, result: `${method} by ${id}` }),
    })
  );
  const requests = sides.flatMap(({ request }) =>
    ["a", "b"].map((method) => request(asking(method)))
  );
  assertEquals(
    (await Promise.all(requests)).map(({ result }) => result),
    ["a by 1", "b by 2", "a by 1", "b by 2"],
  );
});

Deno.test("correlate() calls onMessage with other messages, one after another", async () => {
  await using pair = connectionPair({ framing });
  const handled: unknown[] = [];
  const gates = [1, 2].map(() => Promise.withResolvers<void>());
  const client = correlate(pair.near, {
    ...answers,
    async onMessage({ method }) {
      handled.push(`begins ${method}`);
      await gates[Number(method)]?.promise;
      handled.push(`ends ${method}`);
    },
  });
  const answer = client.request(asking("ask"));
  for (const method of ["0", "1"]) await pair.far.send({ method });
  await pair.far.send({ id: 1, result: "after both" });
  await until(() => handled.length > 0);
  assert(await isPending(answer));
  assertEquals(handled, ["begins 0"]);
  gates[0]?.resolve();
  await until(() => handled.length > 2);
  assert(await isPending(answer));
  gates[1]?.resolve();
  assertEquals((await answer).result, "after both");
  assertEquals(handled, ["begins 0", "ends 0", "begins 1", "ends 1"]);
});

Deno.test("correlate() makes the peer wait while onMessage runs", async () => {
  await using pair = connectionPair({
    framing,
    bufferSize: 1000,
    highWaterMark: 1000,
    readBufferSize: 1000,
  });
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let handled = 0;
  correlate(pair.near, {
    ...answers,
    async onMessage() {
      await gate;
      handled++;
    },
  });
  let sent = 0;
  const sending = (async () => {
    while (sent < 1000) {
      await pair.far.send({ method: "push" });
      sent++;
    }
  })();
  await until(() => pair.farTransport.isWriting);
  assert(await isPending(sending));
  assert(sent < 300, `${sent}`);
  open();
  await sending;
  await until(() => handled === 1000);
});

Deno.test("correlate() without onMessage drops other messages and counts them", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const answer = client.request(asking("ask"));
  await pair.far.send({ method: "push" });
  await pair.far.send({ id: 1 });
  await answer;
  assertEquals(client.unmatched, 1);
});

Deno.test("correlate() drops answers to no pending request, and counts them", async () => {
  await using pair = connectionPair({ framing });
  const pushes: Message[] = [];
  const client = correlate(pair.near, {
    ...answers,
    onMessage: (message) => void pushes.push(message),
  });
  const first = client.request(asking("first"));
  await pair.far.send({ id: 99 });
  await pair.far.send({ id: 1, result: "first" });
  await pair.far.send({ id: 1, result: "again" });
  assertEquals((await first).result, "first");
  await until(() => client.unmatched === 2);
  const second = client.request(asking("second"));
  await pair.far.send({ id: 2, result: "second" });
  assertEquals((await second).result, "second");
  assertEquals(pushes, []);
});

Deno.test("Correlation.request() takes a message with its own id", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const own = client.request({ id: 7, method: "own" }, { id: 7 });
  const chosen = client.request(asking("chosen"), { id: 8 });
  const counted = client.request(asking("counted"));
  for (const id of [7, 8, 1]) {
    assertEquals((await pair.far.receive())?.id, id);
    await pair.far.send({ id, result: id });
  }
  assertEquals(
    (await Promise.all([own, chosen, counted])).map(({ result }) => result),
    [7, 8, 1],
  );
});

Deno.test("Correlation.request() rejects an id that is in use, and sends nothing", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, { ...answers, maxId: 100 });
  const first = client.request(asking("first"), { id: 1 });
  await assertRejects(
    () => client.request(asking("second"), { id: 1 }),
    RangeError,
    "its id 1 is in use: another request",
  );
  for (const id of [0, 101, 1.5, NaN]) {
    await assertRejects(
      () => client.request(asking("odd"), { id }),
      RangeError,
      "id must be a whole number from 1 to 100",
    );
  }
  // The counter skips it.
  const third = client.request(asking("third"));
  assertEquals((await pair.far.receive())?.method, "first");
  assertEquals(await pair.far.receive(), { id: 2, method: "third" });
  for (const id of [1, 2]) await pair.far.send({ id });
  await Promise.all([first, third]);
});

Deno.test("Correlation.request() starts at 1 again after maxId, and rejects when all ids are in use", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, { ...answers, maxId: 3 });
  const requests = [1, 2, 3].map(() => client.request(asking("ask")));
  await assertRejects(
    () => client.request(asking("ask")),
    RangeError,
    "all 3 ids are in use: 3 requests wait, and 0 were given up",
  );
  await pair.far.send({ id: 2 });
  await requests[1];
  const again = client.request(asking("again"));
  for (const id of [1, 2, 3, 2]) {
    assertEquals((await pair.far.receive())?.id, id);
  }
  for (const id of [1, 2, 3]) await pair.far.send({ id });
  await Promise.all([...requests, again]);
});

Deno.test("Correlation.request() takes ids of any type from nextId, and calls it again for an id in use", async () => {
  await using pair = connectionPair({ framing: lines() });
  const names = ["a", "a", "b", "a", "b", "c"];
  const client = correlate(pair.near, {
    id: (line) => line.split(" ")[0],
    nextId: () => names.shift() ?? "a",
  });
  const requests = [1, 2, 3].map((i) => client.request((id) => `${id} ${i}`));
  await assertRejects(
    () => client.request((id) => id),
    RangeError,
    "nextId() gave an id that is in use 100 times",
  );
  for (const line of ["a 1", "b 2", "c 3"]) {
    assertEquals(await pair.far.receive(), line);
    await pair.far.send(`${line}!`);
  }
  assertEquals(await Promise.all(requests), ["a 1!", "b 2!", "c 3!"]);

  const nothing = correlate(pair.far, {
    id: (line) => line,
    nextId: () => undefined,
  });
  await assertRejects(() => nothing.request(() => ""), TypeError, "no id");
});

Deno.test("Correlation.request() that is aborted keeps its id until the late answer", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, { ...answers, maxId: 2 });
  const controller = new AbortController();
  const { signal } = controller;
  const given = client.request(asking("given up"), { signal });
  const kept = client.request(asking("kept"));
  const reason = new Error("Enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => given), reason);
  assertEquals(client.outstanding, 1);
  await assertRejects(
    () => client.request(asking("too early")),
    RangeError,
    "1 requests wait, and 1 were given up",
  );
  await assertRejects(
    () => client.request(asking("too early"), { id: 1 }),
    RangeError,
    "its answer may still come",
  );
  await pair.far.send({ id: 1, result: "late" });
  await pair.far.send({ id: 2, result: "kept" });
  assertEquals((await kept).result, "kept");
  assertEquals(client.unmatched, 1);
  const next = client.request(asking("next"));
  await pair.far.send({ id: 1, result: "next" });
  assertEquals((await next).result, "next");
});

Deno.test("Correlation.request() sends nothing if its signal is already aborted", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const signal = AbortSignal.abort("no time");
  const reason = await client.request(asking("never"), { signal })
    .catch((reason) => reason);
  assertEquals(reason, "no time");
  await pair.near.closeWrite();
  assertEquals(await pair.far.receive(), undefined);
});

Deno.test("Correlation.request() rejects if its signal is aborted while its message is made", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const controller = new AbortController();
  const request = client.request((id) => {
    controller.abort(new Error("Enough"));
    return { id };
  }, { signal: controller.signal });
  await assertRejects(() => request, Error, "Enough");
  await pair.far.send({ id: 1 });
  await until(() => client.unmatched === 1);
});

Deno.test("Correlation.request() adds one listener to a shared signal, and removes it", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  let listeners = 0;
  const signal = overriding(new AbortController().signal, {
    addEventListener() {
      listeners++;
    },
    removeEventListener() {
      listeners--;
    },
  });
  const requests = [1, 2, 3].map(() =>
    client.request(asking("ask"), { signal })
  );
  assertEquals(listeners, 1);
  for (const id of [1, 2]) await pair.far.send({ id });
  await Promise.all(requests.slice(0, 2));
  assertEquals(listeners, 1);
  await pair.far.send({ id: 3 });
  await requests[2];
  assertEquals(listeners, 0);

  const last = client.request(asking("ask"), { signal });
  await pair.near.close();
  await rejectsAsEnded(() => last);
  assertEquals(listeners, 0);
});

Deno.test("Correlation.request() frees its id if the message cannot be made or sent", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, { ...answers, maxId: 1 });
  const reason = new Error("No message");
  const thrown = await assertRejects(() =>
    client.request(() => {
      throw reason;
    })
  );
  assertStrictEquals(thrown, reason);
  await assertRejects(
    () => client.request(asking("x".repeat(2000))),
    RangeError,
  );
  assertEquals(client.outstanding, 0);
  const request = client.request(asking("short"));
  await pair.far.send({ id: 1 });
  await request;
});

Deno.test("correlate() rejects pending and later requests at the peer's end", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const requests = ["a", "b", "c"].map((method) =>
    client.request(asking(method))
  );
  await pair.far.send({ id: 2, result: "in time" });
  await pair.far.closeWrite();
  assertEquals((await requests[1])?.result, "in time");
  for (const i of [0, 2]) {
    await rejectsAsEnded(() => Promise.resolve(requests[i]));
  }
  await rejectsAsEnded(() => client.request(asking("late")));
  await client.ended;
  assertEquals(client.outstanding, 0);
});

Deno.test("correlate() rejects pending requests when its connection is closed", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const request = client.request(asking("ask"));
  await pair.near.close();
  await rejectsAsEnded(() => request);
  await client.ended;
});

Deno.test("correlate() still receives answers after closeWrite()", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const request = client.request(asking("ask"));
  await pair.near.closeWrite();
  await assertRejects(
    () => client.request(asking("late")),
    DOMException,
    "ended",
  );
  await pair.far.send({ id: 1, result: "answer" });
  assertEquals((await request).result, "answer");
});

Deno.test("correlate() rejects pending requests with the error of the connection", async () => {
  const ends: Record<
    string,
    (pair: ReturnType<typeof connectionPair<Message, Message>>) => unknown
  > = {
    "ConnectionReset": ({ farTransport }) => farTransport.reset(),
    "SyntaxError": ({ farTransport }) =>
      farTransport.write(new TextEncoder().encode("no JSON\n")),
    "Error": ({ near }) => near.abort(new Error("Enough")),
  };
  for (const [name, end] of Object.entries(ends)) {
    await using pair = connectionPair({ framing });
    const client = correlate(pair.near, answers);
    const requests = [1, 2].map(() => client.request(asking("ask")));
    await pair.far.receive();
    await end(pair);
    const errors = await Promise.all(
      [...requests, client.ended, pair.near.closed].map((promise) =>
        assertRejects(() => promise, Error)
      ),
    );
    assertEquals(errors[0]?.name, name);
    assertEquals(new Set(errors).size, 1);
    assertStrictEquals(
      await assertRejects(() => client.request(asking("late"))),
      errors[0],
    );
  }
});

Deno.test("correlate() delivers the answers that arrived before an error", async () => {
  await using pair = connectionPair({ framing });
  const client = correlate(pair.near, answers);
  const requests = [1, 2, 3].map(() => client.request(asking("ask")));
  await until(() => pair.nearTransport.isReading);
  await pair.farTransport.write(
    new TextEncoder().encode('{"id":2}\n{"id":1}\nno JSON\n{"id":3}\n'),
  );
  assertEquals((await requests[1])?.id, 2);
  assertEquals((await requests[0])?.id, 1);
  await assertRejects(() => Promise.resolve(requests[2]), SyntaxError);
});

Deno.test("correlate() aborts the connection with an error of onMessage or id", async () => {
  const reason = new Error("Wrong");
  const faulty: CorrelateOptions<Message>[] = [
    {
      ...answers,
      onMessage() {
        throw reason;
      },
    },
    { ...answers, onMessage: () => turn().then(() => Promise.reject(reason)) },
    {
      id() {
        throw reason;
      },
    },
  ];
  for (const options of faulty) {
    await using pair = connectionPair({ framing });
    const client = correlate(pair.near, options);
    const request = client.request(asking("ask"));
    await pair.far.send({ method: "push" });
    await pair.far.send({ method: "another" });
    for (const promise of [request, client.ended, pair.near.closed]) {
      assertStrictEquals(await assertRejects(() => promise), reason);
    }
  }
});

Deno.test("correlate() rejects pending requests when the connection is closed while onMessage runs", async () => {
  for (const way of ["abort", "close", "reset"] as const) {
    await using pair = connectionPair({ framing });
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const handled: (string | undefined)[] = [];
    const client = correlate(pair.near, {
      ...answers,
      async onMessage({ method }) {
        await gate;
        handled.push(method);
      },
    });
    const requests = [1, 2].map(() => client.request(asking("ask")));
    await pair.far.send({ method: "one" });
    await pair.far.send({ method: "two" });
    await pair.far.send({ id: 2, result: "came before" });
    await until(() => pair.near.stats().messagesReceived === 1);
    await turn();
    if (way === "reset") pair.farTransport.reset();
    else pair.near[way]();
    if (way === "close") pair.far.close();
    await assertRejects(() => Promise.resolve(requests[0]));
    if (way === "abort") {
      await assertRejects(() => Promise.resolve(requests[1]));
    } else {
      assertEquals((await requests[1])?.result, "came before");
    }
    assert(await isPending(client.ended));
    open();
    await client.ended.catch(() => {});
    assertEquals(handled, way === "abort" ? ["one"] : ["one", "two"], way);
  }
});

Deno.test("correlate() delivers an answer that was read before the write of its request failed", async () => {
  await using pair = connectionPair({
    framing,
    highWaterMark: 1,
    bufferSize: 10,
  });
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const client = correlate(pair.near, { ...answers, onMessage: () => gate });
  const request = client.request(asking("longer than the buffer"));
  await until(() => pair.nearTransport.isWriting);
  pair.far.send({ method: "push" });
  await pair.far.send({ id: 1, result: "soon" });
  await pair.far.flush();
  pair.farTransport.reset();
  await assertRejects(() => pair.near.closed);
  open();
  assertEquals((await request).result, "soon");
});

Deno.test("correlate() leaves no rejection unhandled", async () => {
  const reasons = await unhandledRejectionsIn(async () => {
    await using pair = connectionPair({ framing });
    const client = correlate(pair.near, {
      ...answers,
      onMessage: () => Promise.reject(new Error("Wrong")),
    });
    client.request(asking("ask"));
    client.request(asking("ask"), { id: 1 });
    client.request(asking("x".repeat(2000)));
    client.request(asking("ask"), { signal: AbortSignal.abort() });
    const controller = new AbortController();
    client.request(asking("ask"), { signal: controller.signal });
    controller.abort();
    await pair.far.send({ method: "push" });
    await pair.near.closed.catch(() => {});
    client.request(asking("late"));
  });
  assertEquals(reasons, []);
});

Deno.test("correlate() continues in another framing between two messages", async () => {
  await using pair = connectionPair({ framing: lines() });
  const shouted = mapped(lines(), {
    decode: (line) => line.toUpperCase(),
    encode: (line: string) => line,
  });
  const pushes: string[] = [];
  const client = correlate(pair.near, {
    id: (line) => Number(/^\d+/.exec(line)?.[0]) || undefined,
    onMessage(line) {
      pushes.push(line);
      if (line === "switch") pair.near.reframe(shouted);
    },
  });
  const answer = client.request((id) => `${id} hello`);
  await pair.far.send("push");
  await pair.far.send("switch");
  await pair.far.send("push");
  await pair.far.send("1 world");
  assertEquals(await answer, "1 WORLD");
  assertEquals(pushes, ["push", "switch", "PUSH"]);
});

Deno.test("correlate() refuses invalid functions and limits", async () => {
  await using pair = connectionPair({ framing });
  const wrong: [object | undefined, ErrorConstructor, string][] = [
    [undefined, TypeError, "id must be a function"],
    [{}, TypeError, "id must be a function"],
    [{ ...answers, onMessage: 1 }, TypeError, "onMessage must be a function"],
    [{ ...answers, nextId: "a" }, TypeError, "nextId must be a function"],
    [{ ...answers, maxId: 0 }, RangeError, "maxId must be a whole number"],
    [
      { ...answers, maxId: 10, nextId: () => 1 },
      TypeError,
      "both maxId and nextId",
    ],
  ];
  for (const [options, errorClass, message] of wrong) {
    assertThrows(
      () => correlate(pair.near, options as CorrelateOptions<Message>),
      errorClass,
      message,
    );
  }
});

Deno.test("correlate() refuses what is not a connection", () => {
  const likeOne = {
    closed: Promise.resolve(),
    async *[Symbol.asyncIterator]() {},
  };
  for (const wrong of [undefined, {}, likeOne]) {
    assertThrows(
      () => correlate(wrong as unknown as Connection<Message>, answers),
      TypeError,
      "Cannot correlate requests as connection must be a Connection",
    );
  }
});

Deno.test("Correlation.request() rejects an invalid id or signal, and sends nothing", async () => {
  await using pair = connectionPair({ framing });
  const { request } = correlate(pair.near, answers);
  const wrongs: object[] = [{ id: "1" }, { id: true }, { signal: 5 }];
  for (const options of wrongs) {
    await assertRejects(() => request(asking("a"), options), Error, "must be");
  }
  assertEquals(pair.near.stats().messagesSent, 0);
});

Deno.test("correlate() forgets the oldest of many aborted requests", async () => {
  await using pair = connectionPair({ framing, highWaterMark: 1e9 });
  const client = correlate(pair.near, answers);
  const controller = new AbortController();
  const { signal } = controller;
  const requests = Promise.allSettled(
    Array.from(
      { length: 65_537 },
      () => client.request(asking(""), { signal }),
    ),
  );
  controller.abort();
  await requests;
  // The first is forgotten, the second is not.
  const first = client.request(asking("first"), { id: 1 });
  first.catch(() => {});
  await assertRejects(
    () => client.request(asking("second"), { id: 2 }),
    RangeError,
  );
});

/** The milliseconds that `count` pending requests take, answered from last to first. */
async function timeOf(count: number): Promise<number> {
  await using pair = connectionPair({
    framing: lines(),
    bufferSize: 1024 * 1024,
  });
  const client = correlate(pair.near, { id: Number, maxId: count });
  const { signal } = new AbortController();
  const start = performance.now();
  const requests = Array.from(
    { length: count },
    () => client.request(String, { signal }),
  );
  for (let received = 0; received < count; received++) {
    await pair.far.receive();
  }
  assertEquals(client.outstanding, count);
  for (let id = count; id > 0; id--) await pair.far.send(`${id}`);
  await Promise.all(requests);
  return performance.now() - start;
}

Deno.test("correlate() takes linear time for 100,000 pending requests", async () => {
  await timeOf(2000); // warms the code up
  const failures: string[] = [];
  const end = performance.now() + 20_000;
  while (failures.length < 3 || performance.now() < end) {
    const one = Math.min(await timeOf(12_500), await timeOf(12_500));
    const eight = await timeOf(100_000);
    // Quadratic work would take 64 times as long. Other processes may disturb a
    // measurement.
    if (eight <= 30 * one) return;
    failures.push(`12,500 took ${one} ms, 100,000 took ${eight} ms`);
  }
  throw new Error(failures.join("; "));
});

Deno.test("correlate() works over sockets", async () => {
  const [near, far] = await sockets();
  await using client = new Connection(near, { framing });
  await using server = new Connection(far, { framing });
  const pushes: unknown[] = [];
  const { request, ended } = correlate(client, {
    ...answers,
    onMessage: ({ method }) => void pushes.push(method),
  });
  const answering = (async () => {
    let waiting: Message[] = [];
    for await (const message of server) {
      waiting.push(message);
      if (waiting.length < 100) continue;
      await server.send({ method: "a hundred" });
      for (const { id, method } of waiting.reverse()) {
        await server.send({ id, result: method });
      }
      waiting = [];
    }
    await server.close();
  })();
  const methods = Array.from({ length: 1000 }, (_, i) => `method ${i}`);
  const results = await Promise.all(
    methods.map((method) => request(asking(method))),
  );
  assertEquals(results.map(({ result }) => result), methods);
  assertEquals(pushes.length, 10);
  await client.closeWrite();
  await Promise.all([answering, ended]);
  await client.closed;
  assertInstanceOf(
    await request(asking("late")).catch((error) => error),
    Error,
  );
});

const inOrder = { isAnswer: (line: string) => !line.startsWith("*") };

Deno.test("correlate() in order gives each request its answer, and other messages to onMessage", async () => {
  await using pair = connectionPair({ framing: lines() });
  const pushes: string[] = [];
  const client = correlate(pair.near, {
    ...inOrder,
    onMessage: (line) => void pushes.push(line),
  });
  const answers = ["a", "b", "c"].map((line) => client.request(line));
  assertEquals(client.outstanding, 3);
  for (const line of ["*1", "A", "B", "*2", "C", "D", "*3"]) {
    await pair.far.send(line);
  }
  assertEquals(await Promise.all(answers), ["A", "B", "C"]);
  await until(() => pushes.length === 3);
  assertEquals(pushes, ["*1", "*2", "*3"]);
  assertEquals([client.outstanding, client.unmatched], [0, 1]);
  const later = client.request("e");
  await pair.far.send("E");
  assertEquals(await later, "E");
});

Deno.test("correlate() in order expects no answer to an unsent request, and drops the answer to an aborted one", async () => {
  await using pair = connectionPair({ framing: lines() });
  const { request } = correlate(pair.near, inOrder);
  const controller = new AbortController();
  const { signal } = controller;
  const first = request("a");
  const refused = request("no\nline");
  const givenUp = request("b", { signal });
  await assertRejects(() => refused, TypeError);
  const last = request("c");
  controller.abort(new Error("No patience"));
  await assertRejects(() => givenUp, Error, "No patience");
  await assertRejects(() => request("d", { signal }), Error, "No patience");
  for (const line of ["A", "B", "C"]) await pair.far.send(line);
  assertEquals([await first, await last], ["A", "C"]);
  assertEquals(pair.near.stats().messagesSent, 3);
});

Deno.test("correlate() expects no answer to a request that was refused and aborted in one turn", async () => {
  await using pair = connectionPair({ framing: lines() });
  const { request } = correlate(pair.near, inOrder);
  const controller = new AbortController();
  const refused = request("no\nline", { signal: controller.signal });
  controller.abort(new Error("No patience"));
  const next = request("a");
  await assertRejects(() => refused, Error, "No patience");
  await pair.far.send("A");
  assertEquals(await next, "A");
});

Deno.test("correlate() frees the id of a request that was refused and aborted in one turn", async () => {
  await using pair = connectionPair({ framing: lines() });
  const { request } = correlate(pair.near, { id: Number, maxId: 1 });
  const controller = new AbortController();
  const refused = request(() => "no\nline", { signal: controller.signal });
  controller.abort(new Error("No patience"));
  await assertRejects(() => refused, Error, "No patience");
  const next = request(String);
  await pair.far.send("1");
  assertEquals(await next, "1");
});

Deno.test("correlate() in order rejects pending requests at the end", async () => {
  await using pair = connectionPair({ framing: lines() });
  const client = correlate(pair.near, inOrder);
  const answer = client.request("a");
  await pair.far.close();
  await rejectsAsEnded(() => answer);
  await rejectsAsEnded(() => client.request("b"));
  await client.ended;

  await using other = connectionPair({ framing: lines() });
  const failing = correlate(other.near, {
    isAnswer: () => {
      throw new Error("Not an answer of mine");
    },
  });
  const lost = failing.request("a");
  await other.far.send("A");
  await assertRejects(() => lost, Error, "of mine");
  await assertRejects(() => failing.ended, Error, "of mine");
});

Deno.test("correlate() refuses ids together with an order", async () => {
  await using pair = connectionPair({ framing: lines() });
  const wrongs = [
    { isAnswer: true },
    { isAnswer: () => true, id: () => 1 },
    { isAnswer: () => true, onMessage: 1 },
  ];
  for (const options of wrongs) {
    assertThrows(() => correlate(pair.near, options as never), TypeError);
  }
});

Deno.test("correlate() takes undefined as an option that is left out", async () => {
  await using pair = connectionPair({ framing: lines() });
  const byId = { id: Number, isAnswer: undefined };
  const answer = correlate(pair.near, byId).request(String);
  await pair.far.send("1");
  assertEquals(await answer, "1");

  await using other = connectionPair({ framing: lines() });
  const inOrder = { isAnswer: () => true, id: undefined };
  const next = correlate(other.near, inOrder).request("question");
  await other.far.send("answer");
  assertEquals(await next, "answer");
});

Deno.test("correlate() takes options from an instance of a class", async () => {
  class Options {
    readonly #pushes: string[] = [];
    get pushes(): readonly string[] {
      return this.#pushes;
    }
    isAnswer(line: string): boolean {
      return this.#pushes.length > 0 || line !== "push";
    }
    onMessage(line: string): void {
      this.#pushes.push(line);
    }
  }
  await using pair = connectionPair({ framing: lines() });
  const options = new Options();
  const answer = correlate(pair.near, options).request("question");
  for (const line of ["push", "answer"]) await pair.far.send(line);
  assertEquals(await answer, "answer");
  assertEquals(options.pushes, ["push"]);
});

Deno.test("correlate() aborts the connection if id or isAnswer is async", async () => {
  const late = () => Promise.reject(new Error("no unhandled rejection"));
  const functions: CorrelateOptions<string>[] = [
    { id: late as never }, // every request would stay pending
    { isAnswer: late } as never, // every push would be taken as an answer
  ];
  for (const options of functions) {
    await using pair = connectionPair({ framing: lines() });
    const { request, ended } = correlate(pair.near, options);
    const answer = request("question", { id: 1 });
    await pair.far.send("answer");
    const error = await assertRejects(() => answer, TypeError, "async");
    assertStrictEquals(await ended.catch((error) => error), error);
    assertStrictEquals(await pair.near.closed.catch((error) => error), error);
  }
});

Deno.test("Correlation.request() rejects an async message function", async () => {
  await using pair = connectionPair<unknown, unknown>({
    framing: asJson(lengthPrefixed()),
  });
  const correlation = correlate(pair.near, { id: () => undefined });
  const make = () => Promise.reject(new Error("no unhandled rejection"));
  // JSON would send the promise as {}, and the request would wait for an answer.
  await assertRejects(() => correlation.request(make), TypeError, "async");
  assertEquals(correlation.outstanding, 0);
});

Deno.test("Correlation.request() rejects the ids of an async nextId", async () => {
  await using pair = connectionPair({ framing: lines() });
  const { request, outstanding } = correlate<string, string, string>(
    pair.near,
    {
      id: (line) => line,
      nextId: (() => Promise.resolve("id")) as never,
    },
  );
  await assertRejects(() => request((id) => id), TypeError, "nextId");
  assertEquals(outstanding, 0);
});

Deno.test("correlate() does not treat a message whose id is NaN as an answer", async () => {
  await using pair = connectionPair({ framing: lines() });
  const pushes: string[] = [];
  const { request } = correlate(pair.near, {
    id: (line) => Number.parseInt(line),
    onMessage: (line) => void pushes.push(line),
  });
  const answer = request((id) => `${id} hello?`);
  await pair.far.send("news");
  await pair.far.send("1 hello");
  assertEquals(await answer, "1 hello");
  assertEquals(pushes, ["news"]);
});

Deno.test("correlate() gives no message that came before TLS to a request made after startTls()", async () => {
  await using pair = connectionPair({ framing: lines() });
  const { request } = correlate(pair.near, { isAnswer: () => true });
  const asked = request("STARTTLS");
  await pair.farTransport.write(new TextEncoder().encode("go\nforged\n"));
  assertEquals(await asked, "go");
  const securing = pair.near.startTls({ serverName: "localhost" });
  const answer = request("secret");
  await assertRejects(() => securing, DOMException, "not encrypted");
  await assertRejects(() => answer, DOMException, "not encrypted");
});

Deno.test("correlate() gives the first message after TLS, which comes with the end of the handshake", async () => {
  for (const open of [sockets, () => Promise.resolve(transportPair())]) {
    const [near, far] = await open();
    await using client = new Connection(near, { framing: lines() });
    await using server = new Connection(far, { framing: lines() });
    const pushed = Promise.withResolvers<string>();
    const { request } = correlate(client, {
      isAnswer: (line) => line !== "welcome",
      onMessage: pushed.resolve,
    });
    const asked = request("STARTTLS");
    await server.receive();
    await server.send("go");
    await asked;
    const secured = server.startTls({ side: "server", ...certificate });
    server.send("welcome");
    const answer = Promise.all([
      client.startTls({ serverName: "localhost", caCerts }),
      request("secret"),
    ]);
    await secured;
    assertEquals(await pushed.promise, "welcome");
    await server.send(`${await server.receive()}!`);
    assertEquals((await answer)[1], "secret!");
  }
});
