import { addressOf, dial, originOf, tlsOptionsOf } from "./_dial.ts";
import type { ConnectOptions, ConnectTlsOptions } from "./options.ts";
import { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import {
  checkMilliseconds,
  checkPath,
  checkPort,
  isUnix,
  refuseOptions,
} from "../internal/checks.ts";
import {
  checkConnectionOptions,
  checkFraming,
} from "../internal/connection_options.ts";
import { startTimer } from "../internal/countdown.ts";
import { noteOrigin } from "../internal/diagnostics.ts";

/**
 * Connects to a server.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @param options The address, the framing, limits and timeouts.
 * @returns The connection. Rejects with the system's error, such as
 * `Deno.errors.ConnectionRefused`, with the address in its message, with a `TimeoutError`, with the signal's
 * reason, with a `TypeError` if options contradict each other, and with a
 * `RangeError` if a number is out of range.
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
  checkConnectOptions(options);
  const { connectTimeout, signal } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  const stopTimer = connectTimeout === undefined
    ? undefined
    : startTimer(connectTimeout, () => {
      const message = `Cannot connect to ${
        addressOf(options)
      } within connectTimeout of ${connectTimeout} ms`;
      controller.abort(new DOMException(message, "TimeoutError"));
    });
  // A countdown alone would let the process end.
  const alive = connectTimeout === undefined
    ? undefined
    : setInterval(() => {}, connectTimeout);
  try {
    const conn = await dial(options, controller.signal);
    try {
      controller.signal.throwIfAborted();
      noteOrigin(conn, () => originOf(options));
      return new Connection(conn, connectionOptionsFor(conn, options));
    } catch (error) {
      conn.close();
      throw error;
    }
  } finally {
    stopTimer?.();
    clearInterval(alive);
    signal?.removeEventListener("abort", onAbort);
  }
}

function checkConnectOptions<In, Out>(options: ConnectOptions<In, Out>): void {
  checkFraming(options); // first, as there may be no options at all
  checkMilliseconds("connectTimeout", options.connectTimeout);
  // Left out of account, they would leave the connection open to all.
  refuseOptions(
    options,
    ["caCerts", "cert", "key", "alpnProtocols", "serverName"],
    "outside tls: give it inside tls",
  );
  if (isUnix(options)) {
    checkPath(options.path);
    refuseOptions(
      options,
      [
        "port",
        "hostname",
        "tls",
        "autoSelectFamily",
        "autoSelectFamilyAttemptDelay",
      ],
      "with path: a Unix socket does not have it",
    );
    checkConnectionOptions(options, "Unix socket");
    return;
  }
  checkPort(options.port, 1);
  checkMilliseconds(
    "autoSelectFamilyAttemptDelay",
    options.autoSelectFamilyAttemptDelay,
  );
  const tls = tlsOptionsOf(options);
  if (tls !== undefined) checkTlsOptions(tls);
  // See dial() for why TLS has them as TCP does without a certificate.
  checkConnectionOptions(options, tls?.cert === undefined ? "TCP" : "TLS");
}

function checkTlsOptions(tls: ConnectTlsOptions): void {
  if (typeof tls !== "object" || tls === null) {
    throw new TypeError(
      `Cannot connect as tls must be true, false or an object of options: current value is ${
        JSON.stringify(tls)
      }`,
    );
  }
  if (tls.cert === undefined || tls.key === undefined) {
    refuseOptions(
      tls,
      ["cert", "key"],
      "alone: cert and key must be given together",
    );
  } else {
    refuseOptions(
      tls,
      ["serverName"],
      "with cert and key: Deno shows a certificate only to the name that it dials",
    );
  }
}

/** The options that are left to honour once `conn` is open. */
function connectionOptionsFor<In, Out>(
  conn: Deno.Conn,
  options: ConnectionOptions<In, Out>,
): ConnectionOptions<In, Out> {
  return "setNoDelay" in conn
    ? options
    : { ...options, noDelay: undefined, keepAlive: undefined };
}
