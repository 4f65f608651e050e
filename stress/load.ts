/**
 * Loads on a server in a process of its own: many connections, storms, a lack of
 * descriptors, a slow reader, and a long mixed run. Linux only: descriptors and
 * memory are read from `/proc`.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { assert, assertEquals } from "@std/assert";
import { connect } from "../client.ts";
import type { Connection } from "../connection.ts";
import { lines } from "../framing.ts";
import { caCerts } from "../testdata/certificates.ts";
import { ServerProcess } from "./load_process.ts";
import type { LoadServerAddress, LoadServerState } from "./load_state.ts";
import type { ReportRow } from "./report_row.ts";

const framing = lines({ maxLength: 2 * 1024 * 1024 });
const CONNECTING = 100;
// How long a server may take to close what its peers have closed.
const REST_MS = 10_000;
// Beside its connections a process holds some files, and those that are closing.
const SPARE_DESCRIPTORS = 500;

/** What became of requests. */
export interface Tally {
  asked: number;
  answered: number;
  /** Answers to another question. */
  wrong: number;
  /** Requests that neither were answered nor failed. */
  unsettled: number;
  /** Why requests failed, and how often. */
  readonly failures: Map<string, number>;
}

/** What a load did, and the server's state around it. */
export interface LoadResult {
  readonly tally: Tally;
  readonly before: LoadServerState;
  readonly after: LoadServerState;
}

type Client = Connection<string, string>;

class LoadedServer implements AsyncDisposable {
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

  /** Its state before the load, all that is made once being made. */
  async firstState(): Promise<LoadServerState> {
    const { descriptors } = await this.state();
    for (const open of [connectTcp, connectTls, connectUnix]) {
      await using client = await open(this.address);
      await client.request("echo first");
    }
    return await this.rest(descriptors);
  }

  /** Its state when it has closed all connections, or has had the time to. */
  lastState(before: LoadServerState): Promise<LoadServerState> {
    return this.rest(before.descriptors);
  }

  /** Waits until no connection is left, and no more than `descriptors`, or for some seconds. */
  async rest(descriptors: number): Promise<LoadServerState> {
    const deadline = Date.now() + REST_MS;
    for (;;) {
      const state = await this.state();
      const isAtRest = state.connections === 0 &&
        state.descriptors <= descriptors;
      if (isAtRest || Date.now() > deadline) return state;
      await pause(20);
    }
  }

  connect(): Promise<Client> {
    return connectTcp(this.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

function newTally(): Tally {
  return { asked: 0, answered: 0, wrong: 0, unsettled: 0, failures: new Map() };
}

/** Asks once, and counts what becomes of it. */
async function ask(
  client: Client,
  question: string,
  tally: Tally,
): Promise<void> {
  await counted(tally, async () => {
    if (await client.request(question) !== question) tally.wrong++;
  });
}

/** Counts a request that `run` makes. */
async function counted(tally: Tally, run: () => Promise<void>): Promise<void> {
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

/** Does `work` for each number below `count`, so many at once. */
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

/** Waits for `work`, or for so long that it will never settle. */
async function withinMinutes(
  minutes: number,
  work: Promise<void>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, minutes * 60_000);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}

/** Connections that are open at once, with messages on all of them. */
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
      // All at once, and not one after the other.
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

/** Connections with one request each, as fast as it goes. */
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
  // What a first storm leaves behind is there once: code, pools, a grown heap.
  await run(Math.ceil(connections / 5), newTally());
  const before = await server.rest(descriptors);
  const tally = newTally();
  const start = performance.now();
  await run(connections, tally);
  const milliseconds = performance.now() - start;
  return { tally, before, after: await server.lastState(before), milliseconds };
}

/** More clients than the server has descriptors for: each waits for its turn. */
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
      // It holds its descriptor a little, so that others have to wait.
      await pause(50);
    }),
  );
  const after = await server.lastState(before);
  return { tally, before, after };
}

/** Rounds of fast readers, in milliseconds, without and with a slow one. */
export interface Interleaved extends LoadResult {
  readonly without: number[];
  readonly beside: number[];
  /** Messages that the slow one was not sent, as it had too much queued. */
  readonly leftOut: number;
}

/** How long the slow reader takes over 64 KiB. */
const SLOW_READ_MS = 100;

/**
 * Fast readers, each with a request and a published message in each round; and, in
 * every other block of rounds, a slow one, which the server wants to send more
 * than it takes.
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
    for (let i = 0; i < 3; i++) await round(); // which warms up
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

/** Starts a reader that takes 64 KiB now and then; waits until the server has to wait for it. */
async function startSlowReader(
  server: LoadedServer,
): Promise<{ stop(): Promise<void> }> {
  const client = await server.connect();
  await client.request("subscribe slow");
  client.send("flood");
  let isStopped = false;
  while ((await server.state()).blockedTime === 0) await pause(10);
  const reading = (async () => {
    while (!isStopped) {
      await pause(SLOW_READ_MS);
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

/** A look at both processes while they work. */
export interface Sample {
  readonly seconds: number;
  readonly operations: number;
  /** Bytes of objects and buffers in the server and here, after a collection. */
  readonly heap: number;
  readonly ownHeap: number;
  readonly resident: number;
}

/** All kinds of work, in turn, with pauses; some of it ends badly. */
export async function soak(
  { seconds, sampleSeconds }: { seconds: number; sampleSeconds: number },
): Promise<LoadResult & { readonly samples: Sample[] }> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  await using server = await LoadedServer.start();
  const { descriptors } = await server.firstState();
  // The runtime keeps a pair of sockets from the first errors on.
  const first = await Mixture.start(server, newTally());
  await first.round();
  await first.stop();
  const before = await server.rest(descriptors + 2);
  const tally = newTally();
  const mixture = await Mixture.start(server, tally);
  const samples: Sample[] = [];
  const start = performance.now();
  const secondsSoFar = () => (performance.now() - start) / 1000;
  let nextSample = 0;
  do {
    const begun = performance.now();
    await withinMinutes(1, mixture.round());
    if (secondsSoFar() >= nextSample) {
      nextSample += sampleSeconds;
      const { heap, resident } = await server.state();
      collect();
      const { heapUsed, external } = Deno.memoryUsage();
      samples.push({
        seconds: secondsSoFar(),
        operations: tally.asked,
        heap,
        ownHeap: heapUsed + external,
        resident,
      });
    }
    // About a third of one processor.
    await pause(2 * (performance.now() - begun));
  } while (secondsSoFar() < seconds && tally.unsettled === 0);
  await mixture.stop();
  return { tally, before, after: await server.lastState(before), samples };
}

const LARGE = "x".repeat(1024 * 1024);

/** Clients of all kinds. */
class Mixture {
  readonly #server: LoadedServer;
  readonly #tally: Tally;
  // These stay for the whole run, over TCP, TLS and a Unix socket.
  readonly #lasting: Client[];
  readonly #subscribers: Client[];
  #rounds = 0;

  private constructor(
    server: LoadedServer,
    tally: Tally,
    lasting: Client[],
    subscribers: Client[],
  ) {
    this.#server = server;
    this.#tally = tally;
    this.#lasting = lasting;
    this.#subscribers = subscribers;
  }

  static async start(server: LoadedServer, tally: Tally): Promise<Mixture> {
    const connectAll = (count: number, open: () => Promise<Client>) =>
      Promise.all(Array.from({ length: count }, open));
    const lasting = [
      ...await connectAll(20, () => server.connect()),
      ...await connectAll(5, () => connectTls(server.address)),
      ...await connectAll(5, () => connectUnix(server.address)),
    ];
    const subscribers = await connectAll(20, () => server.connect());
    await Promise.all(
      subscribers.map((each, i) => ask(each, `subscribe ${i}`, tally)),
    );
    return new Mixture(server, tally, lasting, subscribers);
  }

  async round(): Promise<void> {
    this.#rounds++;
    await Promise.all([
      this.#pipeline(),
      this.#publish(),
      this.#comeAndGo(() => this.#server.connect()),
      this.#comeAndGo(() => connectTls(this.#server.address)),
      this.#comeAndGo(() => connectUnix(this.#server.address)),
      this.#halfClose(),
      this.#abortOneOfTwo(),
      this.#endBadly("half a messa"),
      this.#endBadly("fail handler\n"),
      ...this.#rounds % 20 === 0
        ? [
          ask(this.#lasting[0]!, LARGE, this.#tally),
          this.#endBadly(LARGE.repeat(3)),
        ]
        : [],
    ]);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#lasting, ...this.#subscribers].map((each) => each.close()),
    );
  }

  async #pipeline(): Promise<void> {
    await Promise.all(
      this.#lasting.flatMap((client, i) =>
        Array.from(
          { length: 10 },
          (_, j) => ask(client, `echo ${i} ${j} ${this.#rounds}`, this.#tally),
        )
      ),
    );
  }

  async #publish(): Promise<void> {
    const notice = `publish ${this.#rounds}`;
    await using publisher = await this.#server.connect();
    const received = this.#subscribers.map((each) =>
      counted(this.#tally, async () => {
        if (await each.receive() !== notice) this.#tally.wrong++;
      })
    );
    await publisher.send(notice);
    await Promise.all(received);
  }

  /** Two connections with a request each: one we end, one the server. */
  async #comeAndGo(open: () => Promise<Client>): Promise<void> {
    await Promise.all(["echo", "last"].map(async (word) => {
      await using client = await open();
      await ask(client, `${word} ${this.#rounds}`, this.#tally);
      if (word === "last") assertEquals(await client.receive(), undefined);
    }));
  }

  async #halfClose(): Promise<void> {
    await counted(this.#tally, async () => {
      await using client = await this.#server.connect();
      const sent = Array.from({ length: 20 }, (_, i) => `echo ${i}`);
      for (const line of sent) await client.send(line);
      await client.closeWrite();
      assertEquals(await Array.fromAsync(client), sent);
    });
  }

  async #abortOneOfTwo(): Promise<void> {
    await using client = await this.#server.connect();
    const controller = new AbortController();
    const aborted = client.request("echo aborted", controller);
    controller.abort();
    await aborted.catch(() => {});
    await ask(client, "echo after it", this.#tally);
  }

  /** A raw client, which the server reports as an error. */
  async #endBadly(text: string): Promise<void> {
    const { port } = this.#server.address;
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    let rest: Uint8Array = new TextEncoder().encode(text);
    try {
      while (rest.length > 0) rest = rest.subarray(await conn.write(rest));
    } catch {
      // The server has had enough.
    }
  }
}

function connectTcp({ port }: LoadServerAddress): Promise<Client> {
  return connect({ port, framing });
}

function connectTls({ tlsPort }: LoadServerAddress): Promise<Client> {
  return connect({ port: tlsPort, tls: { caCerts }, framing });
}

function connectUnix({ path }: LoadServerAddress): Promise<Client> {
  return connect({ path, framing });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  assert(middle !== undefined, "There is no median of nothing");
  return middle;
}

/** How much `value` grows a second, as the straight line that fits best. */
export function slope(
  samples: readonly Sample[],
  value: (sample: Sample) => number,
): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const time = mean(({ seconds }) => seconds);
  const level = mean(value);
  const spread = mean(({ seconds }) => (seconds - time) ** 2);
  return mean((each) => (each.seconds - time) * (value(each) - level)) / spread;
}

/** Options for {@linkcode loadRows}. */
export interface LoadRowsOptions {
  readonly seconds: number;
  readonly seed: number;
  /** How long the soak lasts. */
  readonly soakSeconds: number;
}

/** The lines of the report, at full size. */
export async function* loadRows(
  { soakSeconds }: LoadRowsOptions,
): AsyncGenerator<ReportRow> {
  const limit = await maxDescriptors();
  const connections = Math.min(10_000, limit - SPARE_DESCRIPTORS);
  {
    const load = await openMany({ connections, rounds: 5 });
    assertEquals(load.during.connections, connections);
    const each = (load.during.heap - load.before.heap) / connections;
    yield row(
      `request, ${formatted(connections)} connections open at once`,
      "none",
      load,
      `${kilobytes(each)} a connection in the heap${
        connections < 10_000
          ? `; not 10,000, as a process may hold ${limit} descriptors here`
          : ""
      }`,
    );
  }
  for (const closer of ["client", "server"] as const) {
    const load = await storm({ connections: 50_000, closer });
    const speed = load.tally.asked / load.milliseconds * 1000;
    yield row(
      `storm: connect, one request, close, 100 at once; the ${closer} closes first`,
      "none",
      load,
      `${formatted(Math.round(speed))} connections a second`,
    );
  }
  {
    const load = await runOutOfDescriptors({
      maxDescriptors: 256,
      connections: 1000,
    });
    assert(load.after.shortages > 0, "There were descriptors enough");
    yield row(
      "one request each, 1,000 connections at once",
      "the server may hold 256 descriptors",
      load,
      `${load.after.shortages} times without a descriptor`,
    );
  }
  {
    const load = await readSlowly({ fast: 1000, blocks: 10, rounds: 10 });
    const ratio = median(load.beside) / median(load.without);
    yield row(
      "request and broadcast, 1,000 fast readers",
      "a reader that takes 64 KiB each 100 ms of an endless flood, in every other block of rounds",
      load,
      `a round takes ${ratio.toFixed(2)} times as long beside it (median ${
        median(load.beside).toFixed(0)
      } ms and ${
        median(load.without).toFixed(0)
      } ms); ${load.leftOut} messages were not queued for it`,
    );
  }
  {
    const load = await soak({ seconds: soakSeconds, sampleSeconds: 5 });
    yield row(
      `mixed: requests, pipelines, broadcasts, half-closes and 1 MiB messages over TCP, TLS and Unix sockets for ${
        formatted(soakSeconds)
      } s`,
      "clients that break off within a message, handlers that throw, messages above maxLength, aborted requests",
      load,
      soakNote(load.samples),
    );
  }
}

/** How flat the memory was, its first fifth left out. */
function soakNote(samples: readonly Sample[]): string {
  const steady = samples.slice(Math.ceil(samples.length / 5));
  const last = steady.at(-1);
  if (last === undefined || steady.length < 3) return "too short for a slope";
  const perMinute = (value: (sample: Sample) => number) =>
    kilobytes(slope(steady, value) * 60);
  return `memory grows by ${
    perMinute(({ heap }) => heap)
  } a minute in the heap of the server, ${
    perMinute(({ ownHeap }) => ownHeap)
  } in that of the clients, ${
    perMinute(({ resident }) => resident)
  } in the server's process (${steady.length} samples, the first fifth left out)`;
}

function row(
  workload: string,
  fault: string,
  { tally, before, after }: LoadResult,
  note: string,
): ReportRow {
  for (const [failure, count] of tally.failures) {
    // deno-lint-ignore no-console -- a program that reports
    console.error(`${workload}: ${count} times ${failure}`);
  }
  assertEquals(
    after.descriptors,
    before.descriptors,
    `Descriptors did not come back: ${workload}`,
  );
  return {
    workload,
    fault,
    operations: tally.asked,
    lost: tally.asked - tally.answered - tally.unsettled,
    duplicated: tally.wrong,
    unsettled: tally.unsettled,
    peakMemory: after.peakResident,
    note:
      `${note}; before and after: ${before.descriptors} and ${after.descriptors} descriptors, heap ${
        megabytes(before.heap)
      } and ${megabytes(after.heap)}, process ${
        megabytes(before.resident)
      } and ${megabytes(after.resident)}`,
  };
}

/** How many descriptors a process may hold here. */
async function maxDescriptors(): Promise<number> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", "ulimit -Hn"],
  }).output();
  const limit = Number(new TextDecoder().decode(stdout));
  return Number.isNaN(limit) ? Infinity : limit; // "unlimited"
}

function formatted(number: number): string {
  return number.toLocaleString("en");
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1e3).toFixed(1)} kB`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
