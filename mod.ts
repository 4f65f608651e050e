/**
 * Messages over TCP, for Deno.
 *
 * TCP carries a stream of bytes, not messages: ten writes can arrive as one
 * read, and one write as ten. This module marks where each message ends, waits
 * when the other side is slow, and ends connections without losing what is on
 * its way.
 *
 * - {@linkcode serve} accepts connections, {@linkcode connect} makes one, and
 *   {@linkcode reconnect} makes the next when one ends.
 * - A {@linkcode Connection} sends and receives messages, {@linkcode broadcast}
 *   sends one to many.
 * - A {@linkcode Framing} says where messages begin and end: {@linkcode delimited},
 *   {@linkcode lines}, {@linkcode lengthPrefixed} and more.
 *
 * @example A server and a client
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
export * from "./client.ts";
export * from "./connection.ts";
export * from "./framing.ts";
export * from "./server.ts";
