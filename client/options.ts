import type { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

/**
 * Options for {@linkcode connect} to every kind of address.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
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
export interface ConnectBaseOptions<In = Bytes, Out = SendableFor<In>>
  extends ConnectionOptions<In, Out> {
  /**
   * How many milliseconds connecting may take, including the name lookup and the TLS
   * handshake. Time in which the program keeps its own thread busy does not count. No
   * limit by default.
   *
   * Deno keeps the socket of an abandoned TLS handshake until the peer closes it.
   */
  connectTimeout?: number | undefined;
  /** Cancels connecting, and later aborts the connection, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Options for TLS; see {@linkcode ConnectTcpOptions.tls}.
 *
 * @example Your own certificate authority
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
 *   { hostname: "127.0.0.1", port: 0, framing, tls: { cert, key } },
 *   (connection) => connection.send("welcome"),
 * );
 *
 * const tls: ConnectTlsOptions = { caCerts };
 * await using client = await connect({ port: server.addr.port, framing, tls });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ConnectTlsOptions {
  /** Root certificates to trust in addition to the usual ones, each as PEM. */
  caCerts?: readonly string[] | undefined;
  /**
   * A certificate chain to show to the server, as PEM. Needs `key`. With it,
   * `noDelay` and `keepAlive` cannot be set, and `true` is refused.
   */
  cert?: string | undefined;
  /** Its private key, as PEM. Needs `cert`. */
  key?: string | undefined;
  /** The protocols to ask for by ALPN. */
  alpnProtocols?: readonly string[] | undefined;
  /**
   * The name that the server's certificate must have, if that is not `hostname`: through
   * a tunnel, or with an address instead of a name. It is also the name sent to the
   * server (SNI). Refused with `cert` and `key`, because Deno cannot honour it then.
   */
  serverName?: string | undefined;
}

/**
 * Options for {@linkcode connect} to a TCP port, with or without TLS.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
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
export interface ConnectTcpOptions<In = Bytes, Out = SendableFor<In>>
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
   * Whether to use TLS, or how. The handshake is done, and the server's certificate
   * checked, before {@linkcode connect} settles.
   *
   * @default {false}
   */
  tls?: boolean | ConnectTlsOptions | undefined;
  /**
   * Whether to try the addresses of a name in parallel, alternating IPv6 and IPv4, and
   * take the first that answers (RFC 8305).
   *
   * @default {true}
   */
  autoSelectFamily?: boolean | undefined;
  /**
   * After how many milliseconds without an answer the next address of a name is
   * tried as well. Node and Bun have a default of their own.
   *
   * @default {250}
   */
  autoSelectFamilyAttemptDelay?: number | undefined;
  /** Not with a port. */
  path?: undefined;
}

/**
 * Options for {@linkcode connect} to a Unix socket.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A missing socket
 * ```ts
 * import { connect, type ConnectUnixOptions, lines } from "@framed/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * const options: ConnectUnixOptions<string, string> = {
 *   path: "nowhere/app.sock",
 *   framing,
 * };
 * await assertRejects(() => connect(options), Error);
 * ```
 */
export interface ConnectUnixOptions<In = Bytes, Out = SendableFor<In>>
  extends ConnectBaseOptions<In, Out> {
  /** The path of the socket. */
  path: string;
  /** Not with a path. */
  port?: undefined;
  /** Not with a path. */
  hostname?: undefined;
  /** Not with a path. */
  tls?: undefined;
}

/**
 * Options for {@linkcode connect}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example An address parsed from text
 * ```ts
 * import { type ConnectOptions, lines } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * // `/run/app.sock`, or `example.com:4000`.
 * function parseAddress(text: string): ConnectOptions<string, string> {
 *   if (text.startsWith("/")) return { path: text, framing };
 *   const { hostname, port } = new URL(`tcp://${text}`);
 *   return { hostname, port: Number(port), framing };
 * }
 *
 * assertEquals(parseAddress("/run/app.sock"), {
 *   path: "/run/app.sock",
 *   framing,
 * });
 * assertEquals(parseAddress("example.com:4000"), {
 *   hostname: "example.com",
 *   port: 4000,
 *   framing,
 * });
 * ```
 */
export type ConnectOptions<In = Bytes, Out = SendableFor<In>> =
  | ConnectTcpOptions<In, Out>
  | ConnectUnixOptions<In, Out>;

/**
 * Options for {@linkcode reconnect} beside those for {@linkcode connect}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example Giving up after three attempts
 * ```ts
 * import { lines, reconnect, type ReconnectBaseOptions } from "@framed/tcp";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const { port } = listener.addr;
 * listener.close(); // nothing listens there any more
 *
 * const errors: unknown[] = [];
 * const hasty: ReconnectBaseOptions<string, string> = {
 *   minTimeout: 1,
 *   maxTimeout: 10,
 *   maxAttempts: 3,
 *   onError: (error) => void errors.push(error),
 * };
 * await assertRejects(
 *   () => reconnect({ port, framing, ...hasty }, () => {}),
 *   Deno.errors.ConnectionRefused,
 * );
 * assertEquals(errors.length, 2); // the third one ended it
 * ```
 */
export interface ReconnectBaseOptions<In = Bytes, Out = SendableFor<In>> {
  /**
   * Called with each new connection before the handler, for example to log in. The
   * handler waits for it. If it throws, the connection is aborted, and the attempt counts
   * as failed.
   */
  onConnect?:
    | ((connection: Connection<In, Out>) => void | Promise<void>)
    | undefined;
  /**
   * Called before the wait for the next connection with the reason for it: the error of
   * connecting, of `onConnect` or of the connection, the error that the handler threw
   * after its connection had ended, or an error named `UnexpectedEof` if the connection
   * ended without an error. There is no `connection` if none could be made. By default
   * errors go to `console.error`.
   *
   * If it throws, {@linkcode reconnect} ends and rejects with that error.
   */
  onError?:
    | ((
      error: unknown,
      connection: Connection<In, Out> | undefined,
    ) => void | Promise<void>)
    | undefined;
  /**
   * The first wait, in milliseconds; at least 1.
   *
   * @default {1000}
   */
  minTimeout?: number | undefined;
  /**
   * The longest wait, in milliseconds.
   *
   * @default {60_000}
   */
  maxTimeout?: number | undefined;
  /**
   * How many times longer each wait is than the one before; at least 1.
   *
   * @default {2}
   */
  multiplier?: number | undefined;
  /**
   * The random part of each wait, from 0 to 1, so that the clients of a server that was
   * down do not all come back at the same moment. With 1 a wait takes anything up to its
   * full length, with 0 always its full length.
   *
   * @default {1}
   */
  jitter?: number | undefined;
  /**
   * After how many failed attempts in a row to give up. An attempt also counts as failed
   * if its connection ended too soon; see {@linkcode reconnect}.
   *
   * @default {Infinity}
   */
  maxAttempts?: number | undefined;
}

/**
 * Options for {@linkcode reconnect} with your own way to open a connection.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example One of two servers
 * ```ts
 * import { connect, type Connection, lines, reconnect } from "@framed/tcp";
 * import { type ReconnectByOptions, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using main = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.abort(), // and goes away
 * );
 * await using spare = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 *
 * const ports = [main.addr.port, spare.addr.port];
 * let attempts = 0;
 * function connectInTurn(): Promise<Connection<string, string>> {
 *   const port = ports[attempts++ % ports.length] ?? 0;
 *   return connect({ port, framing });
 * }
 * const options: ReconnectByOptions<string, string> = { connect: connectInTurn };
 * const answer = await reconnect(
 *   { ...options, minTimeout: 1, onError: () => {} },
 *   (connection) => connection.receive(),
 * );
 * assertEquals(answer, "welcome");
 * assertEquals(attempts, 2);
 * ```
 */
export interface ReconnectByOptions<In = Bytes, Out = SendableFor<In>>
  extends
    Partial<Record<Exclude<keyof ConnectTcpOptions, "signal">, undefined>> {
  /**
   * Opens the next connection, including its framing. If it rejects, the attempt has
   * failed. A connection that opens after `signal` was aborted is aborted too.
   *
   * Options for {@linkcode connect} are refused with it: use them in this function.
   */
  connect: () => Promise<Connection<In, Out>>;
  /** Ends everything: waiting, connecting and the connection. */
  signal?: AbortSignal | undefined;
  /** Not with `connect`. */
  framing?: undefined;
  /** Not with `connect`. */
  port?: undefined;
  /** Not with `connect`. */
  path?: undefined;
}

/**
 * Options for {@linkcode reconnect}: the address, the framing, limits and timeouts
 * as for {@linkcode connect}, or how to connect, and when to try again.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example One answer, however many connections it takes
 * ```ts
 * import { lines, reconnect, type ReconnectOptions, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * const options: ReconnectOptions<string, string> = {
 *   port: server.addr.port,
 *   framing,
 *   connectTimeout: 5000,
 *   minTimeout: 100,
 * };
 * const answer = await reconnect(
 *   options,
 *   (connection) => connection.request("hello"),
 * );
 * assertEquals(answer, "hello");
 * ```
 */
export type ReconnectOptions<In = Bytes, Out = SendableFor<In>> =
  & (ConnectOptions<In, Out> | ReconnectByOptions<In, Out>)
  & ReconnectBaseOptions<In, Out>;
