import type { Connection } from "./connection.ts";

/**
 * The message of the channel `framed_tcp.connection.open` of `node:diagnostics_channel`,
 * published for each new connection.
 *
 * Subscribers are called synchronously, in the context that opened the connection. They
 * must not receive from the connection.
 *
 * @example Counting connections
 * ```ts
 * import type { ConnectionOpenMessage } from "@framed/tcp/connection";
 * import { connect, lines, serve } from "@framed/tcp";
 * import { subscribe } from "node:diagnostics_channel";
 * import { assertEquals } from "@std/assert";
 *
 * const ports: unknown[] = [];
 * subscribe("framed_tcp.connection.open", (message) => {
 *   const { role, port } = message as ConnectionOpenMessage;
 *   if (role === "client") ports.push(port);
 * });
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => void await connection.receive(),
 * );
 * await using _client = await connect({ port: server.addr.port, framing });
 * assertEquals(ports, [server.addr.port]);
 * ```
 */
export interface ConnectionOpenMessage {
  /** The connection. */
  readonly connection: Connection<unknown, never>;
  /**
   * `"client"` if `connect()` opened it, `"server"` if `serve()` accepted it. It is
   * left out if neither did.
   */
  readonly role?: "client" | "server";
  /** The server name, address or path that a client dialled. */
  readonly address?: string;
  /** The server port that a client dialled. */
  readonly port?: number;
}

/**
 * The message of the channel `framed_tcp.connection.close` of `node:diagnostics_channel`,
 * published for each connection that has ended, once all its resources are released.
 *
 * @example Logging errors, wherever the connection was opened
 * ```ts
 * import type { ConnectionCloseMessage } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { subscribe } from "node:diagnostics_channel";
 * import { assertEquals } from "@std/assert";
 *
 * const errors: unknown[] = [];
 * subscribe("framed_tcp.connection.close", (message) => {
 *   const closed = message as ConnectionCloseMessage;
 *   if ("error" in closed) errors.push(closed.error);
 * });
 *
 * const error = new Error("No heartbeat");
 * await using pair = connectionPair({ framing: lines() });
 * pair.near.abort(error);
 * await pair.near.closed.catch(() => {});
 * assertEquals(errors[0], error);
 * ```
 */
export interface ConnectionCloseMessage {
  /**
   * The connection. Its `stats()` are final, except that messages which were read before
   * can still be received, and then count.
   */
  readonly connection: Connection<unknown, never>;
  /** What {@linkcode Connection.closed} rejects with. It is left out if nothing failed. */
  readonly error?: unknown;
}
