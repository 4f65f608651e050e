import process from "node:process";
import { dial } from "./_dial.ts";
import type { ConnectOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import {
  checkMilliseconds,
  isUnix,
  refuseOptions,
} from "../internal/checks.ts";
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
 * Connects to a server, over `node:net` or `node:tls`.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The address, the framing, limits and timeouts.
 * @returns The connection. Rejects with the system's error, with Node's `code`, the
 * `name` of Deno's class, such as `"ConnectionRefused"`, and the address in its message;
 * with a `TimeoutError`; with the signal's reason; with a `TypeError` if options
 * contradict each other; and with a `RangeError` if a number is out of range.
 *
 * @example A connection that closes at the end of its block
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { connect, serve } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = await serve(
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
    open: (transport) => new Connection(transport, own),
  });
}

function checkConnectOptions<In, Out>(options: ConnectOptions<In, Out>): void {
  checkConnectingOptions(options);
  if (isUnix(options)) {
    checkSocketPath(options.path, process.platform);
    refuseOptions(
      options,
      ["keepAliveInitialDelay"],
      "with path: a Unix socket does not have it",
    );
    checkConnectionOptions(options, "Unix socket");
    return;
  }
  checkMilliseconds("keepAliveInitialDelay", options.keepAliveInitialDelay, 0);
  const tls = tlsOptionsOf(options);
  if (tls !== undefined) checkConnectTlsOptions(tls);
  checkConnectionOptions(options, "TCP"); // TLS has the options of TCP
}
