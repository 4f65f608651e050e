import type { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

/**
 * Options for {@linkcode serve} on every kind of address.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 * @typeParam P The kind of the peer addresses.
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
   * How many connections may be open at the same time. Further ones wait in the kernel's
   * backlog until one closes: that frees its place, even if its handler is still running.
   * No limit by default.
   *
   * A client that has only half-closed still counts, because it can receive: until the
   * handler ends, a send fails, or nothing is received or sent for `halfClosedTimeout`.
   * With this limit that is 2 minutes by default: give a longer time if answers may take
   * longer.
   */
  maxConnections?: number | undefined;
  /**
   * How many connections may be open at the same time from one peer `hostname`, whatever
   * the ports. Further ones are closed immediately, without a call of `onError`. No limit
   * by default. Refused over a Unix socket, whose peers have no address, unless
   * `proxyProtocol` gives one.
   *
   * An IPv6 peer has many addresses.
   */
  maxConnectionsPerAddress?: number | undefined;
  /**
   * Says whether to serve a peer, before anything is read from it except the header of
   * `proxyProtocol`. If it returns `false`, the connection is closed immediately, without
   * a call of `onError`. If it throws, or does not return a boolean, `onError` is called,
   * and the peer is not served. It must not be an async function.
   *
   * Over TLS, Deno begins the handshake on its own. If the connection is closed before
   * the handshake ends, Deno keeps the socket until the peer closes it or sends more.
   */
  filter?: ((remoteAddr: P) => boolean) | undefined;
  /**
   * Whether each connection begins with the header of the PROXY protocol, version 1 or 2,
   * which a balancer sends for its client (`send-proxy` in HAProxy, `proxy_protocol` in
   * nginx). Then `remoteAddr` is the client's, and `filter` and
   * `maxConnectionsPerAddress` use it. If the balancer speaks for itself, as in a health
   * check, or does not know the client, `remoteAddr` is the balancer's.
   *
   * A connection without the header, or with one that is damaged, longer than 107 bytes
   * (version 1) or 16 KiB (version 2), or not whole within `handshakeTimeout`, is closed
   * before the handler runs, and reported like a failed TLS handshake. Anyone who reaches
   * the port can claim to be anyone: let only the balancer reach it.
   *
   * The header comes before TLS, so this is refused with `tls`: begin the handler with
   * {@linkcode Connection.startTls} instead. It is refused with `path` too, because peers
   * there have no address: give a listener.
   *
   * @default {false}
   */
  proxyProtocol?: boolean | undefined;
  /**
   * How many milliseconds the TLS handshake of a connection, or the header of
   * `proxyProtocol`, may take. The handler runs after it. Time in which the program keeps
   * its own thread busy does not count. Refused without either.
   *
   * If not given, a shorter `idleTimeout` applies to the handshake too.
   *
   * @default {10_000}
   */
  handshakeTimeout?: number | undefined;
  /**
   * How many connections may at the same time be in their TLS handshake or the header of
   * `proxyProtocol`, or be done with it and wait for a place. They do not count for
   * `maxConnections`, so silent peers take no place. Further ones wait in the kernel's
   * backlog. By default as many as `maxConnections`; refused without either.
   *
   * A client waits until the clients before it in the backlog are served or time out:
   * with 300 silent peers and a `handshakeTimeout` of 300 ms, a client was served after
   * 12 s with `maxHandshakes` of 8, after 4.5 s with 20, and immediately with 400. So
   * allow as many as you have sockets to spare.
   *
   * So a server holds at most as many sockets as both limits allow, plus those of
   * abandoned handshakes: Deno keeps these until the peer closes them or sends more. Over
   * `tls` Deno also keeps the sockets of connections that ended while their peers read
   * nothing.
   */
  maxHandshakes?: number | undefined;
  /**
   * Called once with the address when the server listens. If it throws, {@linkcode serve}
   * throws that error, and the server stops listening. It may be an async function: the
   * server does not wait for it. If it rejects, `onError` gets the error, without a
   * connection, and the server continues.
   */
  onListen?: ((addr: A) => void) | undefined;
  /**
   * Called with an error: one that a handler threw; one that prevented sending what was
   * still queued when the handler was done; or, without a `connection`, one that
   * prevented accepting a connection. By default errors go to `console.error`.
   *
   * A failed TLS handshake is also reported without a `connection`, with the peer's
   * address in the message. Without `onError` it is not reported: scanners cause as many
   * as they like.
   *
   * A write that fails while the handler runs is reported to the handler: by later sends,
   * {@linkcode Connection.closed} and {@linkcode Connection.signal}.
   *
   * If this function throws or rejects, both errors go to `console.error`, and the server
   * continues.
   */
  onError?:
    | ((error: unknown, connection: Connection<In, Out> | undefined) => void)
    | undefined;
  /** Ends the server and aborts its connections, with the signal's reason. */
  signal?: AbortSignal | undefined;
}
