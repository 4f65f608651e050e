// deno-lint-ignore-file no-console -- its output is read by the test
/**
 * The server of the fairness tests, in its own process, so that its peers are not busy
 * when it is. Its argument is {@linkcode Setup} as JSON. It prints its address, and
 * answers each line of its input with a line.
 */
import { connect, type ConnectionOptions, lines, serve } from "../../mod.ts";
import { caCerts, certificate } from "../testdata/certificates.ts";

/** How it serves. */
export interface Setup {
  readonly door: "tcp" | "tls" | { readonly path: string };
  readonly timeouts:
    & Omit<ConnectionOptions<string, string>, "framing">
    & { readonly handshakeTimeout?: number };
  /** Milliseconds of work for each message. */
  readonly work?: number;
  /** The length of a message that it sends first. */
  readonly sends?: number;
}

/** How it connects. */
export interface Connecting {
  readonly count: number;
  readonly connectTimeout: number;
  /** How long the thread is busy. */
  readonly milliseconds: number;
  /** Whether it is busy for this time in every turn of the event loop instead of once. */
  readonly inTurns?: boolean;
  readonly isTls?: boolean;
}

/** The counts, for the line `report`. */
export interface Report {
  /** Messages received. */
  readonly messages: number;
  /** Connections that are open. */
  readonly open: number;
  /** The number of connections that each timeout has ended. */
  readonly ended: Readonly<Record<string, number>>;
}

const MAX_MESSAGE_BYTES = 2 ** 30;

const setup: Setup = JSON.parse(Deno.args[0] ?? "");
const { door, timeouts, work = 0, sends = 0 } = setup;
const framing = lines({ maxLength: MAX_MESSAGE_BYTES });
const ended: Record<string, number> = {};
let messages = 0;

const options = {
  ...timeouts,
  framing,
  onError(error: unknown) {
    const [which = String(error)] = String(error).match(/\w+Timeout/) ?? [];
    ended[which] = (ended[which] ?? 0) + 1;
  },
};
const at = { ...options, hostname: "127.0.0.1", port: 0 };
const server = serve<string, string>(
  door === "tcp"
    ? at
    : door === "tls"
    ? { ...at, tls: certificate }
    : { ...options, path: door.path },
  async (connection) => {
    if (sends > 0) await connection.send("x".repeat(sends - 1));
    for await (const _line of connection) {
      messages++;
      if (work > 0) busy(work);
    }
  },
);
console.log(server.addr.transport === "tcp" ? server.addr.port : "");

function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** Keeps the thread busy in every turn of the event loop, until the signal is aborted. */
async function busyInTurns(
  milliseconds: number,
  signal?: AbortSignal,
): Promise<void> {
  while (signal?.aborted !== true) {
    await new Promise((resolve) => setImmediate(resolve));
    busy(milliseconds);
  }
}

/**
 * Opens many connections, is busy before any can be answered or in every turn, and
 * counts the failures.
 */
async function connectBusy(
  { count, port, milliseconds, connectTimeout, isTls, inTurns }: Connecting & {
    readonly port: number;
  },
): Promise<number> {
  const stop = new AbortController();
  if (inTurns) busyInTurns(milliseconds, stop.signal);
  const attempts = Array.from(
    { length: count },
    () =>
      connect({
        port,
        framing,
        connectTimeout,
        ...(isTls && { tls: { caCerts, serverName: "localhost" } }),
      }),
  );
  if (!inTurns) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    busy(milliseconds);
  }
  const settled = await Promise.allSettled(attempts);
  stop.abort();
  let failures = 0;
  for (const attempt of settled) {
    if (attempt.status === "rejected") failures++;
    else attempt.value.abort();
  }
  return failures;
}

const commands = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
for await (const command of commands) {
  const [name, argument = ""] = command.trim().split(" ");
  if (name === "busy") {
    busy(Number(argument));
    console.log("idle");
  } else if (name === "turns") {
    busyInTurns(Number(argument));
    console.log("busy");
  } else if (name === "connect") {
    console.log(await connectBusy(JSON.parse(argument)));
  } else {
    const open = server.connections.size;
    const report: Report = { messages, open, ended };
    console.log(JSON.stringify(report));
  }
}
Deno.exit();
