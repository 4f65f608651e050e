// deno-lint-ignore-file no-console -- it tells its parent by it
/**
 * The client at the other end of a link. It tells now and then how many messages
 * have arrived; its last line is what it has done. It ends by itself, once all of
 * its connections have.
 */
import { assertEquals } from "@std/assert";
import { connect } from "../client.ts";
import type { Connection } from "../connection.ts";
import { FrameDecoderStream, lines } from "../framing.ts";
import type { FaultFraming } from "./fault_workloads.ts";
import { median } from "./median.ts";
import {
  Arrivals,
  BROADCAST_CLIENTS,
  countOne,
  type NetemClientOptions,
  type NetemLatency,
  type NetemResult,
  runLength,
  SOURCES,
} from "./netem_workloads.ts";

type Client = Connection<unknown, unknown>;

const TELL_MS = 100;
// After the end of the time, what has not settled never will.
const NEVER_MS = 60_000;
const LATENCY_ROUNDS = 50;

const options: NetemClientOptions = JSON.parse(Deno.args[0] ?? "");
const { hostname, ports, limits } = options;
const start = performance.now();
const pending = new Set<string>();
const errors: Record<string, number> = {};
let sent = 0;
let arrived = 0;
let wrong = 0;
let runs = 0;
let lastArrival = start;
let longestSilence = 0;

function open(source: FaultFraming, port: number): Promise<Client> {
  return connect({ hostname, port, framing: source.framing, ...limits });
}

function noteArrival(): void {
  const now = performance.now();
  longestSilence = Math.max(longestSilence, now - lastArrival);
  lastArrival = now;
}

/** Receives to the end, or as many as there are. */
async function receive(
  client: Client,
  source: FaultFraming,
  count: number,
): Promise<void> {
  const arrivals = new Arrivals(source);
  try {
    if (count === 0) return;
    for await (const message of client) {
      noteArrival();
      const before = arrivals.count;
      arrivals.add(message);
      arrived += arrivals.count - before;
      if (arrivals.count === count) break;
    }
  } finally {
    wrong += arrivals.wrong;
  }
}

/** Sends, each message in packets of its own, while the answers come. */
async function echo(source: FaultFraming, port: number, count: number) {
  await using client = await open(source, port);
  const sending = (async () => {
    for (let number = 0; number < count; number++) {
      const message = source.message(number);
      sent++;
      await client.send(message);
      await client.flush();
    }
    await client.closeWrite();
  })();
  await allOf([sending, receive(client, source, Infinity)]);
  await client.closed;
}

/** Asks, first one by one, and then all at once. */
async function request(source: FaultFraming, port: number, count: number) {
  await using client = await open(source, port);
  const arrivals = new Arrivals(source);
  const ask = async (number: number) => {
    sent++;
    const answer = await client.request(source.message(number));
    noteArrival();
    arrivals.add(answer);
    arrived++;
  };
  const alone = Number.isFinite(count) ? count / 4 : count;
  let number = 0;
  try {
    while (number < alone) await ask(number++);
    await allOf(
      Array.from({ length: count - number }, () => ask(number++)),
    );
  } finally {
    wrong += arrivals.wrong;
  }
}

/** Some clients receive what is sent to all of them. */
async function broadcast(source: FaultFraming, port: number, count: number) {
  const length = runLength(source, options.messages);
  await allOf(Array.from({ length: BROADCAST_CLIENTS }, async () => {
    await using client = await open(source, port);
    await client.send(source.message(0));
    sent += length;
    await receive(client, source, Math.min(count, length));
    // Without an end to the messages, this waits for one more.
    if (count === Infinity) assertEquals(await client.receive(), undefined);
  }));
}

/** Waits for all, and rejects as the first that did. */
async function allOf(promises: Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(promises);
  await Promise.all(promises);
}

/** Counts what becomes of a run. */
async function track(name: string, run: () => Promise<void>): Promise<void> {
  runs++;
  pending.add(name);
  try {
    await run();
  } catch (error) {
    countOne(errors, `${error}`);
  }
  pending.delete(name);
}

/** All workloads over all framings, at once. */
async function round(count?: number): Promise<void> {
  await Promise.all(SOURCES.flatMap((source, i) => {
    const echoPort = ports.echo[i]!; // there is one for each source
    const broadcastPort = ports.broadcast[i]!;
    const length = count ?? runLength(source, options.messages);
    const all = [
      ["echo", () => echo(source, echoPort, length)],
      ["request", () => request(source, echoPort, length)],
      ["broadcast", () => broadcast(source, broadcastPort, length)],
    ] as const;
    return all
      // An answer that the reader may cut anywhere is nobody's in particular.
      .filter(([name]) => source.name !== "unframed" || name !== "request")
      .map(([name, run]) => track(`${name} over ${source.name}`, run));
  }));
}

/** Whatever waits for a peer that can no longer be reached. */
async function cut(): Promise<void> {
  const [source] = SOURCES;
  const large = SOURCES.at(-1);
  const [echoPort] = ports.echo;
  const largePort = ports.echo.at(-1);
  if (!source || !large || !echoPort || !largePort) return;
  const toAbort = await open(source, echoPort);
  const toClose = await open(large, largePort);
  const endless = round(Infinity);
  // Nobody reads what comes back, so that the queue is full.
  const flood = track("a flood", async () => {
    await using client = await open(large, largePort);
    for (let number = 0;; number++) await client.send(large.message(number));
  });
  await told();
  await Promise.all([
    endless,
    flood,
    track("close() with bytes queued", async () => {
      for (let i = 0; i < 500; i++) toClose.send(large.message(i));
      await toClose.close();
      await toClose.closed;
    }),
    track("abort()", async () => {
      toAbort.abort(new Error("aborted here"));
      await toAbort.closed;
    }),
    track("connect()", async () => {
      const { framing } = source;
      await connect({ hostname, port: echoPort, framing, connectTimeout: 500 });
    }),
  ]);
}

/** Waits for a line of the parent. */
async function told(): Promise<void> {
  const input = Deno.stdin.readable
    .pipeThrough(new FrameDecoderStream(lines()));
  for await (const _ of input) break;
}

/** How long a request takes when there is nothing else. */
async function roundTrip(): Promise<number> {
  const [port = 0] = ports.echo;
  await using client = await connect({ hostname, port });
  const times: number[] = [];
  for (let i = 0; i < 11; i++) {
    const begun = performance.now();
    await client.request(`${i}:${"x".repeat(i * 7 % 23)}`);
    times.push(performance.now() - begun);
  }
  return median(times);
}

type Measured = Exclude<keyof NetemLatency, "requests">;

async function latency(): Promise<NetemLatency> {
  const port = ports.echo[0]!; // of delimited("\n")
  await using client = await connect({ hostname, port });
  using conn = await Deno.connect({ hostname, port });
  conn.setNoDelay(true);
  const buffer = new Uint8Array(100);
  const times: Record<Measured, number[]> = {
    request: [],
    bare: [],
    withNoDelay: [],
    withoutNoDelay: [],
  };
  const pair = { hostname, port: ports.pairs };
  await using quick = await connect(pair);
  await using slow = await connect({ ...pair, noDelay: false });
  const twoWrites = async (through: typeof quick) => {
    await through.send("one");
    await through.flush();
    await through.request("two");
  };
  const timed = async (
    name: Measured,
    run: () => Promise<unknown>,
  ) => {
    const begun = performance.now();
    await run();
    times[name].push(performance.now() - begun);
  };
  // The server counts its messages, so these are the ones it expects.
  for (let i = 0; i < LATENCY_ROUNDS; i++) {
    const message = `${i}:${"x".repeat(i * 7 % 23)}`;
    const bytes = new TextEncoder().encode(`${message}\n`);
    await timed("request", () => client.request(message));
    await timed("bare", async () => {
      await conn.write(bytes);
      await conn.read(buffer);
    });
    await timed("withNoDelay", () => twoWrites(quick));
    await timed("withoutNoDelay", () => twoWrites(slow));
  }
  return {
    requests: LATENCY_ROUNDS,
    request: median(times.request),
    bare: median(times.bare),
    withNoDelay: median(times.withNoDelay),
    withoutNoDelay: median(times.withoutNoDelay),
  };
}

async function run(): Promise<NetemResult> {
  // What is cut has none.
  const before = options.task === "run" ? await roundTrip() : NaN;
  const telling = setInterval(
    () => console.log(JSON.stringify({ arrived })),
    TELL_MS,
  );
  const { promise: never, resolve } = Promise.withResolvers<void>();
  const giveUp = setTimeout(resolve, options.seconds * 1000 + NEVER_MS);
  lastArrival = performance.now();
  const begun = lastArrival;
  const work = async () => {
    if (options.task === "cut") return await cut();
    do {
      await round();
    } while (performance.now() - begun < options.seconds * 1000);
  };
  await Promise.race([work(), never]);
  clearTimeout(giveUp);
  clearInterval(telling);
  return {
    arrived,
    sent,
    wrong,
    runs,
    unsettled: [...pending],
    errors,
    longestSilence,
    seconds: (performance.now() - begun) / 1000,
    roundTrip: before,
    peakMemory: peakMemory(),
  };
}

function peakMemory(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

const result = options.task === "latency" ? await latency() : await run();
console.log(JSON.stringify({ result }));
// What has not settled may hold the process, and has been told.
if (pending.size > 0) Deno.exit();
