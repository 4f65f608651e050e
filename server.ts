/**
 * A server of framed connections, in the shape of `Deno.serve`.
 *
 * @example Answering lines
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
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
export * from "./server/base_options.ts";
export * from "./server/handler.ts";
export * from "./server/options.ts";
export * from "./server/serve.ts";
export * from "./server/serve_listener.ts";
export * from "./server/server.ts";
