/**
 * Shared by the tests of connections: a connection whose peer is a bare transport that
 * may misbehave, and ways to watch both.
 *
 * @module
 */
import net from "node:net";
import process from "node:process";
import timers from "node:timers";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./options.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { delimited } from "../framing/delimited.ts";
import type { Bytes, Sendable } from "../framing/bytes.ts";
import { ownTimers } from "../internal/event_loop.ts";
import type { Transport } from "./transport.ts";

// A fixed identifier, for the simulation, which repeats runs exactly.
export { notePoll } from "./_turns.ts";

/** Text as UTF-8; bytes as they are. */
export function toBytes(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

/**
 * More than the kernel takes for a peer that does not read: by default Linux 6.16 and
 * later takes up to 32 MiB for the receiver and 4 MiB for the sender.
 */
export const MORE_THAN_KERNEL_TAKES = 48 * 1024 * 1024;

/** More than a transport in memory takes for a peer that does not read. */
export const MORE_THAN_MEMORY_TAKES = 1024 * 1024;

// After this time a test that waits in vain fails.
const WATCHDOG_MS = 30_000;

/** The bare end of a connection, which reads and writes only bytes. */
export class Peer<T extends Transport = Deno.TcpConn> implements Disposable {
  readonly conn: T;
  /** How many bytes the kernel has taken. */
  written = 0;

  constructor(conn: T) {
    this.conn = conn;
  }

  /** Writes all of `data`. */
  async write(data: string | Uint8Array): Promise<void> {
    let rest = toBytes(data);
    while (rest.length > 0) {
      const length = await this.conn.write(rest);
      this.written += length;
      rest = rest.subarray(length);
    }
  }

  /** Reads exactly `length` bytes, as text. */
  async read(length: number): Promise<string> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const count = await this.conn.read(bytes.subarray(filled));
      if (count === null) throw new Error(`End after ${filled} bytes`);
      filled += count;
    }
    return new TextDecoder().decode(bytes);
  }

  /** Reads chunk by chunk, to the end. */
  async *chunks(): AsyncGenerator<Bytes> {
    while (true) {
      const chunk = new Uint8Array(256 * 1024);
      const length = await this.conn.read(chunk);
      if (length === null) return;
      yield chunk.subarray(0, length);
    }
  }

  /** Reads to the end, as text. */
  async readToEnd(): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of this.chunks()) {
      text += decoder.decode(chunk, { stream: true });
    }
    return text;
  }

  /** Reads to the end, and returns the number of bytes. */
  async countToEnd(): Promise<number> {
    let count = 0;
    for await (const { length } of this.chunks()) count += length;
    return count;
  }

  /** Closes the socket if it is still open. */
  close(): void {
    try {
      this.conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A connection and its peer. */
export interface Pair<In, Out> extends AsyncDisposable {
  readonly connection: Connection<In, Out>;
  readonly peer: Peer<Transport>;
}

let loopbacks = 0;

/**
 * An address of this machine, on Linux another one each time: for a minute no
 * socket can listen on a port that a connection had, and some tests make thousands.
 */
export function loopback(): string {
  if (Deno.build.os !== "linux") return "127.0.0.1";
  const number = loopbacks++ % 50_000;
  return `127.1.${number % 250}.${1 + Math.floor(number / 250)}`;
}

/** Two ends of one TCP connection over loopback. */
export async function sockets(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: loopback(), port: 0 });
  const { hostname, port } = listener.addr;
  const [near, far] = await Promise.all([
    Deno.connect({ hostname, port }),
    listener.accept(),
  ]);
  return [near, far];
}

/** Options of a test that works with any framing. */
export type AnyFramingOptions =
  & Omit<ConnectionOptions, "framing">
  & { framing?: never };

/**
 * A connection in memory with a bare peer. Both are ended at the end of their scope. If
 * the test names no framing, messages end with a line feed.
 *
 * @param wrap Puts something between the connection and its transport.
 */
export function pair<In, Out>(
  options: ConnectionOptions<In, Out>,
  wrap?: (conn: Transport) => Transport,
): Promise<Pair<In, Out>>;
export function pair(
  options?: AnyFramingOptions,
  wrap?: (conn: Transport) => Transport,
): Promise<Pair<Bytes, Sendable>>;
export function pair<In, Out>(
  options: ConnectionOptions<In, Out> | AnyFramingOptions = {},
  wrap?: (conn: Transport) => Transport,
): Promise<Pair<In, Out> | Pair<Bytes, Sendable>> {
  return Promise.resolve(anyPair(transportPair(), options, wrap));
}

/** Like {@linkcode pair}, over sockets, for tests that involve the kernel. */
export function socketPair<In, Out>(
  options: ConnectionOptions<In, Out>,
  wrap?: (conn: Deno.TcpConn) => Transport,
): Promise<Pair<In, Out>>;
export function socketPair(
  options?: AnyFramingOptions,
  wrap?: (conn: Deno.TcpConn) => Transport,
): Promise<Pair<Bytes, Sendable>>;
export async function socketPair<In, Out>(
  options: ConnectionOptions<In, Out> | AnyFramingOptions = {},
  wrap?: (conn: Deno.TcpConn) => Transport,
): Promise<Pair<In, Out> | Pair<Bytes, Sendable>> {
  return anyPair(await sockets(), options, wrap);
}

function anyPair<In, Out, T extends Transport>(
  ends: [T, T],
  options: ConnectionOptions<In, Out> | AnyFramingOptions,
  wrap?: (conn: T) => Transport,
): Pair<In, Out> | Pair<Bytes, Sendable> {
  return options.framing === undefined
    ? framedPair(ends, { ...options, framing: delimited("\n") }, wrap)
    : framedPair(ends, options, wrap);
}

function framedPair<In, Out, T extends Transport>(
  [near, far]: [T, T],
  options: ConnectionOptions<In, Out>,
  wrap: (conn: T) => Transport = (conn) => conn,
): Pair<In, Out> {
  const connection = new Connection(wrap(near), options);
  const peer = new Peer(far);
  // The timer also keeps the process alive; nothing in memory does.
  const watchdog = setTimeout(() => {
    connection.abort(new Error("The test waited in vain"));
    peer.close();
  }, WATCHDOG_MS);
  return {
    connection,
    peer,
    async [Symbol.asyncDispose]() {
      clearTimeout(watchdog);
      connection.abort();
      peer.close();
      await connection.closed.catch(() => {});
    },
  };
}

/** A connection with a peer that can reset it. */
export interface ResettablePair<In, Out> extends AsyncDisposable {
  readonly connection: Connection<In, Out>;
  /** Writes to the connection. */
  write(data: string): Promise<void>;
  /** Ends the connection with a RST and no FIN. */
  reset(): void;
}

/** A connection whose peer can reset it, which `Deno.Conn` cannot. */
export async function resettablePair<In, Out>(
  options: ConnectionOptions<In, Out>,
): Promise<ResettablePair<In, Out>> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = net.connect(listener.addr.port, "127.0.0.1");
  socket.on("error", () => {});
  const [near] = await Promise.all([
    listener.accept(),
    once(socket, "connect"),
  ]);
  const connection = new Connection(near, options);
  const watchdog = setTimeout(() => {
    connection.abort(new Error("The test waited in vain"));
    socket.destroy();
  }, WATCHDOG_MS);
  return {
    connection,
    write: (data) =>
      new Promise((resolve, reject) =>
        socket.write(data, (error) => error ? reject(error) : resolve())
      ),
    reset: () => void socket.resetAndDestroy(),
    async [Symbol.asyncDispose]() {
      clearTimeout(watchdog);
      connection.abort();
      const closed = socket.closed || once(socket, "close");
      socket.destroy();
      await closed;
      await connection.closed.catch(() => {});
    },
  };
}

/**
 * Receives, and returns `otherwise` if the peer has reset the connection: in Deno the
 * peer's abort is an end, in runtimes that can reset it is an error.
 */
export async function unlessReset<T>(
  receiving: Promise<T>,
  otherwise: T,
): Promise<T> {
  try {
    return await receiving;
  } catch (error) {
    if (error instanceof Error && error.name === "ConnectionReset") {
      return otherwise;
    }
    throw error;
  }
}

/** `target`, with some methods replaced. */
export function overriding<T extends object>(
  target: T,
  methods: Partial<T>,
): T {
  return new Proxy(target, {
    get(target, property) {
      const value: unknown = Reflect.get(
        property in methods ? methods : target,
        property,
      );
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** `conn`, whose writes wait for `gate`. */
export function writingBehind(
  gate: Promise<void>,
  conn: Transport,
): Transport {
  return overriding(conn, {
    async write(bytes) {
      await gate;
      return conn.write(bytes);
    },
  });
}

/** Waits for a turn of the event loop, in which timers and sockets are polled. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Whether `promise` is still pending after a few turns. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const settle = () => {
    isSettled = true;
  };
  promise.then(settle, settle);
  for (let i = 0; i < 3; i++) await turn();
  return !isSettled;
}

/**
 * Waits until `condition` holds, for states without an event. The test runner's limit
 * ends a test that waits in vain.
 */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/**
 * Waits until `value` stops growing: no event shows that a socket is blocked. A result
 * that comes too early makes a test weaker; it cannot make it fail.
 */
export async function untilSteady(value: () => number): Promise<void> {
  let last = NaN;
  let sameFor = 0;
  while (sameFor < 10) {
    await new Promise((resolve) => setTimeout(resolve, 3));
    const current = value();
    sameFor = current === last ? sameFor + 1 : 0;
    last = current;
  }
}

/** Returns the reasons of the unhandled rejections that `action` leaves. */
export async function unhandledRejectionsIn(
  action: () => Promise<unknown>,
): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const listener = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", listener);
  try {
    await action();
    for (let i = 0; i < 3; i++) await turn();
  } finally {
    globalThis.removeEventListener("unhandledrejection", listener);
  }
  return reasons;
}

/** The path of a file in this folder. */
function fileUrl(name: string): URL {
  return new URL(name, import.meta.url);
}

/** The start of a program for {@linkcode run}: two ends of a TCP connection. */
export const SOCKETS_PROGRAM = `
  import { Connection } from "${fileUrl("../connection.ts")}";
  import { lines } from "${fileUrl("../framing.ts")}";
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [near, far] = await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
  listener.close();
`;

/** Runs a program with `deno`, and returns its output and exit code. */
export async function run(
  program: string,
): Promise<{ output: string; code: number }> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, program);
  try {
    const { code, stdout, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--no-check",
        "--quiet",
        "--allow-net=127.0.0.1",
        `--config=${fileURLToPath(fileUrl("../deno.json"))}`,
        file,
      ],
    }).output();
    const decoder = new TextDecoder();
    return { output: decoder.decode(stdout) + decoder.decode(stderr), code };
  } finally {
    await Deno.remove(file);
  }
}

/**
 * Counts timers that do not keep the process alive, which the test runner does not
 * check.
 */
export interface BackgroundTimers extends Disposable {
  /** How many timers were set since then and are still pending. */
  readonly count: number;
  /** The longest time for which one of them was set, in milliseconds. */
  readonly longest: number;
}

/** Counts background timers from now on. */
export function backgroundTimers(): BackgroundTimers {
  const { setTimeout, clearTimeout } = ownTimers;
  const running = new Map<
    unknown,
    { timer: ReturnType<typeof setTimeout>; milliseconds: number }
  >();
  const background = () =>
    [...running.values()].filter(({ timer }) => !timer.hasRef());
  ownTimers.setTimeout = (callback, milliseconds) => {
    const timer = setTimeout(() => {
      running.delete(timer);
      callback();
    }, milliseconds);
    running.set(timer, { timer, milliseconds });
    return timer;
  };
  ownTimers.clearTimeout = (timer) => {
    running.delete(timer);
    clearTimeout(timer);
  };
  return {
    get count() {
      return background().length;
    },
    get longest() {
      return Math.max(...background().map(({ milliseconds }) => milliseconds));
    },
    [Symbol.dispose]() {
      Object.assign(ownTimers, { setTimeout, clearTimeout });
    },
  };
}

/** Timers that belong to requests; see {@linkcode requestTimers}. */
export interface RequestTimers extends Disposable {
  /** Ends the request: its timers never fire. */
  endRequest(): void;
}

/** Lets the timers of this module belong to requests, as in Workers. */
export function requestTimers(): RequestTimers {
  const own = { ...ownTimers };
  const ofRequest = new Set<ReturnType<typeof setTimeout>>();
  const setTimeout = (callback: () => void, milliseconds: number) => {
    const timer = own.setTimeout(() => {
      ofRequest.delete(timer);
      callback();
    }, milliseconds);
    ofRequest.add(timer);
    return timer;
  };
  const endRequest = () => {
    for (const timer of ofRequest) own.clearTimeout(timer);
    ofRequest.clear();
  };
  Object.assign(ownTimers, {
    setTimeout,
    setImmediate: (callback: () => void) => setTimeout(callback, 0),
    nextTick: own.queueMicrotask,
    areShared: false,
  });
  return {
    endRequest,
    [Symbol.dispose]() {
      endRequest();
      Object.assign(ownTimers, own);
    },
  };
}

/**
 * Replaces the timers and the clock of this process as programs do in their tests: fake
 * time stands still until the returned object is disposed.
 */
export function fakeTimers(): Disposable {
  const restore: (() => void)[] = [];
  const replace = (target: object, name: string) => {
    const own = Object.getOwnPropertyDescriptor(target, name);
    restore.push(() => {
      if (own !== undefined) Object.defineProperty(target, name, own);
      else Reflect.deleteProperty(target, name);
    });
    Reflect.set(target, name, () => 0);
  };
  for (const name of ["setTimeout", "setInterval", "setImmediate"]) {
    replace(globalThis, name);
    replace(timers, name);
  }
  replace(globalThis, "queueMicrotask");
  replace(process, "nextTick");
  replace(performance, "now");
  return {
    [Symbol.dispose]() {
      for (const undo of restore) undo();
    },
  };
}
