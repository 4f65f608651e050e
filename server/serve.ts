import { AsyncLocalStorage } from "node:async_hooks";
import { checkReusePort, listenBy, listenTcp, listenUnix } from "./_listen.ts";
import type { ServeBaseOptions } from "./base_options.ts";
import type { ConnectionHandler } from "./handler.ts";
import type {
  ServeListenerOptions,
  ServeOptions,
  ServeTcpOptions,
  ServeUnixOptions,
  UnixPeerAddr,
} from "./options.ts";
import type { Server } from "./server.ts";
import { Connection } from "../connection/connection.ts";
import { readProxyHeader } from "../connection/proxy_protocol.ts";
import type { Address, Transport } from "../connection/transport.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import {
  checkBoolean,
  checkCount,
  checkFunction,
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
import { isTlsTransport, shakeHands } from "../internal/handshake.ts";
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

/**
 * Serves framed connections on a Unix socket.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The path, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In, Out>(
  options: ServeUnixOptions<In, Out>,
  handler: ConnectionHandler<In, Out, UnixPeerAddr>,
): Server<In, Out, Deno.UnixAddr>;
/**
 * Serves framed connections on a TCP port, with TLS if `tls` is given.
 *
 * An error on one connection never affects another, nor the server. When no more files
 * can be opened, accepting continues after a pause.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
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
export function serve<In, Out>(
  options: ServeTcpOptions<In, Out>,
  handler: ConnectionHandler<In, Out, Deno.NetAddr>,
): Server<In, Out, Deno.NetAddr>;
/**
 * Serves framed connections from a listener that `Deno.listen` or `Deno.listenTls`
 * returned.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 * @param options The listener, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which now owns the listener.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * The listener then stays open.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In, Out, A extends Deno.NetAddr | Deno.UnixAddr>(
  options: ServeListenerOptions<In, Out, A> & {
    listener: Deno.Listener<Deno.Conn<A>, A>;
  },
  handler: ConnectionHandler<In, Out, Deno.NetAddr | UnixPeerAddr>,
): Server<In, Out, A>;
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
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In, Out, A extends Address>(
  options: ServeListenerOptions<In, Out, A>,
  handler: ConnectionHandler<In, Out, Address | undefined>,
): Server<In, Out, A>;
/**
 * Serves framed connections on a TCP port or a Unix socket, whichever the options name.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port or the path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In, Out>(
  options: ServeTcpOptions<In, Out> | ServeUnixOptions<In, Out>,
  handler: ConnectionHandler<In, Out, Deno.NetAddr | UnixPeerAddr>,
): Server<In, Out, Deno.NetAddr | Deno.UnixAddr>;
/**
 * Serves framed connections on a TCP port, a Unix socket or a listener, whichever the
 * options name.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @param handler Does the work for one connection. Its second argument has the peer's
 * address and a signal for shutdown.
 * @returns The server, which listens already.
 * @throws {Deno.errors.AddrInUse} If the port or the path is taken.
 * @throws {TypeError} If `framing` is not given, or options contradict each other.
 * @throws {RangeError} If a number is out of range.
 * @throws The reason of `signal` if it is aborted already, and what `onListen`
 * throws.
 */
export function serve<In, Out>(
  options: ServeOptions<In, Out>,
  handler: ConnectionHandler<In, Out, Address | undefined>,
): Server<In, Out, Deno.NetAddr | Deno.UnixAddr>;
export function serve<In, Out>(
  given: ServeOptions<In, Out>,
  handler: AnyHandler<In, Out>,
): Server<In, Out, Deno.NetAddr | Deno.UnixAddr> {
  // A copy: the caller may change the object later, such as for another server.
  const options: ServeOptions<In, Out> = copyOptions(given);
  checkServeOptions(options);
  checkBeat(options, OutputBuffer);
  checkFunction("serve", "handler", handler);
  options.signal?.throwIfAborted();
  if (isWithListener(options)) {
    return serveFrom(
      listenBy(options.listener),
      options,
      handler,
      (transport) =>
        readProxyHeader(transport, (source) => source ?? transport.remoteAddr),
    );
  }
  if (isUnix(options)) return serveFrom(listenUnix(options), options, handler);
  const listener: Listener<NetworkTransport, Deno.NetAddr> = listenTcp(options);
  return serveFrom(
    listener,
    options,
    handler,
    (transport) =>
      readProxyHeader(transport, (source) =>
        // Clients of a Unix socket are not on the network.
        source !== undefined && "hostname" in source
          ? source
          : transport.remoteAddr),
  );
}

type NetworkTransport = Transport & { readonly remoteAddr: Deno.NetAddr };

type AnyHandler<In, Out> =
  | ConnectionHandler<In, Out, Deno.NetAddr>
  | ConnectionHandler<In, Out, UnixPeerAddr>
  | ConnectionHandler<In, Out, Address | undefined>;

function serveFrom<In, Out, A extends Address, T extends Transport>(
  listener: Listener<T, A>,
  options: ServeBaseOptions<In, Out, A, T["remoteAddr"]>,
  handler: AnyHandler<In, Out>,
  introduce?: (transport: T) => Promise<T>,
): Server<In, Out, A> {
  const served = servedOptions(options);
  return new ListeningServer({
    listener,
    isWelcome: ({ remoteAddr }) => passes(remoteAddr, options),
    introduce: options.proxyProtocol ? introduce : undefined,
    handshake: (transport) =>
      isTlsTransport(transport) ? shakeHands(transport) : undefined,
    open: (transport) => {
      noteOrigin(transport, serverOrigin);
      return new Connection(transport, served);
    },
    context: new AsyncLocalStorage(),
    handler,
    options,
  });
}

function checkServeOptions<In, Out>(options: ServeOptions<In, Out>): void {
  checkServingOptions(options); // first: there may be no options at all
  if (isWithListener(options)) {
    checkListener(options.listener);
    refuseOptions(options, ADDRESS_OPTIONS, WITH_LISTENER);
    // A listener on a TCP port does not say whether it uses TLS; only its connections do.
    return isUnixListener(options.listener)
      ? checkOverUnixSocket(options)
      : checkConnectionOptions(options, "TCP");
  }
  if (isUnix(options)) {
    checkPath(options.path);
    checkSocketPath(options.path, Deno.build.os);
    refuseOptions(options, ["reusePort", "tcpBacklog"], WITH_PATH);
    refuseProxyWithPath(options);
    return checkOverUnixSocket(options);
  }
  const { tls, reusePort, tcpBacklog } = options;
  checkOverTcp(options);
  checkBoolean("reusePort", reusePort);
  if (reusePort) checkReusePort();
  checkCount("serve", "tcpBacklog", tcpBacklog, MAX_BACKLOG);
  checkConnectionOptions(options, tls === undefined ? "TCP" : "TLS");
}

const ADDRESS_OPTIONS = [
  "port",
  "hostname",
  "path",
  "tls",
  "reusePort",
  "tcpBacklog",
];
