/**
 * One port, served by several processes.
 *
 * A Deno process runs its JavaScript on one processor. With `reusePort` several
 * processes listen on the same port, and the kernel assigns each new connection
 * to one of them. They share nothing else: there is no proxy in front of them,
 * and when one ends, the others keep their connections.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-run=deno examples/workers.ts
 * ```
 *
 * Or in two terminals, for as many workers and requests as you like:
 *
 * ```sh
 * deno run --allow-net --allow-run=deno examples/workers.ts --server --workers 4
 * deno run --allow-net examples/workers.ts --client --connections 64
 * ```
 *
 * `reusePort` needs Linux, and Deno's flag `--unstable-net` for the workers.
 * The kernel distributes connections, by a hash of their addresses: a few long
 * ones may all land on one worker. And if the kernel has assigned a connection
 * to a worker that ends before it accepts, the connection is reset, unless the
 * system is told to pass it on (`sysctl net.ipv4.tcp_migrate_req=1`).
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, FrameDecoderStream, lines, serve } from "@framed/tcp";
import { parseArgs } from "node:util";
import { nextInterrupt } from "./_lesson.ts";

const framing = lines();

/** How long a worker's connections may take to end when it shuts down. */
const DRAIN_MS = 5000;

/** How many connections a client has open at the same time. */
const MAX_OPEN = 32;

/** How many requests wait on each for their answers. */
const MAX_ASKED = 32;

interface WorkerOptions {
  port: number;
  /** How many microseconds each request keeps a processor busy. */
  busy: number;
}

/** The program of a worker: answers each request with its own number. */
async function work(
  number: string,
  { port, busy }: WorkerOptions,
): Promise<void> {
  const server = serve({
    hostname: "127.0.0.1",
    port,
    framing,
    reusePort: true,
    onListen: (addr) => console.log(addr.port),
  }, async (connection) => {
    for await (const _request of connection) {
      const readyAt = performance.now() + busy / 1000;
      while (performance.now() < readyAt); // a real worker would compute here
      await connection.send(number);
    }
  });
  const end = () => void server.shutdown({ timeout: DRAIN_MS });
  Deno.addSignalListener("SIGTERM", end);
  // Ctrl-C reaches every process of a terminal; the parent says when to end.
  Deno.addSignalListener("SIGINT", () => {});
  // No worker outlives its parent, however the parent ends.
  Deno.stdin.readable.pipeTo(new WritableStream()).finally(end);
  await server.finished;
  Deno.exit();
}

interface Worker {
  readonly number: string;
  /** Settles when the process has ended. */
  readonly ended: Promise<void>;
  /** Tells the worker to end; it does so when its connections have ended. */
  end(): void;
}

async function startWorker(
  number: string,
  { port, busy }: WorkerOptions,
): Promise<{ worker: Worker; port: number }> {
  const child = new Deno.Command("deno", {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--unstable-net",
      "--allow-net=127.0.0.1",
      import.meta.url,
      `--worker=${number}`,
      `--port=${port}`,
      `--busy=${busy}`,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.stdout.pipeThrough(new FrameDecoderStream(framing));
  const { value: line } = await output.getReader().read();
  if (line === undefined) throw new Error(`worker ${number} does not listen`);
  console.log(`Worker ${number} is process ${child.pid}`);

  let hasEnded = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    console.log(`Worker ${number} has ended with code ${code}`);
  });
  const end = () => {
    if (!hasEnded) child.kill("SIGTERM");
  };
  return { worker: { number, ended, end }, port: Number(line) };
}

/** Starts processes that listen on one port; 0 is any free port. */
async function startWorkers(
  count: number,
  options: WorkerOptions,
): Promise<{ workers: Worker[]; port: number }> {
  const first = await startWorker("1", options);
  const { port } = first;
  const others = await Promise.all(
    Array.from(
      { length: count - 1 },
      (_, i) => startWorker(`${i + 2}`, { ...options, port }),
    ),
  );
  const workers = [first, ...others].map(({ worker }) => worker);
  console.log(`${count} workers are listening on port ${port}`);
  return { workers, port };
}

/** How many connections and requests each worker has answered. */
type Tally = Map<string, { connections: number; requests: number }>;

/**
 * Opens connections, some at a time, sends requests on each, and prints who
 * answered.
 */
async function askAll(
  port: number,
  connections: number,
  requests: number,
): Promise<void> {
  const tally: Tally = new Map();
  const startedAt = performance.now();
  let opened = 0;
  await Promise.all(
    Array.from({ length: Math.min(connections, MAX_OPEN) }, async () => {
      while (opened++ < connections) await askOne(port, requests, tally);
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const [number, count] of [...tally].sort()) {
    console.log(
      `Worker ${number} answered ${count.requests} requests on ${count.connections} connections`,
    );
  }
  const rate = (count: number) => Math.round(count / seconds);
  console.log(
    `Client: ${rate(connections)} connections/s, ${
      rate(connections * requests)
    } requests/s`,
  );
}

/** Sends requests on one connection; its answers all come from one worker. */
async function askOne(
  port: number,
  requests: number,
  tally: Tally,
): Promise<void> {
  await using connection = await connect({ port, framing });
  let number = "";
  for (let left = requests; left > 0; left -= MAX_ASKED) {
    [number = ""] = await Promise.all(
      Array.from(
        { length: Math.min(left, MAX_ASKED) },
        () => connection.request("who?"),
      ),
    );
  }
  const count = tally.get(number) ?? { connections: 0, requests: 0 };
  count.connections++;
  count.requests += requests;
  tally.set(number, count);
}

/** Ends one worker, and keeps sending requests on connections opened before. */
async function endOne(port: number, workers: Worker[]): Promise<void> {
  const [worker] = workers;
  if (worker === undefined || workers.length < 2) return;
  const clients = await Promise.all(
    Array.from({ length: MAX_OPEN }, async () => {
      const connection = await connect({ port, framing });
      return { connection, number: await connection.request("who?") };
    }),
  );
  worker.end();
  await worker.ended;

  let stayed = 0;
  let moved = 0;
  for (const { connection, number } of clients) {
    if (number === worker.number) {
      // It has ended cleanly, and the client connects again: another worker
      // gets it.
      const end = await connection.receive();
      await using again = await connect({ port, framing });
      const answer = await again.request("who?");
      if (end === undefined && answer !== number) moved++;
    } else if (await connection.request("who?") === number) {
      stayed++;
    }
    await connection.close();
  }
  console.log(
    `Client: of ${MAX_OPEN} open connections ${stayed} went on, and ${moved} were ended and made again`,
  );
}

const USAGE = `Usage: deno run -N --allow-run=deno examples/workers.ts [options]

  --server             Run the workers alone, until Ctrl-C
  --client             Run the client alone
  --port <port>        The port, 8000 if one side runs alone and any free one if not
  --workers <n>        How many workers, 2 if not given
  --busy <n>           How many microseconds of work a request is, none if not given
  --connections <n>    How many connections the client makes in all, ${MAX_OPEN} if not given
  --requests <n>       How many requests on each, 500 if not given
  --help               Show this text`;

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        server: { type: "boolean", default: false },
        client: { type: "boolean", default: false },
        worker: { type: "string" },
        port: { type: "string" },
        workers: { type: "string", default: "2" },
        busy: { type: "string", default: "0" },
        connections: { type: "string", default: `${MAX_OPEN}` },
        requests: { type: "string", default: "500" },
        help: { type: "boolean", default: false },
      },
    });
    const { workers, connections, requests, busy } = values;
    if (
      ![workers, connections, requests].every((n) => /^[1-9]\d*$/.test(n)) ||
      !/^\d+$/.test(busy)
    ) {
      throw new RangeError(
        "Counts must be whole numbers, and none but --busy 0",
      );
    }
    return values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n`);
    console.error(USAGE);
    Deno.exit(2);
  }
}

async function run(): Promise<void> {
  const flags = readFlags();
  if (flags.help) return console.log(USAGE);
  const runsBoth = flags.server === flags.client;
  const wantedPort = Number(flags.port ?? (runsBoth ? 0 : 8000));
  const options = { port: wantedPort, busy: Number(flags.busy) };
  const connections = Number(flags.connections);
  const requests = Number(flags.requests);
  if (flags.worker !== undefined) return await work(flags.worker, options);
  if (flags.client && !runsBoth) {
    return await askAll(wantedPort, connections, requests);
  }
  if (Deno.build.os !== "linux") {
    return console.log("Nothing to see here: reusePort needs Linux");
  }
  const interrupt = nextInterrupt();
  const { workers, port } = await startWorkers(
    Number(flags.workers),
    options,
  );
  const ended = Promise.all(workers.map((worker) => worker.ended));
  if (runsBoth) {
    await askAll(port, connections, requests);
    await endOne(port, workers);
  } else {
    await Promise.race([interrupt, ended]);
  }
  for (const worker of workers) worker.end();
  await ended;
}

try {
  await run();
} catch (error) {
  const reason = error instanceof Error ? error.message : error;
  console.error(`Cannot run examples/workers.ts: ${reason}`);
  Deno.exit(1);
}
