import { dial } from "./_dial.ts";
import type { ConnectOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import { isUnix, refuseOptions } from "../internal/checks.ts";
import {
  checkConnectingOptions,
  checkConnectTlsOptions,
  connectInTime,
  tlsOptionsOf,
} from "../internal/connecting.ts";
import {
  checkBeat,
  checkConnectionOptions,
} from "../internal/connection_options.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { checkSocketPath } from "../internal/socket_path.ts";

/**
 * Connects to a server.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @returns The connection. Rejects with the system's error, such as
 * `Deno.errors.ConnectionRefused`, with the address in its message; with a
 * `TimeoutError`; with the signal's reason; with a `TypeError` if options contradict each
 * other; and with a `RangeError` if a number is out of range.
 *
 * @example A connection that closes at the end of its block
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   (connection) => connection.send("welcome"),
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.receive(), "welcome");
 * assertEquals(await client.receive(), undefined);
 * ```
 */
export async function connect<In, Out>(
  options: ConnectOptions<In, Out>,
): Promise<Connection<In, Out>> {
  // A copy: the caller may change the object later, such as for another connection.
  const own: ConnectOptions<In, Out> = copyOptions(options);
  checkConnectOptions(own);
  checkBeat(own, OutputBuffer);
  return await connectInTime(own, {
    dial: (signal) => dial(own, signal),
    open: (conn) => new Connection(conn, connectionOptionsFor(conn, own)),
  });
}

function checkConnectOptions<In, Out>(options: ConnectOptions<In, Out>): void {
  checkConnectingOptions(options);
  if (isUnix(options)) {
    checkSocketPath(options.path, Deno.build.os);
    return checkConnectionOptions(options, "Unix socket");
  }
  const tls = tlsOptionsOf(options);
  if (tls === undefined) return checkConnectionOptions(options, "TCP");
  checkConnectTlsOptions(tls);
  if (tls.cert === undefined) {
    // See dial() for why TLS without a client certificate has the options of TCP.
    return checkConnectionOptions(options, "TCP");
  }
  refuseOptions(
    tls,
    ["serverName"],
    "with cert and key: Deno shows a certificate only to the name that it dials",
  );
  checkConnectionOptions(options, "TLS");
}

/** The options that remain to be applied once `conn` is open. */
function connectionOptionsFor<In, Out>(
  conn: Deno.Conn,
  options: ConnectionOptions<In, Out>,
): ConnectionOptions<In, Out> {
  return "setNoDelay" in conn
    ? options
    : { ...options, noDelay: undefined, keepAlive: undefined };
}
