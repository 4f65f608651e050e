/**
 * A client: one framed connection to a server.
 *
 * @example Asking a server
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.request("hello"), "hello");
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
 * Options for {@linkcode connect} to every kind of address.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 */
export interface ConnectBaseOptions<In, Out>
  extends ConnectionOptions<In, Out> {
  /**
   * How many milliseconds connecting may take, with looking up the name and the
   * TLS handshake. No limit by default.
   */
  connectTimeout?: number | undefined;
  /** Ends connecting, and later aborts the connection, with its reason. */
  signal?: AbortSignal | undefined;
}

/** Options for TLS; see {@linkcode ConnectTcpOptions.tls}. */
export interface ConnectTlsOptions {
  /** Root certificates to trust beside the usual ones, each as PEM. */
  caCerts?: string[] | undefined;
  /** A certificate chain to show to the server, as PEM. Needs `key`. */
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
   * Whether to use TLS, or how. The certificate of the server is checked before
   * {@linkcode connect} settles.
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
  const timer = connectTimeout === undefined ? undefined : setTimeout(() => {
    controller.abort(
      new DOMException(
        `Cannot connect to ${
          addressOf(options)
        } within connectTimeout of ${connectTimeout} ms`,
        "TimeoutError",
      ),
    );
  }, connectTimeout);
  try {
    const conn = await open(options, controller.signal);
    return new Connection(conn, options);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function isUnix<In, Out>(
  options: ConnectOptions<In, Out>,
): options is ConnectUnixOptions<In, Out> {
  return "path" in options && options.path !== undefined;
}

function addressOf<In, Out>(options: ConnectOptions<In, Out>): string {
  return isUnix(options)
    ? options.path
    : `${options.hostname ?? "127.0.0.1"}:${options.port}`;
}

function checkConnectOptions<In, Out>(options: ConnectOptions<In, Out>): void {
  checkMilliseconds("connectTimeout", options.connectTimeout);
  if (isUnix(options)) {
    refuseOptions(
      options,
      ["port", "hostname", "tls"],
      "with path: a Unix socket does not have it",
    );
    checkConnectionOptions(options, "Unix socket");
    return;
  }
  const { tls = false } = options;
  checkConnectionOptions(options, tls === false ? "TCP" : "TLS");
  if (
    typeof tls === "object" &&
    (tls.cert === undefined) !== (tls.key === undefined)
  ) {
    refuseOptions(tls, ["cert", "key"], "without the other of cert and key");
  }
}

/** Opens the connection, its handshake done; gives up when `signal` is aborted. */
async function open<In, Out>(
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): Promise<Deno.Conn> {
  if (isUnix(options)) {
    const { path } = options;
    return await unlessAborted(
      Deno.connect({ transport: "unix", path }),
      signal,
      close,
    );
  }
  const { port, hostname, tls = false } = options;
  const address = { port, ...(hostname !== undefined && { hostname }) };
  if (tls === false) {
    return await unlessAborted(
      Deno.connect({ ...address, signal }),
      signal,
      close,
    );
  }
  const { caCerts, cert, key, alpnProtocols } = tls === true ? {} : tls;
  const conn = await unlessAborted(
    Deno.connectTls({
      ...address,
      ...(caCerts && { caCerts }),
      ...(alpnProtocols && { alpnProtocols }),
      ...(cert !== undefined && key !== undefined && { cert, key }),
    }),
    signal,
    close,
  );
  try {
    await unlessAborted(conn.handshake(), signal, () => {});
  } catch (error) {
    conn.close();
    throw error;
  }
  return conn;
}

function close(conn: Deno.Conn): void {
  conn.close();
}

/**
 * What `promise` gives, unless `signal` is aborted first. What it gives later
 * is handed to `discard`.
 */
async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  discard: (late: T) => void,
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => {
    reject(signal.reason);
    promise.then(discard, () => {});
  };
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
