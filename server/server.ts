import type { Connection } from "../connection/connection.ts";
import type { Address } from "../connection/transport.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";

/**
 * Options for {@linkcode Server.shutdown}.
 *
 * @example A limit on shutdown
 * ```ts
 * import { connect, lines, serve, type ShutdownOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const handling = Promise.withResolvers<void>();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing, onError: () => {} },
 *   async (connection) => {
 *     handling.resolve();
 *     for await (const _message of connection);
 *     await new Promise((resolve) =>
 *       // a handler that is slow to end
 *       connection.signal.addEventListener("abort", resolve)
 *     );
 *   },
 * );
 * await using _client = await connect({ port: server.addr.port, framing });
 * await handling.promise;
 *
 * const options: ShutdownOptions = { timeout: 10 };
 * await server.shutdown(options); // aborts connections that have not ended by then
 * assertEquals(server.connections.size, 0);
 * ```
 */
export interface ShutdownOptions {
  /**
   * After how many milliseconds connections that have not ended are aborted. Time in
   * which this thread is busy does not count. No limit by default.
   */
  timeout?: number | undefined;
}

/**
 * A server that listens; made by {@linkcode serve}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam A The kind of address.
 *
 * @example Watching a server
 * ```ts
 * import { connect, lines, serve, type Server } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const server: Server<string, string> = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * const { addr } = server;
 * if (addr.transport === "tcp") {
 *   await using client = await connect({ port: addr.port, framing });
 *   await client.receive();
 *   assertEquals(server.connections.size, 1);
 * }
 * await server.shutdown();
 * await server.finished;
 * assertEquals(server.connections.size, 0);
 * ```
 */
export interface Server<
  In = Bytes,
  Out = SendableFor<In>,
  A extends Address = Address,
> extends AsyncDisposable {
  /** The address that the server listens on. */
  readonly addr: A;
  /**
   * Settles when the server has ended, with all connections and handlers. It never
   * rejects.
   */
  readonly finished: Promise<void>;
  /** The connections that are open or whose handler still runs. */
  readonly connections: ReadonlySet<Connection<In, Out>>;
  /**
   * Ends the server, and lets its connections finish: no more connections are accepted,
   * the messages of each end after those already read from its socket, handlers finish,
   * and queued messages are sent.
   *
   * So a body that is still arriving is cut off. To let it finish, close your own
   * {@linkcode ServeListenerOptions.listener} first.
   *
   * A handler may call it, directly or in work that it has started, and so may `onError`.
   * It then does not wait for that handler, nor for others that wait for a shutdown,
   * because they would wait for each other. {@linkcode Server.finished} waits for them
   * all, so no handler may await it.
   *
   * @param options How long that may take.
   * @returns A promise that settles when everything has ended. With a `timeout`, it
   * settles soon after that even if a handler still runs: only
   * {@linkcode Server.finished} waits for such a handler.
   * @throws {RangeError} If `timeout` is out of range.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Lets the server keep the process alive, as it does by default. */
  ref(): void;
  /**
   * Lets the process end while the server listens. A connection with a pending write
   * still keeps it alive, because Deno can only unref reads.
   *
   * @throws {Deno.errors.NotSupported} If the server uses TLS: Deno cannot do it then.
   */
  unref(): void;
}
