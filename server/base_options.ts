import type { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

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
  Out = SendableFor<In>,
  A extends Address = Address,
  P extends Address | undefined = A,
> extends ConnectionOptions<In, Out> {
  /**
   * How many connections may be open at the same time. Further ones wait in the
   * kernel's backlog until one is closed: then its place is free, though its handler
   * may go on. No limit by default.
   *
   * A client that has only ended its own side still counts, as it can receive: until the
   * handler ends, what it sends fails, or nothing was received or sent for
   * `halfClosedTimeout`. With this limit that is 2 minutes by default: give a longer time
   * if answers may take longer.
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
   * before the handler, and told like a TLS handshake that failed. Anyone who reaches the
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
   * not count as served, so that `maxConnections` silent peers take no place. Further
   * ones wait in the kernel's backlog. By default as many as `maxConnections`; refused without either.
   *
   * A client waits until those before it in the backlog were served or given up: with 300
   * silent peers, `maxHandshakes` of 8 and a `handshakeTimeout` of 300 ms it was served
   * after 12 s, with 20 after 4.5 s, with 400 immediately. So allow as many as you have
   * sockets to spare.
   *
   * So a server holds no more sockets than both say, and those of handshakes that it
   * gave up: Deno keeps these until the peer closes them or sends more. Over `tls` it also
   * keeps those of connections that were ended while their peers took nothing.
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
   * address in the message. Without `onError` it is not reported: scanners cause
   * as many as they like.
   *
   * A write that fails while the handler runs is told to the handler: by the sends
   * after it, {@linkcode Connection.closed} and {@linkcode Connection.signal}.
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
