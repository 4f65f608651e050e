/**
 * A server of framed connections, in the shape of `Deno.serve`.
 *
 * @example Answering lines
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       await connection.send(line.toUpperCase());
 *     }
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.request("hello"), "HELLO");
 * ```
 *
 * @module
 */
import {
  checkConnectionOptions,
  checkMilliseconds,
  refuseOptions,
} from "./_connection_options.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import type { Bytes, Sendable } from "./framing/framing.ts";

/**
 * Does the work for one connection. When it is done, the connection is closed
 * behind what it has sent; when it throws, the connection is aborted.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 */
export type ConnectionHandler<In = Bytes, Out = Sendable> = (
  connection: Connection<In, Out>,
) => void | Promise<void>;

/**
 * Options for {@linkcode serve} on every kind of address.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam A The kind of address.
 */
export interface ServeBaseOptions<In, Out, A extends Deno.Addr>
  extends ConnectionOptions<In, Out> {
  /**
   * How many connections may be open at once. Further ones wait in the kernel's
   * backlog until one ends. No limit by default.
   */
  maxConnections?: number | undefined;
  /** Called once with the address when the server listens. */
  onListen?: ((addr: A) => void) | undefined;
  /**
   * Called with the error of a connection that ended badly, or of a connection
   * that could not be accepted, where there is no connection. By default errors
   * go to `console.error`.
   */
  onError?:
    | ((error: unknown, connection: Connection<In, Out> | undefined) => void)
    | undefined;
  /** Ends the server and aborts its connections, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Options for {@linkcode serve} on a TCP port, with or without TLS.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 */
export interface ServeTcpOptions<In = Bytes, Out = Sendable>
  extends ServeBaseOptions<In, Out, Deno.NetAddr> {
  /**
   * The port; 0 lets the system choose one.
   *
   * @default {8000}
   */
  port?: number | undefined;
  /**
   * The address to listen on.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string | undefined;
  /** The certificate chain for TLS, as PEM. Needs `key`. */
  cert?: string | undefined;
  /** The private key for TLS, as PEM. Needs `cert`. */
  key?: string | undefined;
  /** The protocols to offer by ALPN. Needs `cert` and `key`. */
  alpnProtocols?: string[] | undefined;
  /**
   * Whether other processes may listen on the same port, and share its
   * connections. Only on Linux; elsewhere `true` is refused.
   *
   * @default {false}
   */
  reusePort?: boolean | undefined;
  /**
   * How many connections the kernel keeps waiting.
   *
   * @default {511}
   */
  tcpBacklog?: number | undefined;
}

/**
 * Options for {@linkcode serve} on a Unix socket.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 */
export interface ServeUnixOptions<In = Bytes, Out = Sendable>
  extends ServeBaseOptions<In, Out, Deno.UnixAddr> {
  /** The path of the socket, which is removed when the server ends. */
  path: string;
}

/** Options for {@linkcode Server.shutdown}. */
export interface ShutdownOptions {
  /**
   * After how many milliseconds connections are aborted that have not ended. By
   * default they have all the time they need.
   */
  timeout?: number | undefined;
}

/**
 * A server that listens; made by {@linkcode serve}.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam A The kind of address.
 */
export interface Server<
  In = Bytes,
  Out = Sendable,
  A extends Deno.Addr = Deno.Addr,
> extends AsyncDisposable {
  /** The address that the server listens on. */
  readonly addr: A;
  /** Settles when the server and all its connections have ended. */
  readonly finished: Promise<void>;
  /** The connections that are open. */
  readonly connections: ReadonlySet<Connection<In, Out>>;
  /**
   * Ends the server, and lets its connections end their work: no more are
   * accepted, the messages of each end behind those already read from its
   * socket, handlers finish, and what is queued goes out.
   *
   * @param options How long that may take.
   * @returns A promise that settles when all has ended.
   * @throws {RangeError} If `timeout` is out of range.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Lets the server keep the process alive, as it does by default. */
  ref(): void;
  /** Lets the process end while the server listens. */
  unref(): void;
}

/**
 * Serves framed connections on port 8000 of all interfaces, with messages that
 * end with `\n`.
 *
 * @param handler Does the work for one connection.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port is taken.
 */
export function serve(
  handler: ConnectionHandler,
): Server<Bytes, Sendable, Deno.NetAddr>;
/**
 * Serves framed connections on a Unix socket.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The path, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, which listens already.
 * @throws {TypeError} If options contradict each other.
 * @throws {RangeError} If a number is out of range.
 */
export function serve<In = Bytes, Out = Sendable>(
  options: ServeUnixOptions<In, Out>,
  handler: ConnectionHandler<In, Out>,
): Server<In, Out, Deno.UnixAddr>;
/**
 * Serves framed connections on a TCP port, with TLS if `cert` and `key` are
 * given.
 *
 * One connection's error never touches another, nor the server. When no more
 * descriptors can be opened, accepting goes on after a pause.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port is taken.
 * @throws {TypeError} If options contradict each other.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Ending when the work is done
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * const client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.request("hello"), "hello");
 *
 * await server.shutdown({ timeout: 1000 });
 *
 * assertEquals(await client.receive(), undefined);
 * await client.close();
 * ```
 */
export function serve<In = Bytes, Out = Sendable>(
  options: ServeTcpOptions<In, Out>,
  handler: ConnectionHandler<In, Out>,
): Server<In, Out, Deno.NetAddr>;
export function serve<In, Out>(
  optionsOrHandler: ServeOptions<In, Out> | ConnectionHandler<In, Out>,
  handlerAfterOptions?: ConnectionHandler<In, Out>,
): Server<In, Out, Deno.NetAddr> | Server<In, Out, Deno.UnixAddr> {
  const [options, handler] = typeof optionsOrHandler === "function"
    ? [{}, optionsOrHandler]
    : [optionsOrHandler, handlerAfterOptions];
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot serve as handler must be a function: current value is of type ${typeof handler}`,
    );
  }
  checkServeOptions(options);
  options.signal?.throwIfAborted();
  return isUnix(options)
    ? new ListeningServer(
      Deno.listen({ transport: "unix", path: options.path }),
      options,
      handler,
    )
    : new ListeningServer(listenTcp(options), options, handler);
}

type ServeOptions<In, Out> =
  | ServeTcpOptions<In, Out>
  | ServeUnixOptions<In, Out>;

const DEFAULT_PORT = 8000;
const ACCEPT_PAUSE_MS = 100;

function isUnix<In, Out>(
  options: ServeOptions<In, Out>,
): options is ServeUnixOptions<In, Out> {
  return "path" in options && options.path !== undefined;
}

function checkServeOptions<In, Out>(options: ServeOptions<In, Out>): void {
  const { maxConnections } = options;
  if (
    maxConnections !== undefined && maxConnections !== Infinity &&
    !(Number.isSafeInteger(maxConnections) && maxConnections >= 1)
  ) {
    throw new RangeError(
      `Cannot serve as maxConnections must be a whole number of at least 1: current value is ${maxConnections}`,
    );
  }
  if (isUnix(options)) {
    refuseOptions(options, [
      "port",
      "hostname",
      "cert",
      "key",
      "alpnProtocols",
      "reusePort",
      "tcpBacklog",
    ], "with path: a Unix socket does not have it");
    checkConnectionOptions(options, "Unix socket");
    return;
  }
  const { cert, key, reusePort } = options;
  if (cert === undefined || key === undefined) {
    refuseOptions(
      options,
      ["cert", "key", "alpnProtocols"],
      "as TLS needs both cert and key",
    );
  }
  if (reusePort && Deno.build.os !== "linux") {
    throw new TypeError(
      `Cannot use option reusePort on ${Deno.build.os}: only Linux has it`,
    );
  }
  checkConnectionOptions(options, cert === undefined ? "TCP" : "TLS");
}

function listenTcp<In, Out>(
  options: ServeTcpOptions<In, Out>,
): Deno.Listener<Deno.Conn, Deno.NetAddr> {
  const {
    port = DEFAULT_PORT,
    hostname,
    cert,
    key,
    alpnProtocols,
    reusePort,
    tcpBacklog,
  } = options;
  const address = {
    port,
    ...(hostname !== undefined && { hostname }),
    ...(reusePort !== undefined && { reusePort }),
    ...(tcpBacklog !== undefined && { tcpBacklog }),
  };
  return cert === undefined || key === undefined
    ? Deno.listen(address)
    : Deno.listenTls({
      ...address,
      cert,
      key,
      ...(alpnProtocols && { alpnProtocols }),
    });
}

class ListeningServer<In, Out, A extends Deno.Addr>
  implements Server<In, Out, A> {
  readonly addr: A;
  readonly finished: Promise<void>;
  readonly connections = new Set<Connection<In, Out>>();
  readonly #listener: Deno.Listener<Deno.Conn, A>;
  readonly #options: ServeBaseOptions<In, Out, A>;
  readonly #handler: ConnectionHandler<In, Out>;
  // What runs for each connection until it has ended.
  readonly #running = new Set<Promise<void>>();
  #isRef = true;
  // Aborted when no more connections are to be accepted.
  readonly #stop = new AbortController();

  constructor(
    listener: Deno.Listener<Deno.Conn, A>,
    options: ServeBaseOptions<In, Out, A>,
    handler: ConnectionHandler<In, Out>,
  ) {
    this.#listener = listener;
    this.#options = options;
    this.#handler = handler;
    this.addr = listener.addr;
    options.signal?.addEventListener("abort", this.#onAbort);
    this.finished = this.#run();
    options.onListen?.(this.addr);
  }

  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    const { timeout } = options;
    checkMilliseconds("timeout", timeout, 0);
    this.#stopAccepting();
    for (const connection of this.connections) connection.closeRead();
    if (timeout === undefined) return this.finished;
    const timer = setTimeout(() => {
      this.#abortAll(
        new DOMException(
          `The connection did not end within the shutdown timeout of ${timeout} ms`,
          "TimeoutError",
        ),
      );
    }, timeout);
    await this.finished;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  ref(): void {
    this.#isRef = true;
    this.#listener.ref();
    for (const connection of this.connections) connection.ref();
  }

  unref(): void {
    this.#isRef = false;
    this.#listener.unref();
    for (const connection of this.connections) connection.unref();
  }

  #onAbort = (): void => {
    this.#stopAccepting();
    this.#abortAll(this.#options.signal?.reason);
  };

  #stopAccepting(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#listener.close();
  }

  #abortAll(reason: unknown): void {
    for (const connection of this.connections) connection.abort(reason);
  }

  async #run(): Promise<void> {
    await this.#acceptAll();
    await Promise.all(this.#running);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    if (this.addr.transport === "unix") removeIfThere(this.addr.path);
  }

  async #acceptAll(): Promise<void> {
    const { maxConnections = Infinity } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#running.size >= maxConnections) {
          await Promise.race([...this.#running, aborted(signal)]);
          continue;
        }
        const conn = await this.#listener.accept();
        this.#start(conn);
      } catch (error) {
        if (signal.aborted) return;
        // Such as "too many open files", which passes when a connection ends.
        this.#report(error, undefined);
        await pause(ACCEPT_PAUSE_MS, signal);
      }
    }
  }

  #start(conn: Deno.Conn): void {
    let connection: Connection<In, Out>;
    try {
      // The server's signal is for all connections, so none listens to it itself.
      connection = new Connection(conn, {
        ...this.#options,
        signal: undefined,
      });
    } catch (error) {
      conn.close();
      throw error;
    }
    if (!this.#isRef) connection.unref();
    this.connections.add(connection);
    const running = this.#handle(connection).then(() => {
      this.connections.delete(connection);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #handle(connection: Connection<In, Out>): Promise<void> {
    try {
      await this.#handler(connection);
      await connection.close();
    } catch (error) {
      // A connection that ended badly may still send what was queued before.
      if (!connection.signal.aborted) connection.abort(error);
      this.#report(error, connection);
      await connection.closed.catch(() => {});
    }
  }

  #report(
    error: unknown,
    connection: Connection<In, Out> | undefined,
  ): void {
    const { onError } = this.#options;
    if (onError !== undefined) onError(error, connection);
    // deno-lint-ignore no-console -- an error must not go unseen
    else console.error(error);
  }
}

/** Settles when `signal` is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Settles after some milliseconds, or when `signal` is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
