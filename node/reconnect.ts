import { connect } from "./connect.ts";
import type { ReconnectOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { isByFunction, runReconnecting } from "../internal/reconnecting.ts";
import { systemError } from "../internal/system_error.ts";

/**
 * Connects to a server, and connects again whenever the connection has ended, until the
 * handler is done: `reconnect()` of `@framed/tcp/client`, over `node:net` and `node:tls`,
 * with the same rules.
 *
 * If the messages ended without an error, `onError` gets an error named
 * `"UnexpectedEof"`.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam T The type that the handler returns.
 * @param options The address, the framing, limits, timeouts, and when to try again;
 * its `signal` ends everything.
 * @param handler Does the work for one connection.
 * @returns What the handler returned. Rejects with what it threw while its
 * connection was open, with a mistake, with the last error after `maxAttempts`, with
 * what `onError` threw, and with the signal's reason.
 *
 * @example A server that hangs up on the first
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { reconnect, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * let count = 0;
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     if (++count > 1) await connection.send("news");
 *   },
 * );
 * const news = await reconnect({
 *   port: server.addr.port,
 *   framing,
 *   minTimeout: 1,
 *   onError: () => {}, // by default, losses go to console.error
 * }, async (connection) => {
 *   for await (const line of connection) return line;
 * });
 * assertEquals(news, "news");
 * ```
 */
export function reconnect<In, Out, T>(
  options: ReconnectOptions<In, Out>,
  handler: (connection: Connection<In, Out>) => T | Promise<T>,
): Promise<T> {
  // A copy: the caller may change the object later, such as for another connection.
  const own: ReconnectOptions<In, Out> = copyOptions(options);
  return runReconnecting<Connection<In, Out>, T>({
    options: own,
    open: () => isByFunction(own) ? own.connect() : connect(own),
    isConnection: (opened) => opened instanceof Connection,
    handler,
    endError: (message) => systemError("UnexpectedEof", message),
  });
}
