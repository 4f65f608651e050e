/**
 * `connect()`, `serve()` and `reconnect()` for Node and Bun, over `node:net`
 * and `node:tls`, with the same options and promises as in Deno.
 *
 * What differs: {@linkcode serve} returns a promise, an abort over TCP is a
 * reset, and system errors have Node's `code` and the `name` of Deno's class,
 * such as `"ConnectionRefused"`. Import framings from `@framed/tcp/framing`,
 * and `Connection` and `broadcast()` from `@framed/tcp/connection`, as in every
 * runtime.
 *
 * @example A server and a client
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       await connection.send(line.toUpperCase());
 *     }
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.request("hello"), "HELLO");
 * ```
 *
 * @module
 */
export type {
  ConnectBaseOptions,
  ConnectTlsOptions,
  ConnectUnixOptions,
  ReconnectBaseOptions,
  ReconnectByOptions,
} from "./client/options.ts";
export * from "./node/addresses.ts";
export * from "./node/connect.ts";
export * from "./node/options.ts";
export * from "./node/reconnect.ts";
export * from "./node/serve.ts";
export * from "./node/socket_transport.ts";
export type { ServeBaseOptions } from "./server/base_options.ts";
export type { ConnectionHandler, ConnectionInfo } from "./server/handler.ts";
export type { ServeListener } from "./server/serve_listener.ts";
export type { Server, ShutdownOptions } from "./server/server.ts";
