import type { Address, Transport } from "../connection/transport.ts";

/**
 * A listener that a server can accept from: a `Deno.Listener`, or anything that returns
 * transports.
 *
 * @typeParam A The kind of address.
 *
 * @example A listener that counts
 * ```ts
 * import { connect, lines, serve, type ServeListener } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * let accepted = 0;
 * const listener: ServeListener<Deno.NetAddr> = {
 *   addr: inner.addr,
 *   async accept() {
 *     const conn = await inner.accept();
 *     accepted++;
 *     return conn;
 *   },
 *   close: () => inner.close(),
 * };
 *
 * const framing = lines();
 * await using _server = serve(
 *   { listener, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({ port: inner.addr.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * assertEquals(accepted, 1);
 * ```
 */
export interface ServeListener<A extends Address = Address> {
  /** The address that it listens on. */
  readonly addr: A;
  /**
   * Waits for the next connection.
   *
   * If it rejects, the server calls `onError` and tries again after a pause. After a
   * `Deno.errors.ConnectionAborted` or `Deno.errors.NotConnected`, which say that a peer
   * was gone before it was accepted, it tries again immediately and reports nothing. Only
   * a `Deno.errors.BadResource` says that the listener is closed, and ends the server.
   */
  accept(): Promise<Transport>;
  /** Stops listening: a pending `accept` rejects. */
  close(): void;
  /** Keeps the process alive; {@linkcode Server.ref} calls it. */
  ref?(): void;
  /**
   * Lets the process end; {@linkcode Server.unref} calls it. A listener of
   * `Deno.listenTls` has this method, but keeps the process alive all the same.
   */
  unref?(): void;
}
