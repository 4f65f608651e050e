/**
 * One room on several machines: the clients of all servers hear what a client says to its
 * server.
 *
 * The servers do not know each other. Each publishes its clients' lines to a broker, here
 * NATS, and sends its own clients everything that comes from there. For more clients than
 * one machine can hold, add a server.
 *
 * - Each server sends its clients a line once, and the lines of one sender in order.
 * - A client that reads too slowly is disconnected: it then knows that it has missed
 *   something. (`chat.ts` lets it miss lines instead.)
 * - No client says more than the broker takes: a server reads more from a client only
 *   when the broker has the client's earlier lines.
 * - When the broker is away, the clients are told, and their lines are refused rather
 *   than kept. The server continues when the broker is back; lines of other servers in
 *   between are lost. If nothing may be lost, use a broker that stores messages
 *   (JetStream of NATS), and numbers to ask again from.
 *
 * With `nats-server` installed, three servers in one process and their clients:
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-run=nats-server examples/fan_out.ts
 * ```
 *
 * Or a server on each machine, and `nc` for clients:
 *
 * ```sh
 * deno run --allow-net examples/fan_out.ts --server A --broker 10.0.0.1:4222 --hostname 0.0.0.0
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect as connectToBroker } from "npm:@nats-io/transport-node@3.4.0";
import {
  connect,
  type Connection,
  FrameDecoderStream,
  lines,
  serve,
} from "@framed/tcp";
import { parseArgs } from "node:util";
import { nextInterrupt } from "./_lesson.ts";

type Client = Connection<string, string>;

const framing = lines({ maxLength: 16 * 1024 });

/** The name under which the broker knows the room. */
const SUBJECT = "room";

/** The longest line that is forwarded; the rest of a longer one is cut off. */
const MAX_LINE_LENGTH = 4000;

/** How many bytes may wait for a client, not counting the kernel's buffers. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** How long a client may read nothing of its queue. */
const SEND_TIMEOUT_MS = 30_000;

/** How long clients have at the end to get queued lines. */
const DRAIN_MS = 5000;

/** How often to try to reach a broker that is away. */
const RECONNECT_MS = 500;

/** How often to ping the broker; two missed answers are too many. */
const PING_MS = 10_000;

interface ServerOptions {
  /** Comes before its clients' lines. */
  name: string;
  /** The broker's address: a host and a port. */
  broker: string;
  port?: number;
  hostname?: string;
}

interface RoomServer extends AsyncDisposable {
  readonly port: number;
}

async function listen(
  { name, broker, port = 0, hostname = "127.0.0.1" }: ServerOptions,
): Promise<RoomServer> {
  const clients = new Set<Client>();

  function tellAll(line: string): void {
    for (const client of clients) tell(client, line);
  }

  const nats = await connectToBroker({
    servers: broker,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    pingInterval: PING_MS,
  }).catch((error) => {
    throw new Error(`no broker at ${broker}: ${error.message}`);
  });
  nats.subscribe(SUBJECT, {
    // Wait for no client here: a broker that had to wait for us would cut us off.
    callback(error, message) {
      if (error === null) tellAll(printable(message.string()));
    },
  });
  await nats.flush(); // from here on we get every line

  let isAway = false;
  async function watchBroker(): Promise<void> {
    for await (const { type } of nats.status()) {
      if (type === "disconnect" && !isAway) {
        isAway = true;
        report("the broker is away");
      } else if (type === "reconnect") {
        try {
          // It answers after our subscription, so from here on we get every line again.
          await nats.flush();
          isAway = false;
          report("the broker is back");
        } catch {
          // The broker is gone again.
        }
      }
    }
  }
  function report(news: string): void {
    tellAll(`* ${news}`);
    console.log(`Server ${name}: ${news}`);
  }
  const watching = watchBroker();

  const server = serve({
    hostname,
    port,
    framing,
    sendTimeout: SEND_TIMEOUT_MS,
    onListen: (addr) =>
      console.log(`Server ${name}: listening on port ${addr.port}`),
    onError: (error) => console.log(`Server ${name}: lost a client: ${error}`),
  }, async (client) => {
    clients.add(client);
    tell(client, `* You are at ${name}`);
    try {
      for await (const batch of client.batches()) {
        try {
          for (const line of batch) {
            nats.publish(SUBJECT, `${name}: ${printable(line)}`);
          }
          await nats.flush(); // read more only after its answer
        } catch {
          // It is gone, and unanswered lines may be lost with it.
          tell(
            client,
            `* Perhaps lost: "${printable([...batch].join(" / "))}"`,
          );
        }
      }
    } finally {
      clients.delete(client);
    }
  });

  return {
    port: server.addr.port,
    async [Symbol.asyncDispose]() {
      tellAll(`* ${name} closes`);
      // Lines already read from clients are still published.
      await server.shutdown({ timeout: DRAIN_MS });
      await nats.close();
      await watching;
    },
  };
}

/** Sends a line to a client without waiting for it. */
function tell(client: Client, line: string): void {
  if (client.stats().bufferedAmount > MAX_WAITING_BYTES) {
    client.abort(new Error("it reads too slowly"));
  } else {
    // Not awaited: no client holds up the others. A client that has gone need not be told.
    client.send(line);
  }
}

/** A short line that is safe to show: control characters can control a terminal. */
function printable(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, "").slice(0, MAX_LINE_LENGTH);
}

/** Our own broker, by default on any free port. */
async function startBroker(
  port = -1,
): Promise<AsyncDisposable & { port: number }> {
  const broker = new Deno.Command("nats-server", {
    args: ["--addr", "127.0.0.1", "--port", `${port}`],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const listening = Promise.withResolvers<number>();
  // To its end: a broker whose log is not read would wait.
  async function readLog(): Promise<void> {
    const log = broker.stderr.pipeThrough(new FrameDecoderStream(lines()));
    for await (const line of log) {
      const [, found] = line.match(/client connections on .*:(\d+)$/) ?? [];
      if (found !== undefined) listening.resolve(Number(found));
    }
    listening.reject(new Error("nats-server has ended"));
  }
  const reading = readLog();
  const found = await listening.promise;
  console.log(`Broker: listening on port ${found}`);
  return {
    port: found,
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]();
      await reading;
    },
  };
}

/**
 * Three servers on one broker, one of which ends; then the broker goes and comes back.
 */
async function show(): Promise<void> {
  await using later = new AsyncDisposableStack();
  await using brokers = new AsyncDisposableStack();
  const { port } = brokers.use(await startBroker());
  const broker = `127.0.0.1:${port}`;
  await using a = await listen({ name: "A", broker });
  await using b = await listen({ name: "B", broker });
  await using servers = new AsyncDisposableStack();
  const c = servers.use(await listen({ name: "C", broker }));

  await using ann = await enter("Ann", a);
  await using ben = await enter("Ben", b);
  await using cat = await enter("Cat", c);
  for (const client of [ann, ben]) {
    await client.say(`I am ${client.name}`);
    for (const { hear } of [ann, ben, cat]) await hear();
  }

  await servers.disposeAsync();
  await cat.hear();
  await ann.say("Are you still there, Ben?");
  await ann.hear();
  await ben.hear();

  await brokers.disposeAsync();
  await ann.hear();
  await ben.hear();
  await ann.say("Hello?");
  await ann.hear();
  later.use(await startBroker(port));
  await ann.hear();
  await ben.hear();
  await ben.say("Back again");
  await ben.hear();
  await ann.hear();
}

interface Guest extends AsyncDisposable {
  name: string;
  say(line: string): Promise<void>;
  /** Prints the next line. */
  hear(): Promise<void>;
}

async function enter(name: string, { port }: RoomServer): Promise<Guest> {
  const connection = await connect({ port, framing });
  await connection.receive(); // the greeting: lines from here on are heard
  return {
    name,
    say: (line) => connection.send(line),
    async hear() {
      console.log(`${name} hears "${await connection.receive()}"`);
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

const USAGE =
  `Usage: deno run -N --allow-run=nats-server examples/fan_out.ts [options]

  --server <name>     Run one server of this name, until Ctrl-C
  --broker <address>  Its broker, 127.0.0.1:4222 if not given
  --port <port>       Its port, 8000 if not given
  --hostname <name>   Where it listens, 127.0.0.1 if not given
  --help              Show this text`;

function readFlags() {
  try {
    return parseArgs({
      options: {
        server: { type: "string" },
        broker: { type: "string", default: "127.0.0.1:4222" },
        port: { type: "string", default: "8000" },
        hostname: { type: "string", default: "127.0.0.1" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n`);
    console.error(USAGE);
    Deno.exit(2);
  }
}

async function run(): Promise<void> {
  const { server: name, broker, port, hostname, help } = readFlags();
  if (help) return console.log(USAGE);
  if (name === undefined) return await show();

  const interrupt = nextInterrupt();
  await using _server = await listen({
    name,
    broker,
    hostname,
    port: Number(port),
  });
  await interrupt;
}

try {
  await run();
} catch (error) {
  const reason = error instanceof Error ? error.message : error;
  console.error(`Cannot run examples/fan_out.ts: ${reason}`);
  Deno.exit(1);
}
