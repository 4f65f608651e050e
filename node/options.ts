import type { Server as NetServer } from "node:net";
import type { NetAddress, UnixAddress } from "./addresses.ts";
import type { SocketTransportOptions } from "./socket_transport.ts";
import type {
  ConnectTcpOptions as SharedConnectTcpOptions,
  ConnectUnixOptions,
  ReconnectBaseOptions,
  ReconnectByOptions,
} from "../client/options.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { ServeBaseOptions } from "../server/base_options.ts";
import type { ServeListener } from "../server/serve_listener.ts";

/**
 * Options for {@linkcode connect} to a TCP port, with or without TLS.
 *
 * They are the options of `connect()` in Deno. `noDelay` and `keepAlive` also work over
 * TLS, and `serverName` also works with a certificate. The addresses of a name are tried
 * one after the other, each for `autoSelectFamilyAttemptDelay`, which is by default the
 * runtime's own: 250 ms in Node 22, 500 ms in Node 26 and Bun.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example Probing a silent peer after a minute
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { connect, type ConnectTcpOptions, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * const options: ConnectTcpOptions<string, string> = {
 *   port: server.addr.port,
 *   framing,
 *   keepAlive: true,
 *   keepAliveInitialDelay: 60_000,
 * };
 * await using client = await connect(options);
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ConnectTcpOptions<In = Bytes, Out = SendableFor<In>>
  extends SharedConnectTcpOptions<In, Out>, SocketTransportOptions {}

/**
 * Options for {@linkcode connect}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example An address parsed from text
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import type { ConnectOptions } from "@framed/tcp/node";
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
 * assertEquals(parseAddress("/run/app.sock"), { path: "/run/app.sock", framing });
 * ```
 */
export type ConnectOptions<In = Bytes, Out = SendableFor<In>> =
  | ConnectTcpOptions<In, Out>
  | ConnectUnixOptions<In, Out>;

/**
 * Options for {@linkcode reconnect}: those for {@linkcode connect}, or how to connect,
 * and when to try again.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example One answer, however many connections it takes
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { reconnect, type ReconnectOptions, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * const options: ReconnectOptions<string, string> = {
 *   port: server.addr.port,
 *   framing,
 *   minTimeout: 100,
 * };
 * const answer = await reconnect(options, (connection) => connection.receive());
 * assertEquals(answer, "welcome");
 * ```
 */
export type ReconnectOptions<In = Bytes, Out = SendableFor<In>> =
  & (
    | ConnectOptions<In, Out>
    | (
      & ReconnectByOptions<In, Out>
      & Partial<Record<keyof SocketTransportOptions, undefined>>
    )
  )
  & ReconnectBaseOptions<In, Out>;

/**
 * Options for TLS; see {@linkcode ServeTcpOptions.tls}.
 *
 * @example A server with a certificate
 * ```ts
 * import { readFileSync } from "node:fs";
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve, type ServeTlsOptions } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const tls: ServeTlsOptions = {
 *   cert: readFileSync("dev/testdata/localhost.pem", "utf8"),
 *   key: readFileSync("dev/testdata/localhost.key", "utf8"),
 * };
 * const caCerts = [readFileSync("dev/testdata/ca.pem", "utf8")];
 *
 * const framing = lines();
 * await using server = await serve(
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
  /** The certificate chain, as PEM. */
  cert: string;
  /** The private key of the certificate, as PEM. */
  key: string;
  /** The protocols to offer by ALPN. */
  alpnProtocols?: readonly string[] | undefined;
}

/**
 * Options for {@linkcode serve} on a TCP port, with or without TLS.
 *
 * Connections above `maxConnections` wait in the process, because Node and Bun accept
 * every connection: nothing is read from them, and those above `backlog` are closed.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example IPv6 only
 * ```ts
 * import type { ServeTcpOptions } from "@framed/tcp/node";
 * import { lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ServeTcpOptions<string, string> = {
 *   hostname: "::",
 *   port: 4000,
 *   ipv6Only: true,
 *   framing: lines(),
 * };
 * assertEquals(options.port, 4000);
 * ```
 */
export interface ServeTcpOptions<In = Bytes, Out = SendableFor<In>>
  extends ServeBaseOptions<In, Out, NetAddress>, SocketTransportOptions {
  /**
   * The port; 0 lets the system choose one.
   *
   * @default {8000}
   */
  port?: number | undefined;
  /**
   * The address to listen on: by default all of IPv4.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string | undefined;
  /** The certificate for TLS, and its key. Without it, connections are not encrypted. */
  tls?: ServeTlsOptions | undefined;
  /**
   * How many connections the kernel keeps waiting, and how many wait here for a place.
   *
   * @default {511}
   */
  backlog?: number | undefined;
  /**
   * In a cluster process, whether this process has the port to itself instead of sharing
   * it with the others.
   *
   * @default {false}
   */
  exclusive?: boolean | undefined;
  /**
   * Whether `"::"` means only IPv6, not IPv4 too.
   *
   * @default {false}
   */
  ipv6Only?: boolean | undefined;
  /** Not with a port. */
  path?: undefined;
  /** Not with a port. */
  listener?: undefined;
}

/**
 * Options for {@linkcode serve} on a Unix socket.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A socket in its own folder
 * ```ts
 * import { mkdtempSync, rmSync } from "node:fs";
 * import process from "node:process";
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve, type ServeUnixOptions } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * if (process.platform !== "win32") {
 *   const folder = mkdtempSync("/tmp/app-");
 *   const framing = lines();
 *   const options: ServeUnixOptions<string, string> = {
 *     path: `${folder}/app.sock`,
 *     framing,
 *   };
 *   {
 *     await using _server = await serve(
 *       options,
 *       (connection) => connection.send("welcome"),
 *     );
 *     await using client = await connect({ path: options.path, framing });
 *     assertEquals(await client.receive(), "welcome");
 *   }
 *   rmSync(folder, { recursive: true });
 * }
 * ```
 */
export interface ServeUnixOptions<In = Bytes, Out = SendableFor<In>>
  extends
    ServeBaseOptions<
      In,
      Out,
      UnixAddress & { readonly path: string },
      UnixAddress
    > {
  /**
   * The path of the socket; a relative path starts at the process's working directory
   * when the server begins to listen.
   *
   * A socket that a killed server left behind is taken over. If the socket is in use, the
   * error is named `AddrInUse`. A file that is not a socket is never removed. Do not
   * start several servers on one path at the same time: Node, unlike Deno, cannot lock it
   * for one of them.
   */
  path: string;
  /**
   * How many connections the kernel keeps waiting, and how many wait here for a place.
   *
   * @default {511}
   */
  backlog?: number | undefined;
  /** Not with a path. */
  port?: undefined;
  /** Not with a path. */
  hostname?: undefined;
  /** Not with a path. */
  tls?: undefined;
  /** Not with a path. */
  exclusive?: undefined;
  /** Not with a path. */
  ipv6Only?: undefined;
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
 * @example A net.Server that listens already
 * ```ts
 * import { once } from "node:events";
 * import { createServer } from "node:net";
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve, type ServeListenerOptions } from "@framed/tcp/node";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true });
 * listener.listen(0, "127.0.0.1");
 * await once(listener, "listening");
 *
 * const framing = lines();
 * const options: ServeListenerOptions<string, string> = { listener, framing };
 * await using server = await serve(
 *   options,
 *   (connection) => connection.send("welcome"),
 * );
 * const { addr } = server;
 * assert(addr.transport === "tcp");
 * await using client = await connect({ port: addr.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface ServeListenerOptions<
  In = Bytes,
  Out = SendableFor<In>,
  A extends Address = Address,
> extends ServeBaseOptions<In, Out, A, Address | undefined> {
  /**
   * The listener to accept from: a listening `net.Server` or `tls.Server`, for example
   * from systemd or a cluster, or any {@linkcode ServeListener}. The server then owns it,
   * and closes it when it shuts down.
   *
   * A `tls.Server` does the handshake itself: its own `handshakeTimeout` applies, it reports
   * failed handshakes by its event `tlsClientError` instead of `onError`, and
   * `proxyProtocol` is refused, because that header comes before TLS.
   */
  listener: ServeListener<A> | NetServer;
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
 * import { lines } from "@framed/tcp/framing";
 * import type { ServeOptions } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * // `/run/app.sock`, or `127.0.0.1:4000`.
 * function parseAddress(text: string): ServeOptions<string, string> {
 *   if (text.startsWith("/")) return { path: text, framing };
 *   const { hostname, port } = new URL(`tcp://${text}`);
 *   return { hostname, port: Number(port), framing };
 * }
 *
 * assertEquals(parseAddress("/run/app.sock"), { path: "/run/app.sock", framing });
 * ```
 */
export type ServeOptions<In = Bytes, Out = SendableFor<In>> =
  | ServeTcpOptions<In, Out>
  | ServeUnixOptions<In, Out>
  | ServeListenerOptions<In, Out, NetAddress | UnixAddress>;
