import { abortable } from "@std/async/abortable";
import type {
  ConnectOptions,
  ConnectTcpOptions,
  ConnectTlsOptions,
} from "./options.ts";
import { isUnix } from "../internal/checks.ts";
import {
  DEFAULT_CONNECT_HOSTNAME,
  nameOfTarget,
  tlsOptionsOf,
} from "../internal/connecting.ts";
import { shakeHands } from "../internal/handshake.ts";
import { certifiedName, withoutBrackets } from "../internal/host_and_port.ts";
import { namingTask } from "../internal/system_error.ts";

/** The options that Deno takes for both TCP and TLS. */
interface TcpAddress {
  readonly port: number;
  readonly hostname: string;
  readonly autoSelectFamily?: boolean;
  readonly autoSelectFamilyAttemptDelay?: number;
}

/** Opens the connection, including the handshake; gives up when `signal` aborts. */
export async function dial<In, Out>(
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): Promise<Deno.Conn> {
  if (isUnix(options)) {
    const { path } = options;
    return await openedInTime(
      Deno.connect({ transport: "unix", path }),
      options,
      signal,
    );
  }
  const tls = tlsOptionsOf(options);
  if (tls === undefined) return await openTcp(options, signal);
  const conn = await openTls(options, tls, signal);
  try {
    await abortable(shakeHands(conn), signal);
    return conn;
  } catch (error) {
    conn.close();
    throw namingAddress(error, options, signal);
  }
}

async function openTcp<In, Out>(
  options: ConnectTcpOptions<In, Out>,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  // The signal passed to Deno stops dialling, but not the name lookup.
  const dialling = new AbortController();
  signal.addEventListener("abort", () => dialling.abort());
  // Deno calls this again once it has connected. If it threw, because of an abort in the
  // same moment, the socket would stay open, without a way to close it.
  dialling.signal.throwIfAborted = () => {};
  const conn = await openedInTime(
    Deno.connect({ ...tcpAddressOf(options), signal: dialling.signal }),
    options,
    signal,
  );
  if (isConnectedToItself(conn)) {
    conn.close();
    throw new Deno.errors.ConnectionRefused(
      `Cannot connect to ${
        nameOfTarget(options)
      }: no server listens there, and the connection was made with itself`,
    );
  }
  return conn;
}

function tcpAddressOf<In, Out>(
  options: ConnectTcpOptions<In, Out>,
): TcpAddress {
  const {
    port,
    hostname = DEFAULT_CONNECT_HOSTNAME,
    autoSelectFamily,
    autoSelectFamilyAttemptDelay,
  } = options;
  return {
    port,
    hostname,
    ...(autoSelectFamily !== undefined && { autoSelectFamily }),
    ...(autoSelectFamilyAttemptDelay !== undefined &&
      { autoSelectFamilyAttemptDelay }),
  };
}

/**
 * Whether both ends are the same socket: if no server listens on a port in the range for
 * clients, the system can give that port to this client, and TCP connects it to itself.
 */
function isConnectedToItself({ localAddr, remoteAddr }: Deno.TcpConn): boolean {
  return localAddr.port === remoteAddr.port &&
    localAddr.hostname === remoteAddr.hostname;
}

/** Opens a TLS connection that has not begun its handshake. */
async function openTls<In, Out>(
  options: ConnectTcpOptions<In, Out>,
  tls: ConnectTlsOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const { noDelay = true, keepAlive } = options;
  const address = tcpAddressOf(options);
  const { caCerts, cert, key, alpnProtocols, serverName = address.hostname } =
    tls;
  const tlsOptions = {
    ...(caCerts && { caCerts: [...caCerts] }),
    ...(alpnProtocols && { alpnProtocols: [...alpnProtocols] }),
  };
  if (cert !== undefined && key !== undefined) {
    return await openedInTime(
      Deno.connectTls({
        ...tlsOptions,
        ...address,
        hostname: withoutBrackets(address.hostname),
        cert,
        key,
      }),
      options,
      signal,
    );
  }
  // A TLS connection can have both only if they are set before the upgrade (measured:
  // write, write, read takes 46 ms a round with Nagle's algorithm).
  const conn = await openTcp(options, signal);
  try {
    conn.setNoDelay(noDelay);
    if (keepAlive !== undefined) conn.setKeepAlive(keepAlive);
    const { localAddr, remoteAddr } = conn;
    const secured = await Deno.startTls(conn, {
      ...tlsOptions,
      hostname: certifiedName(serverName),
    });
    // The addresses from Deno.startTls() lack their `transport`.
    return Object.defineProperties(secured, {
      localAddr: { value: localAddr },
      remoteAddr: { value: remoteAddr },
    });
  } catch (error) {
    conn[Symbol.dispose](); // even if startTls has already taken it
    throw namingAddress(error, options, signal);
  }
}

/** The connection, unless `signal` aborts first; then it is closed once it opens. */
async function openedInTime<C extends Deno.Conn, In, Out>(
  opening: Promise<C>,
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): Promise<C> {
  try {
    return await abortable(opening, signal);
  } catch (error) {
    opening.then((late) => late.close(), () => {});
    throw namingAddress(error, options, signal);
  }
}

/** The system's error with the address in its message; the signal's reason unchanged. */
function namingAddress<In, Out>(
  error: unknown,
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): unknown {
  return error === signal.reason
    ? error
    : namingTask(error, `connect to ${nameOfTarget(options)}`);
}
