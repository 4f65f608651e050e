import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Address,
  lines,
  serve,
  type ServeListenerOptions,
  type Transport,
} from "@framed/tcp";
import { notePoll } from "../../connection/_testing.ts";
import { VirtualClock } from "./clock.ts";
import { Network } from "./network.ts";
import { scenarioOf } from "./scenarios.ts";
import { newServiceTally, runService, runServiceSeed } from "./service.ts";

// Takes about a second.
const SEEDS = 40;

Deno.test("servers, slow handlers, broadcasts and reconnecting clients keep their guarantees in virtual time", async () => {
  const tally = newServiceTally();
  for (let seed = 1; seed <= SEEDS; seed++) await runServiceSeed(seed, tally);
  assertEquals(tally.runs, SEEDS);
  assert(tally.answers > SEEDS && tally.news > SEEDS);
});

Deno.test("a seed repeats the run of a server and its clients exactly", async () => {
  async function traceOf(seed: number): Promise<string[]> {
    const tally = newServiceTally();
    await runService(scenarioOf(seed), tally);
    return tally.trace;
  }

  for (let seed = 1; seed <= 10; seed++) {
    assertEquals(await traceOf(seed), await traceOf(seed));
  }
});

Deno.test("a client that closed loses its place after two minutes if its handler hangs", async () => {
  for (const limit of ["maxConnections", "maxConnectionsPerAddress"]) {
    assertEquals(await endOfHungHandler({ [limit]: 1 }, 119_000), undefined);
    const end = await endOfHungHandler({ [limit]: 1 }, 150_000);
    assertStringIncludes(`${end}`, "within halfClosedTimeout of 120000 ms");
    const options = { [limit]: 1, halfClosedTimeout: 200_000 };
    assertEquals(await endOfHungHandler(options, 150_000), undefined);
  }
  assertEquals(await endOfHungHandler({}, 1_000_000), undefined);
});

Deno.test("a handler that receives bytes in pieces keeps the connection of a client that has half-closed", async () => {
  notePoll();
  using clock = new VirtualClock();
  const network = new Network(1024);
  const received = Promise.withResolvers<void>();
  await using _server = serve({
    maxConnections: 1,
    framing: lines(),
    listener: network.listener,
    onError: received.reject,
  }, async (connection) => {
    for (let i = 0; i < 4; i++) {
      await Array.fromAsync(connection.receiveStream(1));
      await clock.advance(100_000);
    }
    await connection.send("all");
    received.resolve();
  });
  const client = await network.dial();
  await client.write(new TextEncoder().encode("body"));
  await client.closeWrite();
  await clock.advance(0);
  await received.promise;
  client.close();
});

Deno.test("a client that has half-closed may read its answer as slowly as sendTimeout allows", async () => {
  notePoll();
  using clock = new VirtualClock();
  const network = new Network(1024);
  const answer = `${"x".repeat(100_000)}\n`;
  const log: unknown[] = [];
  await using _server = serve({
    maxConnections: 1,
    framing: lines(),
    listener: network.listener,
    onError: (error) => void log.push(error),
  }, (connection) => connection.send(answer.trimEnd()));
  const client = await network.dial();
  await client.closeWrite();
  await clock.advance(500_000);
  const reading = takeAll(client);
  await clock.advance(1000);
  assertEquals(await reading, answer);
  client.close();
  assertEquals(log, []);
});

async function takeAll(transport: Transport): Promise<string> {
  const buffer = new Uint8Array(1024);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const length = await transport.read(buffer);
    if (length === null) return text;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

/**
 * Returns the error that ends a connection whose client has closed, or `undefined` if
 * it is still open after `time`.
 */
async function endOfHungHandler(
  options: Partial<ServeListenerOptions<string, string, Address>>,
  milliseconds: number,
): Promise<unknown> {
  notePoll();
  using clock = new VirtualClock();
  const network = new Network(1024);
  const work = Promise.withResolvers<void>();
  let end: unknown;
  await using _server = serve({
    ...options,
    framing: lines(),
    listener: network.listener,
  }, (connection) => {
    connection.closed.catch((error) => end = error);
    return work.promise;
  });
  const client = await network.dial();
  client.close();
  await clock.advance(milliseconds);
  work.resolve();
  return end;
}
