/**
 * A server and its clients in virtual time: slow handlers, streamed bodies, broadcasts,
 * and clients that reconnect after partitions, resets and lost peers.
 *
 * `startTls()` is not part of it: Deno starts TLS only on its own sockets.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { notePoll } from "../../connection/_testing.ts";
import { broadcast, type Connection } from "../../connection.ts";
import { serve, type Server } from "../../server.ts";
import { VirtualClock } from "./clock.ts";
import { Network } from "./network.ts";
import { type Scenario, scenarioOf } from "./scenarios.ts";
import { checkKnown, Client, optionsOf } from "./service_client.ts";
import { failureOf, fewest } from "./shrink.ts";

/** The counts of some runs. */
export interface ServiceTally {
  /** The events of the last run, with their times. */
  trace: string[];
  runs: number;
  events: number;
  answers: number;
  news: number;
  connections: number;
  virtualMs: number;
}

/** An empty tally. */
export function newServiceTally(): ServiceTally {
  return {
    trace: [],
    runs: 0,
    events: 0,
    answers: 0,
    news: 0,
    connections: 0,
    virtualMs: 0,
  };
}

// Longer than all timeouts of a connection, several times.
const FINISH_MS = 600_000;
const SHUTDOWN_MS = 10_000;

/** Runs a scenario, and asserts that its result is allowed. */
export async function runService(
  scenario: Scenario,
  tally: ServiceTally,
): Promise<void> {
  notePoll();
  using clock = new VirtualClock();
  const trace: string[] = tally.trace = [];
  const log = (event: string) =>
    void trace.push(`${clock.now - clock.start} ms, ${event}`);
  const network = new Network(scenario.bufferSize);
  const failures: unknown[] = [];
  const receivers = new Set<Connection<string, string>>();
  const server = serve({
    ...optionsOf(scenario),
    listener: network.listener,
    maxConnections: scenario.maxConnections,
    onError: (error) => {
      log(`server: ${error}`);
      try {
        checkKnown(error);
      } catch (unknown) {
        failures.push(unknown);
      }
    },
  }, async (connection) => {
    receivers.add(connection);
    try {
      for await (const message of connection) await answer(connection, message);
    } finally {
      receivers.delete(connection);
    }
  });
  const clients = Array.from(
    { length: scenario.clients },
    (_, index) => new Client(`client${index}`, scenario, network, log),
  );
  const broadcasts: { isSettled: boolean }[] = [];
  const news = (number: number) => {
    const count = receivers.size;
    const broadcasting = { isSettled: false };
    broadcasts.push(broadcasting);
    broadcast(receivers, `news ${number}`, { slow: scenario.slow }).then(
      ({ sent, slow, ended }) => {
        broadcasting.isSettled = true;
        const told = sent + slow.length + ended.length;
        if (told !== count) failures.push(new Error(`${told} of ${count}`));
      },
      (error) => failures.push(error),
    );
  };
  try {
    for (const { kind, client: number, size } of scenario.events) {
      log(`${kind}(${number}, ${size})`);
      const client = clients[number % clients.length];
      assert(client !== undefined);
      const link = network.links.at(-1 - number % clients.length);
      if (kind === "ask") client.ask(size, false);
      else if (kind === "upload") client.ask(size, true);
      else if (kind === "broadcast") news(broadcasts.length);
      else if (kind === "sleep") await clock.advance(size * 16);
      else if (kind === "settle") await clock.settle();
      else if (kind === "partition") network.partition();
      else if (kind === "heal") network.heal();
      else if (kind === "vanish" && link !== undefined) network.cutOff(link);
      else if (kind === "reset") link?.server.reset();
      else if (kind === "kick") receivers.values().next().value?.close();
      else if (kind === "hangUp") client.connection?.abort();
      else if (kind === "failAccept") network.failAccept();
    }
    network.heal();
    for (const client of clients) client.finish();
    await runUntil(clock, () => clients.every(({ result }) => result));
    const stopped = shutDown(server);
    await runUntil(clock, () => stopped.isSettled);

    assertEquals(failures, []);
    for (const client of clients) {
      checkClient(client, scenario, broadcasts.length);
    }
    assert(stopped.isSettled, "shutdown() did not settle");
    assertEquals(server.connections.size, 0);
    const unsettled = broadcasts.filter(({ isSettled }) => !isSettled).length;
    assertEquals(unsettled, 0, "Broadcasts did not settle");
    for (const { client, server } of network.links) {
      assert(client.isClosed && server.isClosed, "A transport is open");
    }
    await clock.settle();
    assertEquals(clock.pending, 0, "Timers are left");
  } finally {
    for (const { connection } of clients) connection?.abort();
    for (const connection of server.connections) connection.abort();
    server.shutdown();
    await runUntil(clock, () => false);
    tally.virtualMs += clock.now - clock.start;
  }
  tally.runs++;
  tally.events += scenario.events.length;
  for (const { answers, sessions } of clients) {
    tally.answers += answers;
    tally.connections += sessions.length;
    for (const { news } of sessions) tally.news += news.length;
  }
}

/** Answers a message after some time. */
async function answer(
  connection: Connection<string, string>,
  message: string,
): Promise<void> {
  if (message === "beat") return;
  const [kind, id = "", length = ""] = message.split(" ");
  if (kind === "upload") {
    let got = 0;
    for await (const piece of connection.receiveStream(Number(length))) {
      got += piece.length;
      assert(piece.every((byte) => byte === 10), "Bytes that were not sent");
      await delay(1);
    }
    return await connection.send(`${id} got ${got}`);
  }
  await delay(message.length % 3 * 100);
  await connection.send(message.slice("ask ".length));
}

/** Runs until a condition holds, for some virtual minutes at most. */
async function runUntil(
  clock: VirtualClock,
  condition: () => unknown,
): Promise<void> {
  const end = clock.now + FINISH_MS;
  await clock.settle();
  while (!condition() && await clock.step(end));
}

function shutDown(server: Pick<Server, "shutdown">) {
  const state = { isSettled: false };
  server.shutdown({ timeout: SHUTDOWN_MS }).then(() => state.isSettled = true);
  return state;
}

function checkClient(
  { name, result, sessions }: Client,
  { slow }: Scenario,
  broadcasts: number,
): void {
  assert(result !== undefined, `${name} is not done`);
  if (result.status === "rejected") throw result.reason;
  for (const { asked, answered, news } of sessions) {
    // In order, each once, none missing.
    assertEquals(answered, asked.slice(0, answered.length), name);
    for (const [index, number] of news.entries()) {
      const before = news[index - 1] ?? -1;
      assert(
        number > before && number < broadcasts,
        `${name} received an old broadcast`,
      );
      const isGap = index > 0 && number !== before + 1;
      assert(
        slow === "drop" || !isGap,
        `${name} missed broadcast ${before + 1}`,
      );
    }
  }
}

/**
 * Runs the scenario of a seed; an error says how to repeat it, and gives its fewest
 * events.
 */
export async function runServiceSeed(
  seed: number,
  tally: ServiceTally,
): Promise<void> {
  const scenario = scenarioOf(seed);
  const failure = await failureOf(() => runService(scenario, tally));
  if (failure === undefined) return;
  const events = await fewest(
    scenario.events,
    (events) =>
      failureOf(() => runService({ ...scenario, events }, newServiceTally())),
  );
  throw new Error(
    `${failure.message}
Repeat it: deno task simulate --service ${seed}
Fewest events: ${
      events.map(({ kind, client, size }) => `${kind}(${client}, ${size})`)
        .join(" ")
    }`,
    { cause: failure },
  );
}
