/**
 * Loads on a server in its own process: many connections, storms, a lack of
 * descriptors, and a slow reader. Linux only: descriptors and memory are read from
 * `/proc`.
 */
import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect } from "../../client/connect.ts";
import type { Connection } from "../../connection/connection.ts";
import { lines } from "../../framing.ts";
import { caCerts } from "../testdata/certificates.ts";
import { ServerProcess } from "./load_process.ts";
import type { LoadServerAddress, LoadServerState } from "./load_state.ts";

const framing = lines({ maxLength: 2 * 1024 * 1024 });
const CONNECTING = 100;
// How long a server may take to close connections that its peers have closed.
const REST_MS = 10_000;

/** The results of requests. */
export interface Tally {
  asked: number;
  answered: number;
  /** Answers to another request. */
  wrong: number;
  /** Requests that were neither answered nor failed. */
  unsettled: number;
  /** The errors of requests, with their counts. */
  readonly failures: Map<string, number>;
}

/** The results of a load, and the server's state before and after it. */
export interface LoadResult {
  readonly tally: Tally;
  readonly before: LoadServerState;
  readonly after: LoadServerState;
}

/** A client of the server under load. */
export type Client = Connection<string, string>;

/** The server under load. */
export class LoadedServer implements AsyncDisposable {
  readonly #process: ServerProcess;
  readonly address: LoadServerAddress;

  private constructor(process: ServerProcess, address: LoadServerAddress) {
    this.#process = process;
    this.address = address;
  }

  static async start(maxDescriptors?: number): Promise<LoadedServer> {
    const { process, line } = await ServerProcess.start(
      "load_server.ts",
      maxDescriptors === undefined ? {} : { maxDescriptors },
    );
    return new LoadedServer(process, JSON.parse(line));
  }

  async state(): Promise<LoadServerState> {
    return JSON.parse(await this.#process.ask("state"));
  }

  /** Its state before the load, after one-time allocations. */
  async firstState(): Promise<LoadServerState> {
    const { descriptors } = await this.state();
    for (const open of [connectTcp, connectTls, connectUnix]) {
      await using client = await open(this.address);
      await client.request("echo first");
    }
    return await this.rest(descriptors);
  }

  /** Its state when it has closed all connections, or had time to. */
  lastState(before: LoadServerState): Promise<LoadServerState> {
    return this.rest(before.descriptors);
  }

  /**
   * Waits until no connection is left and at most `descriptors` are open, or for some
   * seconds.
   */
  async rest(descriptors: number): Promise<LoadServerState> {
    const deadline = Date.now() + REST_MS;
    for (;;) {
      const state = await this.state();
      const isAtRest = state.connections === 0 &&
        state.descriptors <= descriptors;
      if (isAtRest || Date.now() > deadline) return state;
      await delay(20);
    }
  }

  connect(): Promise<Client> {
    return connectTcp(this.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** An empty tally. */
export function newTally(): Tally {
  return { asked: 0, answered: 0, wrong: 0, unsettled: 0, failures: new Map() };
}

/** Sends one request, and counts its result. */
export async function ask(
  client: Client,
  question: string,
  tally: Tally,
): Promise<void> {
  await counted(tally, async () => {
    if (await client.request(question) !== question) tally.wrong++;
  });
}

/** Counts a request that `run` makes. */
export async function counted(
  tally: Tally,
  run: () => Promise<void>,
): Promise<void> {
  tally.asked++;
  tally.unsettled++;
  try {
    await run();
    tally.answered++;
  } catch (error) {
    const key = `${error}`;
    tally.failures.set(key, (tally.failures.get(key) ?? 0) + 1);
  }
  tally.unsettled--;
}

/** Calls `work` for each number below `count`, `concurrency` at a time. */
async function forEach(
  count: number,
  atOnce: number,
  work: (number: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(atOnce, count) }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

/** Waits for `work`, or so long that it will never settle. */
export async function withinMinutes(
  minutes: number,
  work: Promise<void>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, minutes * 60_000);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}

/** Concurrent connections, with messages on all of them. */
export async function openMany(
  { connections, rounds }: { connections: number; rounds: number },
): Promise<LoadResult & { readonly during: LoadServerState }> {
  await using server = await LoadedServer.start();
  const tally = newTally();
  const before = await server.firstState();
  const clients: Client[] = [];
  const work = async () => {
    await forEach(connections, CONNECTING, async () => {
      clients.push(await server.connect());
    });
    for (let round = 0; round < rounds; round++) {
      // All concurrently, and not one after the other.
      await Promise.all(
        clients.map((client, i) => ask(client, `echo ${i} ${round}`, tally)),
      );
    }
  };
  await withinMinutes(5, work());
  const during = await server.state();
  await Promise.all(clients.map((client) => client.close()));
  return { tally, before, during, after: await server.lastState(before) };
}

/** Who closes a connection first, and keeps its TIME_WAIT. */
export type Closer = "client" | "server";

/** Connections with one request each, as fast as possible. */
export async function storm(
  { connections, closer }: { connections: number; closer: Closer },
): Promise<LoadResult & { readonly milliseconds: number }> {
  await using server = await LoadedServer.start();
  const run = (count: number, tally: Tally) =>
    withinMinutes(
      5,
      forEach(count, CONNECTING, (number) =>
        counted(tally, async () => {
          const client = await server.connect();
          try {
            const word = closer === "client" ? "echo" : "last";
            const question = `${word} ${number}`;
            if (await client.request(question) !== question) tally.wrong++;
            if (closer === "server") {
              assertEquals(await client.receive(), undefined);
            }
          } finally {
            await client.close();
          }
        })),
    );
  const { descriptors } = await server.firstState();
  // The first storm makes one-time allocations: code, pools, a larger heap.
  await run(Math.ceil(connections / 5), newTally());
  const before = await server.rest(descriptors);
  const tally = newTally();
  const start = performance.now();
  await run(connections, tally);
  const milliseconds = performance.now() - start;
  return { tally, before, after: await server.lastState(before), milliseconds };
}

/** More clients than the server has descriptors: each waits for its turn. */
export async function runOutOfDescriptors(
  { maxDescriptors, connections }: {
    maxDescriptors: number;
    connections: number;
  },
): Promise<LoadResult> {
  await using server = await LoadedServer.start(maxDescriptors);
  const tally = newTally();
  const before = await server.firstState();
  await withinMinutes(
    2,
    forEach(connections, connections, async (number) => {
      await using client = await server.connect();
      await ask(client, `echo ${number}`, tally);
      // It keeps its descriptor for a moment, so that others have to wait.
      await delay(50);
    }),
  );
  const after = await server.lastState(before);
  return { tally, before, after };
}

/** Rounds of fast readers, in milliseconds, without and with a slow one. */
export interface Interleaved extends LoadResult {
  readonly without: number[];
  readonly beside: number[];
  /** Messages not sent to the slow reader, because it had too much queued. */
  readonly leftOut: number;
}

/** How long the slow reader takes for 64 KiB. */
const SLOW_READ_MS = 100;

/**
 * Fast readers, each with a request and a published message in each round. Every other
 * block of rounds has a slow reader, which the server sends more than it reads.
 */
export async function readSlowly(
  { fast, blocks, rounds }: { fast: number; blocks: number; rounds: number },
): Promise<Interleaved> {
  await using server = await LoadedServer.start();
  const tally = newTally();
  const before = await server.firstState();
  const clients: Client[] = [];
  await forEach(fast, CONNECTING, async () => {
    clients.push(await server.connect());
  });
  await Promise.all(
    clients.map((each, i) => ask(each, `subscribe ${i}`, tally)),
  );
  const publisher = await server.connect();
  let number = 0;
  const round = async () => {
    const start = performance.now();
    const notice = `publish ${number++}`;
    await Promise.all(
      clients.map((each, i) => ask(each, `echo ${i} ${number}`, tally)),
    );
    publisher.send(notice);
    await Promise.all(
      clients.map((each) =>
        counted(tally, async () => {
          if (await each.receive() !== notice) tally.wrong++;
        })
      ),
    );
    return performance.now() - start;
  };
  const without: number[] = [];
  const beside: number[] = [];
  const work = async () => {
    for (let i = 0; i < 3; i++) await round(); // warms up
    for (let block = 0; block < blocks; block++) {
      for (let i = 0; i < rounds; i++) without.push(await round());
      const slow = await startSlowReader(server);
      for (let i = 0; i < rounds; i++) beside.push(await round());
      await slow.stop();
    }
  };
  await withinMinutes(5, work());
  const { leftOut } = await server.state();
  await Promise.all([publisher, ...clients].map((client) => client.close()));
  const after = await server.lastState(before);
  return { tally, before, after, without, beside, leftOut };
}

/**
 * Starts a reader that reads 64 KiB now and then, and waits until the server has to
 * wait for it.
 */
async function startSlowReader(
  server: LoadedServer,
): Promise<{ stop(): Promise<void> }> {
  const client = await server.connect();
  await client.request("subscribe slow");
  client.send("flood");
  let isStopped = false;
  while ((await server.state()).blockedTime === 0) await delay(10);
  const reading = (async () => {
    while (!isStopped) {
      await delay(SLOW_READ_MS);
      await client.receive();
    }
  })();
  return {
    async stop() {
      isStopped = true;
      await reading;
      client.abort();
      await client.closed.catch(() => {});
    },
  };
}

/** Connects over TCP. */
export function connectTcp({ port }: LoadServerAddress): Promise<Client> {
  return connect({ port, framing });
}

/** Connects over TLS. */
export function connectTls({ tlsPort }: LoadServerAddress): Promise<Client> {
  return connect({ port: tlsPort, tls: { caCerts }, framing });
}

/** Connects over a Unix socket. */
export function connectUnix({ path }: LoadServerAddress): Promise<Client> {
  return connect({ path, framing });
}
