import { isAbsolute } from "node:path";
import {
  checkConnectionOptions,
  checkMilliseconds,
  checkPath,
  checkPort,
  isUnix,
  refuseOptions,
} from "../connection/_connection_options.ts";
import { logError } from "../internal/log_error.ts";
import { checkFunction } from "../internal/check_function.ts";
import { isSettledWithin } from "../internal/settled_within.ts";
import {
  Connection,
  type ConnectionOptions,
} from "../connection/connection.ts";
import type { Bytes, Sendable } from "../framing/framing.ts";

/**
 * Does the work for one connection. When it is done, the connection is closed
 * behind what it has sent; when it throws, the connection is aborted.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example A handler that stands on its own
 * ```ts
 * import { connect, type ConnectionHandler, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const echo: ConnectionHandler<string, string> = async (connection) => {
 *   for await (const line of connection) await connection.send(line);
 * };
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   echo,
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.request("hello"), "hello");
 * ```
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
 *
 * @example The options that every address has
 * ```ts
 * import { lines, serve, type ServeBaseOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const failures: unknown[] = [];
 * const shared: ServeBaseOptions<string, string, Deno.NetAddr> = {
 *   framing: lines(),
 *   maxConnections: 1000,
 *   onError: (error) => void failures.push(error),
 * };
 * await using server = serve(
 *   { ...shared, hostname: "127.0.0.1", port: 0 },
 *   () => {},
 * );
 * await server.shutdown();
 * assertEquals(failures, []);
 * ```
 */
export interface ServeBaseOptions<
  In = Bytes,
  Out = Sendable,
  A extends Deno.Addr = Deno.Addr,
> extends ConnectionOptions<In, Out> {
  /**
   * How many connections may be open at once. Further ones wait in the kernel's
   * backlog until one ends. No limit by default.
   */
  maxConnections?: number | undefined;
  /**
   * Called once with the address when the server listens. What it throws comes
   * out of {@linkcode serve}, and the server does not listen any more.
   */
  onListen?: ((addr: A) => void) | undefined;
  /**
   * Called with an error: the one a handler threw, the one that kept what was still
   * queued when it was done from going out, or the one that kept a connection from
   * being accepted; there is no `connection` then. By default errors go to
   * `console.error`.
   *
   * A write that fails while the handler runs is told to the handler: by the sends
   * behind it, {@linkcode Connection.closed} and {@linkcode Connection.signal}.
   *
   * If it throws or rejects itself, both errors go to `console.error`, and the
   * server goes on.
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
 *
 * @example Any port that is free
 * ```ts
 * import { serve, type ServeTcpOptions } from "@framed/tcp";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const ports: number[] = [];
 * const options: ServeTcpOptions = {
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   onListen: ({ port }) => void ports.push(port),
 * };
 * await using server = serve(options, () => {});
 * assertEquals(ports, [server.addr.port]);
 * assert(server.addr.port > 0);
 * ```
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
   * The address to listen on: by default all of IPv4; `"::"` is all of IPv6.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string | undefined;
  /**
   * The certificate chain for TLS, as PEM. Needs `key`.
   *
   * Deno keeps the socket of a connection that is closed within its TLS handshake
   * until the peer ends it.
   */
  cert?: string | undefined;
  /** The private key for TLS, as PEM. Needs `cert`. */
  key?: string | undefined;
  /** The protocols to offer by ALPN. Needs `cert` and `key`. */
  alpnProtocols?: string[] | undefined;
  /**
   * Whether others may listen on the same port too, and share its connections.
   * Only on Linux, and only with Deno's flag `--unstable-net`; elsewhere `true` is
   * refused.
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
 *
 * @example A socket in a folder of its own
 * ```ts
 * import { connect, lines, serve, type ServeUnixOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const framing = lines();
 * const options: ServeUnixOptions<string, string> = {
 *   path: `${folder}/app.sock`,
 *   framing,
 * };
 * if (Deno.build.os !== "windows") {
 *   await using _server = serve(
 *     options,
 *     (connection) => connection.send("welcome"),
 *   );
 *   await using client = await connect({ path: options.path, framing });
 *   assertEquals(await client.receive(), "welcome");
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface ServeUnixOptions<In = Bytes, Out = Sendable>
  extends ServeBaseOptions<In, Out, Deno.UnixAddr> {
  /**
   * The path of the socket; a relative one begins at the folder of the process when
   * the server begins to listen.
   *
   * When the server stops listening, Deno removes what lies at the path, even if it
   * is the socket of another server by then. So to hand a path over, end the old
   * server before the new one listens.
   */
  path: string;
}

/**
 * Options for {@linkcode serve}.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example An address that is read from a text
 * ```ts
 * import { connect, lines, serve, type ServeOptions } from "@framed/tcp";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * // `/run/app.sock`, or `127.0.0.1:4000`.
 * function parseAddress(text: string): ServeOptions<string, string> {
 *   if (text.startsWith("/")) return { path: text, framing };
 *   const { hostname, port } = new URL(`tcp://${text}`);
 *   return { hostname, port: Number(port), framing };
 * }
 *
 * await using server = serve(
 *   parseAddress("127.0.0.1:0"),
 *   (connection) => connection.send("welcome"),
 * );
 * const { addr } = server;
 * assert(addr.transport === "tcp");
 * await using client = await connect({ port: addr.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export type ServeOptions<In = Bytes, Out = Sendable> =
  | ServeTcpOptions<In, Out>
  | ServeUnixOptions<In, Out>;

/**
 * Options for {@linkcode Server.shutdown}.
 *
 * @example At most so long
 * ```ts
 * import { connect, serve, type ShutdownOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const handling = Promise.withResolvers<void>();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, onError: () => {} },
 *   async (connection) => {
 *     handling.resolve();
 *     for await (const _message of connection);
 *     await new Promise((resolve) =>
 *       // a handler that is slow to end
 *       connection.signal.addEventListener("abort", resolve)
 *     );
 *   },
 * );
 * await using _client = await connect({ port: server.addr.port });
 * await handling.promise;
 *
 * const options: ShutdownOptions = { timeout: 10 };
 * await server.shutdown(options); // aborts what has not ended by then
 * assertEquals(server.connections.size, 0);
 * ```
 */
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
 *
 * @example Watching a server
 * ```ts
 * import { connect, serve, type Server } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const server: Server = serve(
 *   { hostname: "127.0.0.1", port: 0 },
 *   (connection) => connection.send("welcome"),
 * );
 * const { addr } = server;
 * if (addr.transport === "tcp") {
 *   await using client = await connect({ port: addr.port });
 *   await client.receive();
 *   assertEquals(server.connections.size, 1);
 * }
 * await server.shutdown();
 * await server.finished;
 * assertEquals(server.connections.size, 0);
 * ```
 */
export interface Server<
  In = Bytes,
  Out = Sendable,
  A extends Deno.Addr = Deno.Addr,
> extends AsyncDisposable {
  /** The address that the server listens on. */
  readonly addr: A;
  /**
   * Settles when the server has ended, with all connections and handlers. It never
   * rejects.
   */
  readonly finished: Promise<void>;
  /** The connections that are open or have a handler that still runs. */
  readonly connections: ReadonlySet<Connection<In, Out>>;
  /**
   * Ends the server, and lets its connections end their work: no more are
   * accepted, the messages of each end behind those already read from its
   * socket, handlers finish, and what is queued is sent.
   *
   * @param options How long that may take.
   * @returns A promise that settles when all has ended. With a `timeout`, it settles
   * soon after it even if a handler goes on: only {@linkcode Server.finished} waits
   * for that one.
   * @throws {RangeError} If `timeout` is out of range.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Lets the server keep the process alive, as it does by default. */
  ref(): void;
  /**
   * Lets the process end while the server listens. A connection with a write that
   * the peer does not take still keeps it alive, as Deno lets go of reads alone.
   *
   * @throws {Deno.errors.NotSupported} If the server uses TLS: Deno has no way to
   * do it then.
   */
  unref(): void;
}

/**
 * Serves framed connections on port 8000 of all IPv4 interfaces, with messages that
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
 * @throws {Deno.errors.AddrInUse} If the path is taken.
 * @throws {TypeError} If options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
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
 * files can be opened, accepting goes on after a pause.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port is taken.
 * @throws {TypeError} If options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
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
/**
 * Serves framed connections on a TCP port or a Unix socket, whichever the options
 * turn out to name.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port or the path is taken.
 * @throws {TypeError} If options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In = Bytes, Out = Sendable>(
  options: ServeOptions<In, Out>,
  handler: ConnectionHandler<In, Out>,
): Server<In, Out, Deno.NetAddr | Deno.UnixAddr>;
export function serve<In, Out>(
  optionsOrHandler: ServeOptions<In, Out> | ConnectionHandler<In, Out>,
  handlerAfterOptions?: ConnectionHandler<In, Out>,
): Server<In, Out, Deno.NetAddr | Deno.UnixAddr> {
  const [options, handler] = typeof optionsOrHandler === "function"
    ? [{}, optionsOrHandler]
    : [optionsOrHandler, handlerAfterOptions];
  checkFunction("serve", "handler", handler);
  checkServeOptions(options);
  options.signal?.throwIfAborted();
  return isUnix(options)
    ? new ListeningServer(listenUnix(options), options, handler)
    : new ListeningServer(listenTcp(options), options, handler);
}

const DEFAULT_PORT = 8000;
const MAX_BACKLOG = 2 ** 31 - 1;
const ACCEPT_PAUSE_MS = 100;

function checkServeOptions<In, Out>(options: ServeOptions<In, Out>): void {
  const { maxConnections = Infinity } = options;
  if (maxConnections !== Infinity) {
    checkCount("maxConnections", maxConnections, Number.MAX_SAFE_INTEGER);
  }
  for (const name of ["onListen", "onError"] as const) {
    const callback = options[name];
    if (callback !== undefined) checkFunction("serve", name, callback);
  }
  // Left out of account, it would leave the server open to all.
  refuseOptions(options, ["tls"], "to serve: TLS needs cert and key");
  if (isUnix(options)) {
    checkPath(options.path);
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
  const { port = DEFAULT_PORT, cert, key, reusePort, tcpBacklog } = options;
  checkPort(port, 0);
  if (cert === undefined || key === undefined) {
    refuseOptions(
      options,
      ["cert", "key", "alpnProtocols"],
      "as TLS needs both cert and key",
    );
  }
  if (reusePort) checkReusePort();
  if (tcpBacklog !== undefined) {
    checkCount("tcpBacklog", tcpBacklog, MAX_BACKLOG);
  }
  checkConnectionOptions(options, cert === undefined ? "TCP" : "TLS");
}

function checkCount(name: string, value: number, maximum: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > maximum) {
    throw new RangeError(
      `Cannot serve as ${name} must be a whole number from 1 to ${maximum}: current value is ${value}`,
    );
  }
}

/** Throws where Deno would ignore the option, or end the process for it. */
function checkReusePort(): void {
  if (Deno.build.os !== "linux") {
    throw new TypeError(
      `Cannot use option reusePort on ${Deno.build.os}: only Linux has it`,
    );
  }
  // The one sign of the flag that can be seen.
  if (!("listenDatagram" in Deno)) {
    throw new TypeError(
      "Cannot use option reusePort without Deno's flag --unstable-net",
    );
  }
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

function listenUnix<In, Out>(
  { path }: ServeUnixOptions<In, Out>,
): Deno.Listener<Deno.Conn, Deno.UnixAddr> {
  // Deno removes the socket in the end by this path, which would lead elsewhere once
  // the process has changed its folder. One that begins with a zero byte is no file.
  const isFixed = isAbsolute(path) || path.startsWith("\0");
  return Deno.listen({
    transport: "unix",
    path: isFixed ? path : `${Deno.cwd()}/${path}`,
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
  #isStopped = false;
  #isRef = true;
  // Resolved when a connection ends, or the server stops.
  #ended: PromiseWithResolvers<void> | undefined;

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
    try {
      options.onListen?.(this.addr);
    } catch (error) {
      this.#stop();
      options.signal?.removeEventListener("abort", this.#onAbort);
      throw error;
    }
    this.finished = this.#run();
  }

  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    const { timeout } = options;
    checkMilliseconds("timeout", timeout, 0);
    this.#stop();
    for (const connection of this.connections) connection.closeRead();
    if (timeout === undefined) return await this.finished;
    if (await isSettledWithin(this.finished, timeout)) return;
    const ends = [...this.connections].map(({ closed }) => closed);
    this.#abortAll(
      new DOMException(
        `The connection did not end within the shutdown timeout of ${timeout} ms`,
        "TimeoutError",
      ),
    );
    await Promise.allSettled(ends);
    // Handlers that end by this end now; others nobody can end.
    await isSettledWithin(this.finished, 0);
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
    if ("cert" in this.#options && this.#options.cert !== undefined) {
      throw new Deno.errors.NotSupported(
        "Cannot unref server over TLS: Deno's TLS listener keeps the process alive",
      );
    }
    this.#isRef = false;
    this.#listener.unref();
    for (const connection of this.connections) connection.unref();
  }

  #onAbort = (): void => {
    this.#stop();
    this.#abortAll(this.#options.signal?.reason);
  };

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#listener.close();
    this.#ended?.resolve();
  }

  #abortAll(reason: unknown): void {
    for (const connection of this.connections) connection.abort(reason);
  }

  async #run(): Promise<void> {
    await this.#acceptAll();
    while (this.connections.size > 0) await this.#waitForEnd();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }

  async #acceptAll(): Promise<void> {
    const { maxConnections = Infinity } = this.#options;
    while (!this.#isStopped) {
      if (this.connections.size >= maxConnections) {
        await this.#waitForEnd();
        continue;
      }
      let conn: Deno.Conn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (this.#isStopped) return;
        // The peer was gone before it was accepted, which holds up nobody else.
        if (error instanceof Deno.errors.NotConnected) continue;
        this.#report(error, undefined);
        // Such as "too many open files", which passes when a connection ends.
        await this.#waitForEnd(ACCEPT_PAUSE_MS);
        continue;
      }
      if (this.#isStopped) conn.close();
      else this.#start(conn);
    }
  }

  /** Waits until a connection ends or the server stops, or for a time at most. */
  async #waitForEnd(milliseconds?: number): Promise<void> {
    const { promise, resolve } = this.#ended = Promise.withResolvers<void>();
    const timer = milliseconds === undefined
      ? undefined
      : setTimeout(resolve, milliseconds);
    await promise;
    clearTimeout(timer);
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
      this.#report(error, undefined);
      return;
    }
    if (!this.#isRef) connection.unref();
    this.connections.add(connection);
    this.#handle(connection);
  }

  /** Runs the handler and what follows; never rejects. */
  async #handle(connection: Connection<In, Out>): Promise<void> {
    try {
      await this.#handler(connection);
      await connection.close();
    } catch (error) {
      // A connection that ended badly may still send what was queued before.
      if (!connection.signal.aborted) connection.abort(error);
      await this.#report(error, connection);
    }
    await connection.closed.catch(() => {});
    this.connections.delete(connection);
    this.#ended?.resolve();
  }

  /** Tells of an error; never rejects, as that would end the server. */
  async #report(
    error: unknown,
    connection: Connection<In, Out> | undefined,
  ): Promise<void> {
    const { onError = logError } = this.#options;
    try {
      await onError(error, connection); // which may be an async function
    } catch (onErrorError) {
      logError(error);
      logError(onErrorError);
    }
  }
}
