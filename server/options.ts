import type { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import type { Address, Transport } from "../connection/transport.ts";
import type { Bytes, Sendable } from "../framing/bytes.ts";

/**
 * What a {@linkcode ConnectionHandler} is told beside its connection.
 *
 * @typeParam A The kind of address.
 *
 * @example Saying goodbye
 * ```ts
 * import { connect, type ConnectionInfo, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection, { remoteAddr, signal }: ConnectionInfo<Deno.NetAddr>) => {
 *     signal.addEventListener("abort", () => connection.send("goodbye"));
 *     await connection.send(`hello, ${remoteAddr.hostname}`);
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.receive(), "hello, 127.0.0.1");
 *
 * await server.shutdown();
 * assertEquals(await Array.fromAsync(client), ["goodbye"]);
 * ```
 */
export interface ConnectionInfo<A extends Address | undefined = Address> {
  /**
   * The address of the peer. The `path` of a Unix socket's client is mostly `null`.
   * Only a transport of a listener of your own may have none.
   */
  readonly remoteAddr: A;
  /**
   * Is aborted when the server begins to shut down: by {@linkcode Server.shutdown},
   * with an `AbortError`, or by the server's own signal, with its reason.
   *
   * After `shutdown()` the connection still sends what its handler sends, and still
   * gives the messages that were read before. The server's own signal aborts the
   * connection too.
   *
   * Each connection has a signal of its own, made when it is asked for: listeners
   * on it go with the connection.
   */
  readonly signal: AbortSignal;
}

/**
 * Does the work for one connection. When it is done, the connection is closed
 * after what it has sent; when it throws, the connection is aborted.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam A The kind of address.
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
export type ConnectionHandler<
  In = Bytes,
  Out = Sendable,
  A extends Address | undefined = Address,
> = (
  connection: Connection<In, Out>,
  info: ConnectionInfo<A>,
) => void | Promise<void>;

/**
 * Options for {@linkcode serve} on every kind of address.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam A The kind of address.
 * @typeParam P The kind of the peers' addresses.
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
  A extends Address = Address,
  P extends Address | undefined = A,
> extends ConnectionOptions<In, Out> {
  /**
   * How many connections may be open at the same time. Further ones wait in the
   * kernel's backlog until one is closed: then its place is free, though its handler
   * may go on. No limit by default.
   */
  maxConnections?: number | undefined;
  /**
   * How many connections may be open at the same time from one address: one
   * `hostname` of the peers', whatever their ports. Those above it are closed
   * immediately, and `onError` is not told. No limit by default; refused over a Unix
   * socket, whose peers have no address, unless `proxyProtocol` tells one.
   *
   * A peer with IPv6 has many addresses.
   */
  maxConnectionsPerAddress?: number | undefined;
  /**
   * Says whether to serve a peer, before anything of it is read but the header of
   * `proxyProtocol`. One for which it gives `false` is closed immediately, and `onError`
   * is not told. If it throws, or gives no boolean, `onError` is told, and the peer is
   * not served. It must not be an async function.
   *
   * Over TLS, Deno begins the handshake by itself, and keeps the socket of a
   * connection that is closed before its end, until the peer closes it or sends more.
   */
  filter?: ((remoteAddr: P) => boolean) | undefined;
  /**
   * Whether each connection begins with the header of the PROXY protocol, version 1 or
   * 2, as a balancer sends it for its client (`send-proxy` of HAProxy, `proxy_protocol`
   * of nginx). Then `remoteAddr` is the client's, and `filter` and
   * `maxConnectionsPerAddress` go by it. If the balancer speaks for itself, as in a health
   * check, or does not know the client, `remoteAddr` is the balancer's.
   *
   * A connection without the header, or with one that is damaged, longer than 107 bytes
   * (version 1) or 16 KiB (version 2), or not whole within `handshakeTimeout`, is closed
   * before the handler, and told like a TLS handshake that failed. Whoever reaches the
   * port can claim to be anyone: let only the balancer reach it.
   *
   * The header comes before TLS, so this is refused with `tls`: begin the handler with
   * {@linkcode Connection.startTls} instead. It is refused with `path` too, as a handler
   * knows no addresses there: give a listener.
   *
   * @default {false}
   */
  proxyProtocol?: boolean | undefined;
  /**
   * How many milliseconds the TLS handshake of a connection may take, or the header of
   * `proxyProtocol`. The handler runs after it. Time for which the program keeps its own
   * thread busy does not count. Refused without either.
   *
   * Without it, a shorter `idleTimeout` holds for the handshake too.
   *
   * @default {10_000}
   */
  handshakeTimeout?: number | undefined;
  /**
   * How many connections may be within their TLS handshake, or the header of
   * `proxyProtocol`, at the same time, or have shaken hands and wait for a place. They do
   * not count as served, so that `maxConnections` silent peers keep no other out. Further
   * ones wait in the kernel's backlog. By default as many as `maxConnections`; refused without either.
   *
   * So a server holds no more sockets than both say, and those of handshakes that it
   * gave up: Deno keeps these until the peer closes them or sends more.
   */
  maxHandshakes?: number | undefined;
  /**
   * Called once with the address when the server listens. What it throws comes
   * out of {@linkcode serve}, and the server does not listen any more. It may be an
   * async function: the server does not wait for it, and if it rejects, `onError` is
   * told, without a connection, and the server goes on.
   */
  onListen?: ((addr: A) => void) | undefined;
  /**
   * Called with an error: the one a handler threw, the one that kept what was still
   * queued when it was done from going out, or, without a `connection`, the one that
   * kept a connection from being accepted. By default errors go to `console.error`.
   *
   * A TLS handshake that failed is told without a `connection` too, with the peer's
   * address in the message. Without `onError` it is told to nobody: scanners cause
   * as many as they like.
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
 * Options for TLS; see {@linkcode ServeTcpOptions.tls}.
 *
 * @example A server with a certificate
 * ```ts
 * import { connect, lines, serve, type ServeTlsOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const tls: ServeTlsOptions = {
 *   cert: await Deno.readTextFile("dev/testdata/localhost.pem"),
 *   key: await Deno.readTextFile("dev/testdata/localhost.key"),
 * };
 * const caCerts = [await Deno.readTextFile("dev/testdata/ca.pem")];
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing, tls },
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({
 *   port: server.addr.port,
 *   framing,
 *   tls: { caCerts },
 * });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ServeTlsOptions {
  /**
   * The certificate chain, as PEM.
   *
   * Deno keeps the socket of a connection that is closed within its TLS handshake
   * until the peer ends it.
   */
  cert: string;
  /** The private key of the certificate, as PEM. */
  key: string;
  /** The protocols to offer by ALPN. */
  alpnProtocols?: string[] | undefined;
}

/**
 * Options for {@linkcode serve} on a TCP port, with or without TLS.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example Any port that is free
 * ```ts
 * import { lines, serve, type ServeTcpOptions } from "@framed/tcp";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const ports: number[] = [];
 * const options: ServeTcpOptions<string, string> = {
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   framing,
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
  /** The certificate for TLS, and its key. Without, connections are not encrypted. */
  tls?: ServeTlsOptions | undefined;
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
  /** Not with a port. */
  listener?: undefined;
}

/**
 * The address of a peer over a Unix socket, whose `path` is `null` if it has no name,
 * as that of a client.
 *
 * @example Telling who is there
 * ```ts
 * import type { UnixPeerAddr } from "@framed/tcp/server";
 * import { assertEquals } from "@std/assert";
 *
 * function nameOf({ path }: UnixPeerAddr): string {
 *   return path ?? "a local client";
 * }
 * assertEquals(nameOf({ transport: "unix", path: null }), "a local client");
 * ```
 */
export type UnixPeerAddr = Extract<Address, { readonly path: unknown }>;

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
  extends ServeBaseOptions<In, Out, Deno.UnixAddr, UnixPeerAddr> {
  /**
   * The path of the socket; a relative one begins at the folder of the process when
   * the server begins to listen.
   *
   * A socket on which nobody listens any more, as a server that was killed leaves it,
   * is taken over: connecting to it is refused. One that is in use is
   * `Deno.errors.AddrInUse`, and a file that is no socket is never removed. Of
   * several servers that start at the same time one gets the path, if they may read
   * its folder.
   *
   * When the server stops listening, Deno removes what lies at the path, even if it
   * is the socket of another server by then. So to hand a path over, end the old
   * server before the new one listens.
   */
  path: string;
}

/**
 * What a server can take its connections from: a `Deno.Listener`, or anything that
 * gives transports.
 *
 * @typeParam A The kind of address.
 *
 * @example A listener that counts
 * ```ts
 * import { connect, lines, serve, type ServeListener } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * let accepted = 0;
 * const listener: ServeListener<Deno.NetAddr> = {
 *   addr: inner.addr,
 *   async accept() {
 *     const conn = await inner.accept();
 *     accepted++;
 *     return conn;
 *   },
 *   close: () => inner.close(),
 * };
 *
 * const framing = lines();
 * await using _server = serve(
 *   { listener, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({ port: inner.addr.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * assertEquals(accepted, 1);
 * ```
 */
export interface ServeListener<A extends Address = Address> {
  /** The address that it listens on. */
  readonly addr: A;
  /**
   * Waits for the next connection.
   *
   * When it rejects, `onError` is told and the server tries again after a pause; only
   * a `Deno.errors.BadResource` says that the listener is closed, and ends the server.
   */
  accept(): Promise<Transport>;
  /** Stops listening: what waits in `accept` rejects. */
  close(): void;
  /** Lets it keep the process alive; what {@linkcode Server.ref} calls. */
  ref?(): void;
  /**
   * Lets the process end; what {@linkcode Server.unref} calls. A listener of
   * `Deno.listenTls` has it, and keeps the process alive all the same.
   */
  unref?(): void;
}

/**
 * Options for {@linkcode serve} with a listener of your own.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam A The kind of address.
 *
 * @example A listener that was opened before
 * ```ts
 * import { connect, lines, serve, type ServeListenerOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const options: ServeListenerOptions<string, string, Deno.NetAddr> = {
 *   listener: Deno.listen({ hostname: "127.0.0.1", port: 0 }),
 *   framing,
 * };
 * await using server = serve(
 *   options,
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ServeListenerOptions<
  In = Bytes,
  Out = Sendable,
  A extends Address = Address,
> extends ServeBaseOptions<In, Out, A, Address | undefined> {
  /**
   * What connections are taken from. It belongs to the server then, which closes it
   * when it shuts down. If its owner closes it, the server ends when the connections
   * that it has have ended.
   */
  listener: ServeListener<A>;
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
  | ServeUnixOptions<In, Out>
  | ServeListenerOptions<In, Out, Deno.NetAddr | Deno.UnixAddr>;
