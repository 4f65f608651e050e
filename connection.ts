/**
 * One connection that carries messages both ways, shared by clients and servers.
 *
 * {@linkcode connect} and {@linkcode serve} make connections. Use the class for
 * a transport that you opened or accepted yourself.
 *
 * @example Framing your own connection
 * ```ts
 * import { Connection } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const [near, far] = await Promise.all([
 *   Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
 *   listener.accept(),
 * ]);
 * await using client = new Connection(near, { framing: lines() });
 * await using server = new Connection(far, { framing: lines() });
 *
 * await client.send("hello");
 *
 * assertEquals(await server.receive(), "hello");
 * ```
 *
 * {@linkcode broadcast} sends one message to many connections, encoded once.
 *
 * A chat, a game or a market data feed sends the same message to everyone. The
 * `slow` option says what happens to a receiver that reads too slowly: all
 * others wait for it, it misses messages, or it is disconnected.
 *
 * @example A chat that lets slow guests miss lines
 * ```ts
 * import { broadcast, connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       await broadcast(server.connections, line, { slow: "drop" });
 *     }
 *   },
 * );
 * const { port } = server.addr;
 * await using ann = await connect({ port, framing });
 * await using ben = await connect({ port, framing });
 *
 * // An answer proves that the server has accepted this client.
 * await ben.request("I am Ben");
 * await ann.send("Hello Ben");
 *
 * assertEquals(await ben.receive(), "Hello Ben");
 * ```
 *
 * {@linkcode correlate} lets answers come in any order, matched by id: for
 * JSON-RPC, LSP, MQTT, NATS, DNS and Modbus.
 *
 * @example Two questions; the second is answered first
 * ```ts
 * import { connect, correlate, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     const questions = [await connection.receive(), await connection.receive()];
 *     for (const question of questions.reverse()) {
 *       await connection.send(`${question}!`);
 *     }
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * const { request } = correlate(client, { id: (line) => Number.parseInt(line) });
 * const answers = ["one", "two"].map((word) => request((id) => `${id} ${word}`));
 * assertEquals(await Promise.all(answers), ["1 one!", "2 two!"]);
 * ```
 *
 * @module
 */
export * from "./connection/broadcast.ts";
export * from "./connection/connection.ts";
export * from "./connection/correlate.ts";
export * from "./connection/diagnostics.ts";
export * from "./connection/options.ts";
export * from "./connection/proxy_protocol.ts";
export * from "./connection/receive_chunks.ts";
export * from "./connection/receive_until.ts";
export * from "./connection/transport.ts";
