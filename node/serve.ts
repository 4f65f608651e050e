import { AsyncLocalStorage } from "node:async_hooks";
import { Server as NetServer } from "node:net";
import process from "node:process";
import { Server as TlsServer } from "node:tls";
import { acceptFrom, type Incoming, SocketListener } from "./_accepting.ts";
import { addressOf, listenTcp, listenUnix } from "./_listen.ts";
import type { NetAddress, UnixAddress } from "./addresses.ts";
import type {
  ServeListenerOptions,
  ServeOptions,
  ServeTcpOptions,
  ServeUnixOptions,
} from "./options.ts";
import { Connection } from "../connection/connection.ts";
import { readProxyHeader } from "../connection/proxy_protocol.ts";
import type { Address } from "../connection/transport.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import {
  checkBoolean,
  checkCount,
  checkFunction,
  checkMilliseconds,
  checkPath,
  isUnix,
  refuseOptions,
} from "../internal/checks.ts";
import {
  checkBeat,
  checkConnectionOptions,
} from "../internal/connection_options.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { noteOrigin, serverOrigin } from "../internal/diagnostics.ts";
import {
  checkListener,
  checkOverTcp,
  checkOverUnixSocket,
  checkServingOptions,
  isUnixListener,
  isWithListener,
  MAX_BACKLOG,
  passes,
  refuseProxyWithPath,
  servedOptions,
  WITH_LISTENER,
  WITH_PATH,
} from "../internal/serve_options.ts";
import { type Listener, ListeningServer } from "../internal/serving.ts";
import { checkSocketPath } from "../internal/socket_path.ts";
import type { ConnectionHandler } from "../server/handler.ts";
import type { Server } from "../server/server.ts";
import type { ServeBaseOptions } from "../server/base_options.ts";

/**
 * Serves framed connections on a Unix socket.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The path, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, when it listens. Rejects with an error named `AddrInUse` if the
 * path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 */
export function serve<In, Out>(
  options: ServeUnixOptions<In, Out>,
  handler: ConnectionHandler<In, Out, UnixAddress>,
): Promise<Server<In, Out, UnixAddress & { readonly path: string }>>;
/**
 * Serves framed connections on a TCP port, with TLS if `tls` is given: `serve()` of
 * `@framed/tcp/server`, over `node:net` and `node:tls`, with the same promises.
 *
 * It returns a promise, because Node reports only later that a server listens, or cannot.
 * A mistake in the options is thrown immediately, as in Deno.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, when it listens. Rejects with an error named `AddrInUse` if the
 * port is taken, and with what `onListen` throws.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 *
 * @example Ending when the work is done
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const server = await serve(
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
export function serve<In, Out>(
  options: ServeTcpOptions<In, Out>,
  handler: ConnectionHandler<In, Out, NetAddress>,
): Promise<Server<In, Out, NetAddress>>;
/**
 * Serves framed connections from a `net.Server` that already listens.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The listener, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which now owns the listener.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * The listener then stays open.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 */
export function serve<In, Out>(
  options: ServeListenerOptions<In, Out, NetAddress | UnixAddress> & {
    listener: NetServer;
  },
  handler: ConnectionHandler<In, Out, NetAddress | UnixAddress>,
): Promise<Server<In, Out, NetAddress | UnixAddress>>;
/**
 * Serves framed connections from your own listener.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 * @param options The listener, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, which now owns the listener.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * The listener then stays open.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 */
export function serve<In, Out, A extends Address>(
  options: ServeListenerOptions<In, Out, A>,
  handler: ConnectionHandler<In, Out, Address | undefined>,
): Promise<Server<In, Out, A>>;
/**
 * Serves framed connections on a TCP port or a Unix socket, whichever the options name.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, when it listens. Rejects with an error named `AddrInUse` if the
 * port or the path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 */
export function serve<In, Out>(
  options: ServeTcpOptions<In, Out> | ServeUnixOptions<In, Out>,
  handler: ConnectionHandler<In, Out, NetAddress | UnixAddress>,
): Promise<Server<In, Out, NetAddress | UnixAddress>>;
/**
 * Serves framed connections on a TCP port, a Unix socket or a listener, whichever the
 * options name.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection.
 * @returns The server, when it listens. Rejects with an error named `AddrInUse` if the
 * port or the path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already.
 */
export function serve<In, Out>(
  options: ServeOptions<In, Out>,
  handler: ConnectionHandler<In, Out, Address | undefined>,
): Promise<Server<In, Out, NetAddress | UnixAddress>>;
export function serve<In, Out>(
  given: ServeOptions<In, Out>,
  handler: AnyHandler<In, Out>,
): Promise<Server<In, Out, NetAddress | UnixAddress>> {
  // A copy: the caller may change the object later, such as for another server.
  const options: ServeOptions<In, Out> = copyOptions(given);
  checkServeOptions(options);
  checkBeat(options, OutputBuffer);
  checkFunction("serve", "handler", handler);
  options.signal?.throwIfAborted();
  if (isWithListener(options)) {
    const { listener } = options;
    return serveFrom(
      isNetServer(listener)
        ? new SocketListener(listener, { addr: addressOf(listener) })
        : acceptFrom(listener),
      options,
      handler,
      (client, peer) => client ?? peer,
    );
  }
  return isUnix(options)
    ? serveFrom(listenUnix(options), options, handler)
    // Clients of a Unix socket are not on the network.
    : serveFrom(
      listenTcp(options),
      options,
      handler,
      (client, peer) =>
        client !== undefined && "hostname" in client ? client : peer,
    );
}

type AnyHandler<In, Out> =
  | ConnectionHandler<In, Out, NetAddress>
  | ConnectionHandler<In, Out, UnixAddress>
  | ConnectionHandler<In, Out, Address | undefined>;

async function serveFrom<
  In,
  Out,
  A extends Address,
  P extends Address | undefined,
>(
  listening: Listener<Incoming<P>, A> | Promise<Listener<Incoming<P>, A>>,
  options: ServeBaseOptions<In, Out, A, P>,
  handler: AnyHandler<In, Out>,
  peerAddr?: PeerAddr<P>,
): Promise<Server<In, Out, A>> {
  const listener = await listening;
  if (options.signal?.aborted) {
    listener.close();
    throw options.signal.reason;
  }
  const served = servedOptions(options);
  return new ListeningServer({
    listener,
    isWelcome: ({ remoteAddr }) => passes(remoteAddr, options),
    introduce: options.proxyProtocol && peerAddr !== undefined
      ? (incoming) => introduced(incoming, peerAddr)
      : undefined,
    handshake: (incoming) => incoming.handshake(),
    open(incoming) {
      const transport = incoming.transport();
      noteOrigin(transport, serverOrigin);
      return new Connection(transport, served);
    },
    context: new AsyncLocalStorage(),
    handler,
    options,
  });
}

/** The address of a peer, given the address of the client that a proxy may have named. */
type PeerAddr<P> = (client: Address | undefined, peer: P) => P;

/** An accepted transport, as the connection of the client that its proxy names. */
async function introduced<P extends Address | undefined>(
  incoming: Incoming<P>,
  peerAddr: PeerAddr<P>,
): Promise<Incoming<P>> {
  const transport = await readProxyHeader(
    incoming.transport(),
    (client) => peerAddr(client, incoming.remoteAddr),
  );
  return {
    remoteAddr: transport.remoteAddr,
    handshake: () => undefined,
    transport: () => transport,
    close: () => transport.close(),
  };
}

function isNetServer(listener: object): listener is NetServer {
  return listener instanceof NetServer;
}

function checkServeOptions<In, Out>(options: ServeOptions<In, Out>): void {
  checkServingOptions(options); // first: there may be no options at all
  refuseOptions(options, ["tcpBacklog"], "of Deno: its name here is backlog");
  refuseOptions(options, ["reusePort"], "of Deno: share a port by a cluster");
  if (isWithListener(options)) return checkWithListener(options);
  checkCount("serve", "backlog", options.backlog, MAX_BACKLOG);
  if (isUnix(options)) {
    checkPath(options.path);
    checkSocketPath(options.path, process.platform);
    refuseProxyWithPath(options);
    refuseOptions(
      options,
      ["exclusive", "ipv6Only", "keepAliveInitialDelay"],
      WITH_PATH,
    );
    return checkOverUnixSocket(options);
  }
  checkOverTcp(options);
  checkBoolean("exclusive", options.exclusive);
  checkBoolean("ipv6Only", options.ipv6Only);
  checkMilliseconds("keepAliveInitialDelay", options.keepAliveInitialDelay, 0);
  checkConnectionOptions(options, "TCP"); // TLS has them too
}

type ListenerOptions<In, Out> = Extract<
  ServeOptions<In, Out>,
  { listener: unknown }
>;

function checkWithListener<In, Out>(
  options: ListenerOptions<In, Out>,
): void {
  const { listener } = options;
  refuseOptions(options, ADDRESS_OPTIONS, WITH_LISTENER);
  if (isNetServer(listener)) checkNetServer(listener, options);
  else checkListener(listener);
  const isUnixSocket = isNetServer(listener)
    ? addressOf(listener).transport === "unix"
    : isUnixListener(listener);
  if (isUnixSocket) checkOverUnixSocket(options);
  else checkConnectionOptions(options, "TCP");
}

function checkNetServer<In, Out>(
  listener: NetServer,
  options: ListenerOptions<In, Out>,
): void {
  if (!listener.listening) {
    throw new TypeError("Cannot serve as listener must listen already");
  }
  if (options.proxyProtocol) {
    if (!(listener instanceof TlsServer)) return;
    throw new TypeError(
      "Cannot use option proxyProtocol with a listener of node:tls: the header comes before TLS; give one of node:net, and begin the handler with connection.startTls()",
    );
  }
  refuseOptions(
    options,
    ["handshakeTimeout", "maxHandshakes"],
    "with a listener of node:net or node:tls: the latter does the handshake itself",
  );
}

const ADDRESS_OPTIONS = [
  "port",
  "hostname",
  "path",
  "tls",
  "backlog",
  "exclusive",
  "ipv6Only",
  "keepAliveInitialDelay",
];
