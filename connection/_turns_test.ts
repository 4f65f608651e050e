import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect } from "../client/connect.ts";
import { delimited } from "../framing/delimited.ts";
import type { Bytes, Sendable } from "../framing/bytes.ts";
import { operationsPerTurn } from "../internal/event_loop.ts";
import { serve } from "../server/serve.ts";
import { overriding, pair, requestTimers } from "./_testing.ts";
import {
  atEndOfTurn,
  noteMoved,
  notePoll,
  type TurnTask,
  untilEndOfTurn,
  untilOthersArePolled,
  untilOthersHadTurn,
  untilSharedPoll,
} from "./_turns.ts";
import type { Connection } from "./connection.ts";

const runAtEndOfTurn = (onEndOfTurn: () => void) =>
  atEndOfTurn({ onEndOfTurn });

Deno.test("atEndOfTurn() calls back after all promise continuations", async () => {
  const calls: string[] = [];
  const ended = Promise.withResolvers<void>();
  runAtEndOfTurn(() => {
    calls.push("end of turn");
    ended.resolve();
  });
  for (let i = 0; i < 100; i++) await undefined;
  calls.push("continuation");
  queueMicrotask(() => calls.push("microtask"));
  await ended.promise;
  assertEquals(calls, ["continuation", "microtask", "end of turn"]);
});

Deno.test("atEndOfTurn() calls all callbacks in order, also those added meanwhile", async () => {
  const calls: number[] = [];
  const ended = Promise.withResolvers<void>();
  runAtEndOfTurn(() => {
    calls.push(1);
    runAtEndOfTurn(() => {
      calls.push(3);
      ended.resolve();
    });
  });
  runAtEndOfTurn(() => calls.push(2));
  await ended.promise;
  assertEquals(calls, [1, 2, 3]);
});

Deno.test("untilEndOfTurn() settles after the callbacks of the turn, and returns undefined if there are none", async () => {
  assertEquals(untilEndOfTurn(), undefined);
  const calls: string[] = [];
  runAtEndOfTurn(() => calls.push("before"));
  const ended = untilEndOfTurn()?.then(() => calls.push("settled"));
  runAtEndOfTurn(() => calls.push("after"));
  await ended;
  assertEquals(calls, ["before", "after", "settled"]);
  assertEquals(untilEndOfTurn(), undefined);
});

Deno.test("atEndOfTurn() postpones callbacks that are too many for one turn, in order", async () => {
  const count = 1000;
  const calls: number[] = [];
  const ended = Promise.withResolvers<void>();
  for (let call = 0; call < count; call++) {
    runAtEndOfTurn(() => {
      calls.push(call);
      if (calls.length === count) ended.resolve();
    });
  }
  await untilEndOfTurn();
  assert(
    calls.length <= operationsPerTurn(),
    `${calls.length} calls in one turn`,
  );
  assertEquals(untilEndOfTurn(), undefined, "A read would wait for them all.");
  await ended.promise;
  assertEquals(calls, Array.from({ length: count }, (_, call) => call));
});

const TURNS = 100;

Deno.test("untilEndOfTurn() holds a read up for one turn, though others send in every turn", async () => {
  const framing = delimited("\n");
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  await using client = await connect({ port: server.addr.port, framing });
  await client.request("1"); // the next reads have to wait

  let turns = 0;
  const others: TurnTask = {
    onEndOfTurn() {
      if (++turns >= TURNS) return;
      atEndOfTurn(others);
      // They use the time up until the sockets are polled.
      for (const milliseconds of [0, 4]) {
        work(milliseconds);
        noteMoved(MAX_BYTES_DURING_REQUEST);
        untilOthersHadTurn();
      }
    },
  };
  atEndOfTurn(others);
  await client.request("2");
  assert(turns < TURNS, "The answer came after all others had sent.");
  turns = TURNS;
});

const GREEDY_PEERS = 20;
const REQUESTS = 10;
// Without turns, 31 to 79 MB; with them, 2.6 to 6.5 MB, on a processor that moves 2 MB
// between two pauses.
const MAX_BYTES_DURING_REQUEST = 20_000_000;

const text = new TextEncoder();

Deno.test("untilOthersHadTurn() lets a request through while others are received from without end", async () => {
  await assertOthersAreServed(async (connection, moved) => {
    for await (const message of connection) {
      moved(message.length);
      if (message.length === 1) await connection.send(message);
    }
  }, text.encode(`${"x".repeat(1023)}\n`.repeat(64)));
});

Deno.test("untilOthersHadTurn() lets a request through while others are sent to without end", async () => {
  const answer = new Uint8Array(100);
  await assertOthersAreServed(async (connection, moved) => {
    for await (const message of connection) {
      do {
        moved(answer.length);
        await connection.send(answer);
      } while (message.length > 1);
    }
  }, text.encode("more and more\n"));
});

// The reads of the greedy peers have up to 400,000 messages together; with turns
// between them, some thousands are handled during a request.
const MAX_MESSAGES_DURING_REQUEST = 50_000;
const manyShort = text.encode("xx\n".repeat(20_000));

const waysOfReceiving: Record<
  string,
  (connection: Connection<Bytes, Sendable>) => AsyncIterable<Bytes>
> = {
  "a loop": (connection) => connection,
  "readable": (connection) => connection.readable,
  "receive()": (connection) => untilEnd(() => connection.receive()),
  "receive() in another framing": (connection) => {
    const framing = delimited("\n");
    return untilEnd(() => connection.receive({ framing }));
  },
  "request()": async function* (connection) {
    const first = await connection.receive();
    if (first !== undefined) yield first;
    const isGreedy = first?.length !== 1;
    yield* untilEnd(() =>
      isGreedy ? connection.request("next") : connection.receive()
    );
  },
  "receiveStream()": (connection) =>
    untilEnd(async () => {
      const [bytes] = await Array.fromAsync(connection.receiveStream(2));
      return bytes?.[0] === ONE ? bytes.subarray(0, 1) : bytes;
    }),
};
const ONE = 0x31;
const LINE_FEED = 0x0a;

for (const [way, received] of Object.entries(waysOfReceiving)) {
  Deno.test(`untilOthersArePolled() lets a request through between the messages of a read by ${way}`, async () => {
    await assertOthersAreServed(
      async (connection, handled) => {
        for await (const message of received(connection)) {
          if (message.length === 1) await connection.send(message);
          else handled(work());
        }
      },
      manyShort,
      MAX_MESSAGES_DURING_REQUEST,
    );
  });
}

Deno.test("untilOthersArePolled() lets a timer through between the messages that remain after a failed write", async () => {
  const { BrokenPipe } = Deno.errors;
  await using ends = await pair(
    { framing: delimited("\n") },
    (conn) =>
      overriding(conn, { write: () => Promise.reject(new BrokenPipe("Gone")) }),
  );
  const { connection, peer } = ends;
  const writing = peer.write(manyShort).then(() => peer.conn.closeWrite());
  connection.send("1");
  await assertRejects(() => connection.closed, BrokenPipe);
  await writing;

  let handled = 0;
  let handledBefore: number | undefined;
  setTimeout(() => handledBefore = handled, 0);
  await assertRejects(async () => {
    for await (const _message of connection) handled += work();
  }, BrokenPipe);
  assertEquals(handled, 20_000);
  assert(handledBefore !== undefined, "The timer fired after all messages.");
});

Deno.test("untilOthersArePolled() lets a timer through although the clock stands still, as with fake timers", async () => {
  using _clock = stoppedClock();
  await using ends = await pair(
    { framing: delimited("\n") },
    (conn) =>
      overriding(conn, {
        read(buffer) {
          buffer.fill(LINE_FEED);
          return Promise.resolve(buffer.length);
        },
      }),
  );
  let hasFired = false;
  setTimeout(() => hasFired = true, 0);
  let handled = 0;
  for await (const _message of ends.connection) {
    if (hasFired || ++handled === 1_000_000) break;
  }
  assert(hasFired);
});

Deno.test("untilOthersArePolled() pauses rarely while nothing else waits or is read, over any transport", async () => {
  using clock = stoppedClock();
  /** Pauses as soon as that is due, and returns how long that took. */
  async function pauseWhile(
    action?: () => Promise<unknown> | undefined,
  ): Promise<number> {
    let pause: Promise<void> | undefined;
    const start = clock.now;
    while ((pause = untilOthersArePolled()) === undefined) clock.now++;
    const milliseconds = clock.now - start;
    await Promise.all([pause, action?.()]);
    return milliseconds;
  }
  async function pauseAlone(): Promise<number> {
    for (let times = 0; times < 4; times++) await pauseWhile();
    return await pauseWhile();
  }

  const alone = await pauseAlone();
  await pauseWhile(untilOthersArePolled);
  const besideWaiting = await pauseWhile();
  assert(besideWaiting < alone / 2, `${besideWaiting} and ${alone} ms`);
  assertEquals(await pauseAlone(), alone);

  // This transport does not tell whether it is empty, as TLS does not.
  await using ends = await pair(
    {},
    (conn) => ({
      read: (buffer) => conn.read(buffer),
      write: (bytes) => conn.write(bytes),
      closeWrite: () => conn.closeWrite(),
      close: () => conn.close(),
    }),
  );
  const received = ends.connection.receive();
  await pauseWhile(() => ends.peer.write("1\n"));
  await received;
  const besideReading = await pauseWhile();
  assert(besideReading < alone / 2, `${besideReading} and ${alone} ms`);
});

Deno.test("untilOthersArePolled() pauses if the clock was set back", async () => {
  using clock = stoppedClock();
  notePoll();
  assertEquals(untilOthersArePolled(), undefined);
  clock.now -= 1000;
  const pause = untilOthersArePolled();
  assert(pause !== undefined);
  await pause;
});

/** Replaces `Date.now` until it is disposed of. */
function stoppedClock(): Disposable & { now: number } {
  const { now } = Date;
  const clock = {
    now: now(),
    [Symbol.dispose]() {
      Date.now = now;
    },
  };
  Date.now = () => clock.now;
  return clock;
}

/** The results of `receive`, until it gives none. */
async function* untilEnd(
  receive: () => Promise<Bytes | undefined>,
): AsyncGenerator<Bytes> {
  for (let message; (message = await receive()) !== undefined;) yield message;
}

/** Keeps the thread busy, by default for as long as one message may take. */
function work(milliseconds = 0.002): number {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
  return 1;
}

/** Counts what a server does for greedy peers while another peer waits for an answer. */
async function assertOthersAreServed(
  handler: (
    connection: Connection<Bytes, Sendable>,
    moved: (length: number) => void,
  ) => Promise<void>,
  demand: Uint8Array<ArrayBuffer>,
  mostDuringRequest = MAX_BYTES_DURING_REQUEST,
): Promise<void> {
  let moved = 0;
  const framing = delimited("\n");
  await using server = serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      framing,
      onError() {}, // the connections are aborted below
    },
    (connection) => handler(connection, (length) => moved += length),
  );
  const { port } = server.addr;
  await using modest = await connect({ port, framing });
  await modest.request("1");
  const greedy = await Promise.all(
    Array.from({ length: GREEDY_PEERS }, () => Deno.connect({ port })),
  );
  const working = greedy.flatMap((conn) => [
    untilClosed(() => conn.write(demand)),
    untilClosed(() => conn.read(new Uint8Array(64 * 1024))),
  ]);
  while (moved < mostDuringRequest) await modest.request("1");

  const before = moved;
  for (let count = 0; count < REQUESTS; count++) await modest.request("1");
  const duringRequest = (moved - before) / REQUESTS;

  for (const connection of server.connections) connection.abort();
  for (const conn of greedy) conn.close();
  await Promise.all(working);
  assert(
    duringRequest < mostDuringRequest,
    `${duringRequest} bytes or messages went by during a request`,
  );
}

/** Repeats `action` until the connection is closed. */
async function untilClosed(act: () => Promise<unknown>): Promise<void> {
  try {
    while (await act() !== null);
  } catch {
    // The connection is closed.
  }
}

Deno.test("untilEndOfTurn() and the other waits do not depend on the timer of a request that is over", async () => {
  using requests = requestTimers();
  const abandonAll = () => {
    runAtEndOfTurn(() => {});
    untilEndOfTurn();
    untilSharedPoll();
    useUpTurn();
    untilOthersHadTurn();
    requests.endRequest();
  };
  abandonAll();
  await untilEndOfTurn();
  await new Promise<void>(runAtEndOfTurn);
  abandonAll();
  await untilSharedPoll();
  abandonAll();
  await untilOthersHadTurn();
  assertEquals(untilEndOfTurn(), undefined);
});

/** Lets the next read or write wait for others. */
function useUpTurn(): void {
  for (let i = 0; i < 10_000; i++) {
    noteMoved(1);
    if (untilOthersHadTurn() !== undefined) return;
  }
}
