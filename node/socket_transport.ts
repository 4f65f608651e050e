import type { Socket } from "node:net";
import { addressesOf, isTls, transportOf } from "./_socket_transport.ts";
import type { Transport } from "../connection/transport.ts";
import { checkFunction, checkMilliseconds } from "../internal/checks.ts";
import { endByTlsErrors } from "../internal/tls_errors.ts";

/**
 * Options for {@linkcode socketTransport}.
 *
 * @example Probing a silent peer after a minute
 * ```ts
 * import { connect } from "node:net";
 * import { once } from "node:events";
 * import { Connection } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { serve, socketTransport } from "@framed/tcp/node";
 * import type { SocketTransportOptions } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * const socket = connect(server.addr.port, "127.0.0.1");
 * await once(socket, "connect");
 *
 * const options: SocketTransportOptions = { keepAliveInitialDelay: 60_000 };
 * const transport = socketTransport(socket, options);
 * await using client = new Connection(transport, { framing, keepAlive: true });
 * assertEquals(await client.receive(), "welcome");
 * ```
 */
export interface SocketTransportOptions {
  /**
   * How many milliseconds after the last byte the system begins to probe a silent peer,
   * if `keepAlive` is on. By default the system decides: usually two hours.
   */
  keepAliveInitialDelay?: number | undefined;
}

/**
 * Makes a transport from a socket of `node:net` or `node:tls` that you opened or
 * accepted, for `new Connection(transport, options)`. The transport then owns the socket,
 * even after `Connection.detach()`, which hands over the transport.
 *
 * The peer's end does not end this side. Aborting a connection over TCP resets it, so
 * that the peer does not take an abort for an ordinary end. Over TLS and over a Unix
 * socket it is closed: let the protocol mark the end of anything that must be whole.
 *
 * @param socket A connected socket that nothing else reads from.
 * @param options For TCP.
 * @returns The transport.
 * @throws {TypeError} If it is another stream, the socket is not connected, or
 * `setEncoding()` made it give text.
 *
 * @example Your own server
 * ```ts
 * import { createServer } from "node:net";
 * import { once } from "node:events";
 * import { Connection } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connect, socketTransport } from "@framed/tcp/node";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const server = createServer({ allowHalfOpen: true }, async (socket) => {
 *   await using connection = new Connection(socketTransport(socket), { framing });
 *   await connection.send("welcome");
 * });
 * server.listen(0, "127.0.0.1");
 * await once(server, "listening");
 *
 * const address = server.address();
 * assert(address !== null && typeof address === "object");
 * await using client = await connect({ port: address.port, framing });
 * assertEquals(await client.receive(), "welcome");
 * assertEquals(await client.receive(), undefined);
 * server.close();
 * ```
 */
export function socketTransport(
  socket: Socket,
  options: SocketTransportOptions = {},
): Transport {
  const { keepAliveInitialDelay = 0 } = options;
  checkMilliseconds("keepAliveInitialDelay", keepAliveInitialDelay, 0);
  checkFunction("make transport", "socket.pause", socket?.pause);
  // Other streams of Node have pause() too.
  checkFunction("make transport", "socket.unref", socket.unref);
  // For TLS over another socket, Bun does not report it.
  const isPending = socket.pending && !isTls(socket);
  if (isPending || socket.destroyed) {
    throw new TypeError(
      `Cannot make transport as its socket must be connected: it is ${
        socket.destroyed ? "closed" : "not connected yet"
      }`,
    );
  }
  const { readableEncoding } = socket;
  if (readableEncoding) {
    throw new TypeError(
      `Cannot make transport as its socket must give bytes: setEncoding() has made it give text (${readableEncoding})`,
    );
  }
  if (isTls(socket)) endByTlsErrors(socket);
  return transportOf(socket, addressesOf(socket), keepAliveInitialDelay);
}
