/**
 * Healthy peers while the process that serves them is busy, stopped or overloaded: none
 * of them may be ended.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { caCerts, certificate } from "../testdata/certificates.ts";
import type { Connecting, Report, Setup } from "./fairness_server.ts";
import { ServerProcess } from "./load_process.ts";

/** How long the end of silent peers is waited for. */
const WATCHDOG_MS = 30_000;

const LINE = new TextEncoder().encode("beat\n");
const HALF_LINE = LINE.subarray(0, 2);
// The end of a line and the start of the next, so that one is always unfinished.
const ACROSS_LINES = new TextEncoder().encode("at\nbe");
// More than is read in a long time, so that the socket always has bytes.
const MANY_LINES = new TextEncoder().encode("beat\n".repeat(13_000));

/** A server under test, and its peers. */
export class Trial implements AsyncDisposable {
  readonly #process: ServerProcess;
  readonly #setup: Setup;
  readonly #port: number;
  readonly peers: Deno.Conn[] = [];
  readonly #silent: Deno.Conn[] = [];
  readonly #timers: ReturnType<typeof setInterval>[] = [];

  private constructor(process: ServerProcess, setup: Setup, port: number) {
    this.#process = process;
    this.#setup = setup;
    this.#port = port;
  }

  static async start(setup: Setup): Promise<Trial> {
    const { process, line } = await ServerProcess.start("fairness_server.ts", {
      args: [JSON.stringify(setup)],
    });
    return new Trial(process, setup, Number(line));
  }

  /** Connects `count` peers, and waits until they are served. */
  async join(count: number): Promise<Deno.Conn[]> {
    const joined: Deno.Conn[] = [];
    // The first peers must not be silent while the last ones connect.
    const { idleTimeout = 1000 } = this.#setup.timeouts;
    const beating = setInterval(() => {
      for (const conn of joined) conn.write(LINE).catch(() => {});
    }, idleTimeout / 4);
    try {
      for (let i = 0; i < count; i++) {
        const conn = await this.#connect();
        if ("handshake" in conn) await (conn as Deno.TlsConn).handshake();
        joined.push(conn);
        this.peers.push(conn);
      }
      for (;;) {
        const { open, ended } = await this.report();
        if (open === this.peers.length) break;
        assertEquals(ended, {}, "Ended while others were joining");
        await delay(5);
      }
    } finally {
      clearInterval(beating);
    }
    return joined;
  }

  /** Connects `count` silent peers. */
  async joinSilently(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.peers.push(await this.#connect());
  }

  /** Connects `count` peers with TLS, all together. */
  async shakeHands(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, async () => {
      const conn = await this.#connect();
      this.peers.push(conn);
      if ("handshake" in conn) await (conn as Deno.TlsConn).handshake();
    }));
  }

  /** Connects `count` peers that do not start a TLS handshake. */
  async connectOnly(count: number): Promise<void> {
    const address = { hostname: "127.0.0.1", port: this.#port };
    for (let i = 0; i < count; i++) {
      this.#silent.push(await Deno.connect(address));
    }
  }

  #connect(): Promise<Deno.Conn> {
    const { door } = this.#setup;
    const address = { hostname: "localhost", port: this.#port };
    if (door === "tcp") {
      return Deno.connect({ ...address, hostname: "127.0.0.1" });
    }
    if (door === "tls") return Deno.connectTls({ ...address, caCerts });
    return Deno.connect({ transport: "unix", path: door.path });
  }

  /** Makes each peer send a line every `interval` milliseconds, like a healthy device. */
  beat(interval: number): void {
    const bytes = this.#setup.timeouts.messageTimeout === undefined
      ? LINE
      : ACROSS_LINES;
    for (const conn of this.peers) {
      this.#timers.push(
        setInterval(() => conn.write(bytes).catch(() => {}), interval),
      );
    }
  }

  /** Makes each peer send as much as the server reads, until it is closed. */
  flood(): void {
    for (const conn of this.peers) sendWithoutEnd(conn);
  }

  /** Keeps the server's thread busy. */
  async busy(milliseconds: number): Promise<void> {
    await this.#process.ask(`busy ${milliseconds}`);
  }

  /** Stops the server's process for some time. */
  async stop(milliseconds: number): Promise<void> {
    this.#process.kill("SIGSTOP");
    await delay(milliseconds);
    this.#process.kill("SIGCONT");
  }

  async report(): Promise<Report> {
    return JSON.parse(await this.#process.ask("report"));
  }

  /** Keeps the server's thread busy in every turn of its event loop, from now on. */
  async busyInTurns(milliseconds: number): Promise<void> {
    await this.#process.ask(`turns ${milliseconds}`);
  }

  /**
   * Makes the server connect to our listener while it is busy, and returns the
   * failures.
   */
  async connect(options: Connecting): Promise<number> {
    const address = { hostname: "127.0.0.1", port: 0 };
    using listener = options.isTls
      ? Deno.listenTls({ ...address, ...certificate })
      : Deno.listen(address);
    const accepting = (async () => {
      for await (const conn of listener) {
        this.peers.push(conn);
        if ("handshake" in conn) {
          (conn as Deno.TlsConn).handshake().catch(() => {});
        }
      }
    })();
    const { port } = listener.addr;
    const failures = await this.#process.ask(
      `connect ${JSON.stringify({ ...options, port })}`,
    );
    listener.close();
    await accepting;
    return Number(failures);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const conn of [...this.peers, ...this.#silent]) conn.close();
    await this.#process[Symbol.asyncDispose]();
  }
}

async function sendWithoutEnd(conn: Deno.Conn): Promise<void> {
  try {
    for (;;) {
      let rest = MANY_LINES;
      while (rest.length > 0) rest = rest.subarray(await conn.write(rest));
    }
  } catch {
    // The server has ended it.
  }
}

/** All lines are in the sockets, while the thread is busy for longer than the limit. */
export async function busyWithLinesThere(
  peers: number,
  setup: Setup,
  milliseconds: number,
): Promise<Report> {
  await using trial = await Trial.start(setup);
  await trial.join(peers);
  const busy = trial.busy(milliseconds);
  await delay(milliseconds / 10);
  for (const conn of trial.peers) await conn.write(LINE);
  await busy;
  await delay(milliseconds / 10);
  return await trial.report();
}

/** Peers send regularly, and the thread is busy, or stopped, for longer than the limit. */
export async function busyWhileOthersBeat(
  peers: number,
  setup: Setup,
  { interval, milliseconds, isStopped = false, silent = 0 }: {
    readonly interval: number;
    readonly milliseconds: number;
    readonly isStopped?: boolean;
    /** The number of additional silent peers. */
    readonly silent?: number;
  },
): Promise<Report> {
  await using trial = await Trial.start(setup);
  await trial.join(peers);
  trial.beat(interval);
  await trial.joinSilently(silent);
  await delay(interval * 2);
  if (isStopped) await trial.stop(milliseconds);
  else await trial.busy(milliseconds);
  const { idleTimeout = 0 } = setup.timeouts;
  await delay(Math.max(interval * 3, idleTimeout * 1.5));
  return await reportOnceEnded(trial, { peers, silent });
}

/** Peers always send, and each message takes work, until the silent peers are ended. */
export async function overloaded(
  peers: number,
  setup: Setup,
  { milliseconds, silent }: {
    /** The minimum time. */
    readonly milliseconds: number;
    readonly silent: number;
  },
): Promise<Report> {
  await using trial = await Trial.start(setup);
  await trial.join(peers);
  trial.flood();
  await trial.joinSilently(silent);
  await delay(milliseconds);
  return await reportOnceEnded(trial, { peers, silent });
}

/** Waits until as many peers as are silent were ended, or for {@linkcode WATCHDOG_MS}. */
async function reportOnceEnded(
  trial: Trial,
  { peers, silent }: { readonly peers: number; readonly silent: number },
): Promise<Report> {
  const start = Date.now();
  for (;;) {
    const report = await trial.report();
    const count = Object.values(report.ended).reduce((sum, n) => sum + n, 0);
    const areEnded = count >= silent && report.open <= peers;
    if (areEnded || Date.now() > start + WATCHDOG_MS) return report;
    await delay(100);
  }
}

/** The server sends one long message to a reading peer, and is busy meanwhile. */
export async function busyWhileSending(
  setup: Setup,
  milliseconds: number,
): Promise<Report> {
  await using trial = await Trial.start(setup);
  const [conn] = await trial.join(1);
  const busy = trial.busy(milliseconds);
  const buffer = new Uint8Array(1024 * 1024);
  for (let left = setup.sends ?? 0; conn !== undefined && left > 0;) {
    const length = await conn.read(buffer);
    if (length === null) break;
    left -= length;
  }
  await busy;
  return await trial.report();
}

/** A peer sends one long message, and the server is busy meanwhile. */
export async function busyWhileReceiving(
  setup: Setup,
  { bytes, milliseconds }: {
    readonly bytes: number;
    readonly milliseconds: number;
  },
): Promise<Report> {
  await using trial = await Trial.start(setup);
  const [conn] = await trial.join(1);
  const { messages } = await trial.report();
  await conn?.write(HALF_LINE);
  await delay(10);
  const busy = trial.busy(milliseconds);
  const part = new Uint8Array(1024 * 1024).fill(120);
  try {
    for (let left = bytes; conn !== undefined && left > 0;) {
      left -= await conn.write(part.subarray(0, left));
    }
    await conn?.write(LINE);
  } catch {
    // The server has ended it.
  }
  await busy;
  for (;;) {
    const report = await trial.report();
    if (report.messages > messages || report.open === 0) return report;
    await delay(5);
  }
}

/** Many connections are opened, and the thread is busy for longer than their limit. */
export async function busyWhileConnecting(
  options: Connecting,
): Promise<number> {
  await using trial = await Trial.start({ door: "tcp", timeouts: {} });
  return await trial.connect(options);
}

/**
 * Peers make a TLS handshake, and others do not start one, while the thread is busy in
 * every turn of its event loop, until those are ended.
 */
export async function busyWhileShakingHands(
  peers: number,
  { handshakeTimeout, milliseconds, silent }: {
    readonly handshakeTimeout: number;
    /** The length of each turn. */
    readonly milliseconds: number;
    readonly silent: number;
  },
): Promise<Report> {
  await using trial = await Trial.start({
    door: "tls",
    timeouts: { handshakeTimeout },
  });
  await trial.busyInTurns(milliseconds);
  await trial.connectOnly(silent);
  await trial.shakeHands(peers);
  for (;;) {
    const report = await trial.report();
    const { ended: { handshakeTimeout = 0 }, open } = report;
    if (handshakeTimeout + open >= peers + silent) return report;
    await delay(20);
  }
}
