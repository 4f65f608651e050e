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
   * while its peer takes nothing of what was sent, until the peer ends it.
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
  path?: undefined;
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
export interface ServeUnixOptions<In = Bytes, Out = SendableFor<In>>
  extends ServeBaseOptions<In, Out, Deno.UnixAddr, UnixPeerAddr> {
  /**
   * The path of the socket; a relative one begins at the folder of the process when
   * the server begins to listen.
   *
   * A socket on which no server listens any more, as a server that was killed leaves it,
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
  Out = SendableFor<In>,
  A extends Address = Address,
> extends ServeBaseOptions<In, Out, A, Address | undefined> {
  /**
   * What connections are taken from. It belongs to the server then, which closes it
   * when it shuts down. If its owner closes it, the server ends when the connections
   * that it has have ended.
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
export type ServeOptions<In = Bytes, Out = SendableFor<In>> =
  | ServeTcpOptions<In, Out>
  | ServeUnixOptions<In, Out>
  | ServeListenerOptions<In, Out, Deno.NetAddr | Deno.UnixAddr>;
