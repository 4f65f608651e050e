import type { Connection } from "../connection/connection.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

/**
 * The second argument of a {@linkcode ConnectionHandler}.
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
   * The address of the peer. The `path` of a Unix socket's client is usually `null`. Only
   * a transport from your own listener may have no address.
   */
  readonly remoteAddr: A;
  /**
   * Aborts when the server begins to shut down: by {@linkcode Server.shutdown}, with an
   * `AbortError`; by the server's own signal, with its reason; or because your own listener
   * was closed, with its `BadResource`. A `net.Server` of Node does not tell that it was
   * closed while connections are open.
   *
   * After `shutdown()` the connection still sends what its handler sends, and still
   * gives the messages that were read before. The server's own signal aborts the
   * connection too.
   *
   * Each connection has its own signal, made on first access: its listeners are released
   * with the connection.
   */
  readonly signal: AbortSignal;
}

/**
 * Does the work for one connection. When it is done, the connection sends what is queued
 * and closes; if it throws, the connection is aborted.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 *
 * @example A handler as a separate function
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
  Out = SendableFor<In>,
  A extends Address | undefined = Address,
> = (
  connection: Connection<In, Out>,
  info: ConnectionInfo<A>,
) => void | Promise<void>;
