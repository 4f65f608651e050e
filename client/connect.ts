import { abortable } from "@std/async/abortable";
import {
  checkConnectionOptions,
  checkMilliseconds,
  checkPath,
  checkPort,
  isUnix,
  refuseOptions,
} from "../connection/_connection_options.ts";
import {
  Connection,
  type ConnectionOptions,
} from "../connection/connection.ts";
import type { Bytes, Sendable } from "../framing/framing.ts";

/**
 * Options for {@linkcode connect} to every kind of address.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example The options that every address has
 * ```ts
 * import { connect, type ConnectBaseOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * const patient: ConnectBaseOptions<string, string> = {
 *   framing,
 *   connectTimeout: 5000,
 *   signal: AbortSignal.timeout(60_000),
 * };
 * await using client = await connect({ ...patient, port: server.addr.port });
 * assertEquals(await client.request("hello"), "hello");
 * ```
 */
export interface ConnectBaseOptions<In = Bytes, Out = Sendable>
  extends ConnectionOptions<In, Out> {
  /**
   * How many milliseconds connecting may take, with looking up the name and the
   * TLS handshake. Time for which the program keeps its own thread busy does not
   * count. No limit by default.
   *
   * Deno keeps the socket of a TLS handshake that was given up until the peer
   * ends it.
   */
  connectTimeout?: number | undefined;
  /** Ends connecting, and later aborts the connection, with its reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Options for TLS; see {@linkcode ConnectTcpOptions.tls}.
 *
 * @example A certificate authority of one's own
 * ```ts
 * import { connect, type ConnectTlsOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const caCerts = [await Deno.readTextFile("dev/testdata/ca.pem")];
 * const cert = await Deno.readTextFile("dev/testdata/localhost.pem");
 * const key = await Deno.readTextFile("dev/testdata/localhost.key");
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing, cert, key },
 *   (connection) => connection.send("welcome"),
 * );
 *
 * const tls: ConnectTlsOptions = { caCerts };
 * await using client = await connect({ port: server.addr.port, framing, tls });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ConnectTlsOptions {
  /** Root certificates to trust beside the usual ones, each as PEM. */
  caCerts?: string[] | undefined;
  /**
   * A certificate chain to show to the server, as PEM. Needs `key`. With it,
   * `noDelay` and `keepAlive` cannot be set, and `true` is refused.
   */
  cert?: string | undefined;
  /** Its private key, as PEM. Needs `cert`. */
  key?: string | undefined;
  /** The protocols to ask for by ALPN. */
  alpnProtocols?: string[] | undefined;
}

/**
 * Options for {@linkcode connect} to a TCP port, with or without TLS.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example A port of this machine
 * ```ts
 * import { connect, type ConnectTcpOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * const options: ConnectTcpOptions<string, string> = {
 *   hostname: "127.0.0.1",
 *   port: server.addr.port,
 *   framing,
 * };
 * await using client = await connect(options);
 * assertEquals(await client.request("hello"), "hello");
 * ```
 */
export interface ConnectTcpOptions<In = Bytes, Out = Sendable>
  extends ConnectBaseOptions<In, Out> {
  /** The port of the server. */
  port: number;
  /**
   * The name or address of the server.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string | undefined;
  /**
   * Whether to use TLS, or how. The handshake is done, and the certificate of the
   * server checked, before {@linkcode connect} settles.
   *
   * @default {false}
   */
  tls?: boolean | ConnectTlsOptions | undefined;
}

/**
 * Options for {@linkcode connect} to a Unix socket.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example A server whose socket is not there
 * ```ts
 * import { connect, type ConnectUnixOptions } from "@framed/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const options: ConnectUnixOptions = { path: "nowhere/app.sock" };
 * await assertRejects(() => connect(options), Error);
 * ```
 */
export interface ConnectUnixOptions<In = Bytes, Out = Sendable>
  extends ConnectBaseOptions<In, Out> {
  /** The path of the socket. */
  path: string;
}

/**
 * Options for {@linkcode connect}.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example An address that is read from a text
 * ```ts
 * import { type ConnectOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * // `/run/app.sock`, or `example.com:4000`.
 * function parseAddress(text: string): ConnectOptions {
 *   if (text.startsWith("/")) return { path: text };
 *   const { hostname, port } = new URL(`tcp://${text}`);
 *   return { hostname, port: Number(port) };
 * }
 *
 * assertEquals(parseAddress("/run/app.sock"), { path: "/run/app.sock" });
 * assertEquals(parseAddress("example.com:4000"), {
 *   hostname: "example.com",
 *   port: 4000,
 * });
 * ```
 */
export type ConnectOptions<In = Bytes, Out = Sendable> =
  | ConnectTcpOptions<In, Out>
  | ConnectUnixOptions<In, Out>;

/**
 * Connects to a server.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The address, the framing, limits and timeouts.
 * @returns The connection. Rejects with the system's error, such as
 * `Deno.errors.ConnectionRefused`, with a `TimeoutError`, with the signal's
 * reason, with a `TypeError` if options contradict each other, and with a
 * `RangeError` if a number is out of range.
 *
 * @example A connection that closes at the end of its block
 * ```ts
 * import { connect, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0 },
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({ port: server.addr.port });
 *
 * assertEquals(await client.receive(), new TextEncoder().encode("welcome"));
 * assertEquals(await client.receive(), undefined);
 * ```
 */
export async function connect<In = Bytes, Out = Sendable>(
  options: ConnectOptions<In, Out>,
): Promise<Connection<In, Out>> {
  checkConnectOptions(options);
  const { connectTimeout, signal } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  let timer: ReturnType<typeof setTimeout> | undefined;
  if (connectTimeout !== undefined) {
    const due = performance.now() + connectTimeout;
    const giveUp = () => {
      controller.abort(
        new DOMException(
          `Cannot connect to ${
            addressOf(options)
          } within connectTimeout of ${connectTimeout} ms`,
          "TimeoutError",
        ),
      );
    };
    timer = setTimeout(() => {
      // A timer that is late tells that this thread was busy. The peer gets that time
      // back, and where it is none, a look at the sockets: a timer comes before them.
      timer = setTimeout(giveUp, performance.now() - due);
    }, connectTimeout);
  }
  try {
    const conn = await open(options, controller.signal);
    try {
      controller.signal.throwIfAborted();
      return new Connection(conn, connectionOptionsFor(conn, options));
    } catch (error) {
      conn.close();
      throw error;
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

const DEFAULT_HOSTNAME = "127.0.0.1";

function addressOf<In, Out>(options: ConnectOptions<In, Out>): string {
  return isUnix(options)
    ? options.path
    : `${options.hostname ?? DEFAULT_HOSTNAME}:${options.port}`;
}

function checkConnectOptions<In, Out>(options: ConnectOptions<In, Out>): void {
  checkMilliseconds("connectTimeout", options.connectTimeout);
  // Left out of account, they would leave the connection open to all.
  refuseOptions(
    options,
    ["caCerts", "cert", "key", "alpnProtocols"],
    "outside tls: give it inside tls",
  );
  if (isUnix(options)) {
    checkPath(options.path);
    refuseOptions(
      options,
      ["port", "hostname", "tls"],
      "with path: a Unix socket does not have it",
    );
    checkConnectionOptions(options, "Unix socket");
    return;
  }
  checkPort(options.port, 1);
  const { cert, key } = tlsOptionsOf(options) ?? {};
  if (cert === undefined || key === undefined) {
    refuseOptions(
      { cert, key },
      ["cert", "key"],
      "alone: cert and key must be given together",
    );
  }
  checkConnectionOptions(options, cert === undefined ? "TCP" : "TLS");
}

function tlsOptionsOf<In, Out>(
  options: ConnectTcpOptions<In, Out>,
): ConnectTlsOptions | undefined {
  const { tls = false } = options;
  if (tls === true) return {};
  return tls === false ? undefined : tls;
}

/** The options that are left to honour once `conn` is open. */
function connectionOptionsFor<In, Out>(
  conn: Deno.Conn,
  options: ConnectionOptions<In, Out>,
): ConnectionOptions<In, Out> {
  return "setNoDelay" in conn
    ? options
    : { ...options, noDelay: undefined, keepAlive: undefined };
}

/** Opens the connection, its handshake done; gives up when `signal` is aborted. */
async function open<In, Out>(
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): Promise<Deno.Conn> {
  if (isUnix(options)) {
    const { path } = options;
    return await openedInTime(
      Deno.connect({ transport: "unix", path }),
      signal,
    );
  }
  const tls = tlsOptionsOf(options);
  if (tls === undefined) return await openTcp(options, signal);
  const conn = await openTls(options, tls, signal);
  try {
    await abortable(conn.handshake(), signal);
    return conn;
  } catch (error) {
    conn.close();
    throw error;
  }
}

async function openTcp<In, Out>(
  options: ConnectTcpOptions<In, Out>,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  const { port, hostname = DEFAULT_HOSTNAME } = options;
  // The signal given to Deno stops dialling, but not the look-up of a name.
  const conn = await openedInTime(
    Deno.connect({ port, hostname, signal }),
    signal,
  );
  if (isConnectedToItself(conn)) {
    conn.close();
    throw new Deno.errors.ConnectionRefused(
      `Cannot connect to ${
        addressOf(options)
      }: nobody listens there, and the connection was made with itself`,
    );
  }
  return conn;
}

/**
 * Whether both ends are one: where nobody listens on a port that the system may give
 * to a client, it can give it to this one, and TCP then connects the two.
 */
function isConnectedToItself({ localAddr, remoteAddr }: Deno.TcpConn): boolean {
  return localAddr.port === remoteAddr.port &&
    localAddr.hostname === remoteAddr.hostname;
}

/** Opens a TLS connection that has not begun its handshake. */
async function openTls<In, Out>(
  options: ConnectTcpOptions<In, Out>,
  tls: ConnectTlsOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const { port, hostname = DEFAULT_HOSTNAME, noDelay = true, keepAlive } =
    options;
  const { caCerts, cert, key, alpnProtocols } = tls;
  const tlsOptions = {
    hostname,
    ...(caCerts && { caCerts }),
    ...(alpnProtocols && { alpnProtocols }),
  };
  if (cert !== undefined && key !== undefined) {
    return await openedInTime(
      Deno.connectTls({ ...tlsOptions, port, cert, key }),
      signal,
    );
  }
  // Of a TLS connection the two can only be set before it is one (measured:
  // write, write, read takes 46 ms a round with Nagle's algorithm).
  const conn = await openTcp(options, signal);
  try {
    conn.setNoDelay(noDelay);
    if (keepAlive !== undefined) conn.setKeepAlive(keepAlive);
    return await Deno.startTls(conn, tlsOptions);
  } catch (error) {
    conn[Symbol.dispose](); // also where startTls has taken it already
    throw error;
  }
}

/** The connection, unless `signal` is aborted first; then it is closed when it comes. */
async function openedInTime<C extends Deno.Conn>(
  opening: Promise<C>,
  signal: AbortSignal,
): Promise<C> {
  try {
    return await abortable(opening, signal);
  } catch (error) {
    opening.then((late) => late.close(), () => {});
    throw error;
  }
}
