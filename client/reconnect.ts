import { connect } from "./connect.ts";
import type { ReconnectOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { isByFunction, runReconnecting } from "../internal/reconnecting.ts";

/**
 * Connects to a server, and connects again whenever the connection has ended, until the
 * handler is done.
 *
 * The handler runs once for each connection, one after the other. It matters whether its
 * connection is still open when the handler ends:
 *
 * | the handler | while its connection is open                 | when it has ended     |
 * | ----------- | -------------------------------------------- | --------------------- |
 * | returns     | done: what it returns is the result          | the next is made      |
 * | throws      | its own error: `reconnect` rejects with it   | the next is made      |
 *
 * {@linkcode Connection.hasEnded} says whether a connection has ended: it broke, was
 * aborted or closed, or the peer's messages have ended and all were received. So a loop
 * over the messages may just end, or throw the connection's error; to finish, `break` out
 * of it. The next connection is not made until the handler has ended, so end anything
 * else it waits for: {@linkcode Connection.signal} aborts when the connection ends with
 * an error, {@linkcode Connection.peerEnded} settles when the server hangs up.
 *
 * A handler that receives nothing waits for {@linkcode Connection.peerEnded}, which
 * settles when the server hangs up. If it has asked for that and returns nothing, the next
 * connection is made, even if the server's messages were not received. Or it waits for
 * {@linkcode Connection.closed}, which settles a second later, because the server may
 * only have half-closed: the connection is closed if the handler asked for `closed` last,
 * nothing else tells it of the server's end, and nothing is sent within that second. So
 * if a handler answers later than that, let it learn of the end from `receive()` or
 * `peerEnded`. Messages that the server sent before can still be received, but if they
 * are more than `readBufferSize`, the end is seen only after receiving them. Unlike for
 * other connections, such a wait keeps the process alive.
 *
 * A connection that is left open is closed after sending what is queued. If that cannot
 * be sent, the next connection is made.
 *
 * Waits begin at `minTimeout` and grow up to `maxTimeout`, until a connection has lasted
 * longer than the wait that would follow it: then they start over. So a server that
 * accepts connections and closes them immediately is not hammered. An untrusted
 * certificate is tried again too, because servers get new ones.
 *
 * Mistakes are not tried again: every `TypeError`, `RangeError` and `URIError` (an
 * invalid `hostname`), a missing permission (`Deno.errors.NotCapable`), and what the
 * system or the runtime cannot do (an error named `NotSupported`). An error that ended
 * the connection itself is never such a mistake, whatever its type: your framing may
 * throw a `RangeError` because of the peer's bytes.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam T The type that the handler returns.
 * @param options The address, the framing, limits, timeouts, and when to try again.
 * Its `signal` ends everything: waiting, connecting and the connection. If a handler
 * ignores that, `reconnect` does not wait for it, and drops its error.
 * @param handler Does the work for one connection.
 * @returns What the handler returned. Rejects with what the handler threw while its
 * connection was open, with a mistake, with the last error after `maxAttempts`, with what
 * `onError` threw, and with the signal's reason.
 *
 * @example Logging in on every connection
 * ```ts
 * import { lines, reconnect, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const heard: string[] = [];
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     heard.push(await connection.receive() ?? "nothing");
 *     await connection.send("welcome");
 *     await connection.send(`news ${heard.length}`);
 *   },
 * );
 *
 * const news: string[] = [];
 * await reconnect({
 *   port: server.addr.port,
 *   framing,
 *   minTimeout: 1,
 *   onError: () => {},
 *   async onConnect(connection) {
 *     const answer = await connection.request("login anna");
 *     if (answer !== "welcome") throw new Error(`Cannot log in: ${answer}`);
 *   },
 * }, async (connection) => {
 *   for await (const line of connection) {
 *     news.push(line);
 *     if (news.length === 2) break;
 *   }
 * });
 *
 * assertEquals(news, ["news 1", "news 2"]);
 * assertEquals(heard, ["login anna", "login anna"]);
 * ```
 *
 * @example Ending from outside
 * ```ts
 * import { lines, reconnect, serve } from "@framed/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   () => {},
 * );
 * const controller = new AbortController();
 * const running = reconnect({
 *   port: server.addr.port,
 *   framing,
 *   signal: controller.signal,
 *   onError: () => controller.abort(new Error("Enough")),
 * }, async (connection) => {
 *   for await (const _message of connection);
 * });
 *
 * await assertRejects(() => running, Error, "Enough");
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
    endError: (message) => new Deno.errors.UnexpectedEof(message),
  });
}
