import type { ServeBaseOptions } from "./base_options.ts";
import type { ServeListener } from "./serve_listener.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

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
   * Deno keeps the socket of a connection that is closed within its TLS handshake, or
   * while its peer reads nothing, until the peer closes it.
   */
  cert: string;
  /** The private key of the certificate, as PEM. */
  key: string;
  /** The protocols to offer by ALPN. */
  alpnProtocols?: readonly string[] | undefined;
}

/**
 * Options for {@linkcode serve} on a TCP port, with or without TLS.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example Any free port
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
export interface ServeTcpOptions<In = Bytes, Out = SendableFor<In>>
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
  /** The certificate for TLS, and its key. Without it, connections are not encrypted. */
  tls?: ServeTlsOptions | undefined;
  /**
   * Whether other processes may listen on the same port too, and share its connections.
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
  path?: undefined;
  /** Not with a port. */
  listener?: undefined;
}

/**
 * The address of a peer over a Unix socket. Its `path` is `null` if it has no name, as
 * for a client.
 *
 * @example Logging who connects
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
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A socket in its own folder
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
export interface ServeUnixOptions<In = Bytes, Out = SendableFor<In>>
  extends ServeBaseOptions<In, Out, Deno.UnixAddr, UnixPeerAddr> {
  /**
   * The path of the socket; a relative path starts at the process's working directory
   * when the server begins to listen.
   *
   * A socket that a killed server left behind, to which connecting is refused, is taken
   * over. If the socket is in use, the error is `Deno.errors.AddrInUse`. A file that is
   * not a socket is never removed. If several servers start at the same time, one gets
   * the path, provided that they may read its folder.
   *
   * When the server stops listening, Deno removes the file at the path, even if by then
   * it is another server's socket. So to hand a path over, end the old server before the
   * new one listens.
   */
  path: string;
  /** Not with a path. */
  port?: undefined;
  /** Not with a path. */
  hostname?: undefined;
  /** Not with a path. */
  tls?: undefined;
  /** Not with a path. */
  reusePort?: undefined;
  /** Not with a path. */
  tcpBacklog?: undefined;
  /** Not with a path. */
  listener?: undefined;
}

/**
 * Options for {@linkcode serve} with your own listener.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 *
 * @example A listener that is already open
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
  Out = SendableFor<In>,
  A extends Address = Address,
> extends ServeBaseOptions<In, Out, A, Address | undefined> {
  /**
   * The listener to accept from. The server then owns it, and closes it when it shuts
   * down. If your code closes it, the server ends once its open connections have
   * ended.
   */
  listener: ServeListener<A>;
  /** Not with a listener. */
  port?: undefined;
  /** Not with a listener. */
  path?: undefined;
  /** Not with a listener. */
  tls?: undefined;
}

/**
 * Options for {@linkcode serve}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example An address parsed from text
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
export type ServeOptions<In = Bytes, Out = SendableFor<In>> =
  | ServeTcpOptions<In, Out>
  | ServeUnixOptions<In, Out>
  | ServeListenerOptions<In, Out, Deno.NetAddr | Deno.UnixAddr>;
