/**
 * A client: one framed connection to a server.
 *
 * @example Asking a server
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.request("hello"), "hello");
 * ```
 *
 * {@linkcode reconnect} makes the next connection when one ends.
 *
 * **What happens to messages under way?** Nothing is resent automatically. A
 * message that was sent and not answered when the connection broke may or may
 * not have been processed, even if {@linkcode Connection.flush} had settled:
 * only an answer proves it. Only your program knows whether sending it twice
 * does harm. What was queued on the old connection is dropped with it, a send
 * to it rejects, and so does every request that waits for its answer.
 *
 * If no message may be lost, give each an id and keep it until it is confirmed.
 * Send the kept messages again on each new connection; the other side ignores
 * an id that it knows.
 *
 * @example Messages that are not lost, and count once
 * ```ts
 * import { lines, reconnect, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const orders = new Map<string, string>();
 * let arrivals = 0;
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       const [id = "", order = ""] = line.split(" ");
 *       arrivals++;
 *       if (!orders.has(id)) orders.set(id, order); // a repeated order counts once
 *       if (arrivals === 1) return; // and the answer is lost
 *       await connection.send(id);
 *     }
 *   },
 * );
 *
 * const unconfirmed = new Map([["1", "tea"], ["2", "cake"]]);
 * await reconnect({
 *   port: server.addr.port,
 *   framing,
 *   minTimeout: 1,
 *   onError: () => {}, // by default, losses go to console.error
 * }, async (connection) => {
 *   for (const [id, order] of unconfirmed) connection.send(`${id} ${order}`);
 *   for await (const id of connection) {
 *     unconfirmed.delete(id);
 *     if (unconfirmed.size === 0) return; // done: no further connection
 *   }
 * });
 *
 * assertEquals([...orders], [["1", "tea"], ["2", "cake"]]);
 * assertEquals(arrivals, 3);
 * ```
 *
 * @module
 */
export * from "./client/connect.ts";
export * from "./client/options.ts";
export * from "./client/reconnect.ts";
