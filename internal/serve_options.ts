import {
  checkAlpnProtocols,
  checkBoolean,
  checkCount,
  checkFunction,
  checkMilliseconds,
  checkPem,
  checkPort,
  checkText,
  refuseClientTlsOptions,
  refuseOptions,
} from "./checks.ts";
import {
  checkConnectionOptions,
  type CheckedOptions,
  checkFraming,
} from "./connection_options.ts";
import { onRejection } from "./on_rejection.ts";
import { noteServed } from "./served.ts";

/** The longest queue that a system accepts. */
export const MAX_BACKLOG = 2 ** 31 - 1;

/** Why options are refused, as {@linkcode refuseOptions} says it. */
export const WITH_PATH = "with path: a Unix socket does not have it";
export const WITH_LISTENER = "with listener: it has its address already";

/** The options for serving that every runtime has. */
export interface ServingOptions extends CheckedOptions {
  readonly maxConnections?: number | undefined;
  readonly maxConnectionsPerAddress?: number | undefined;
  readonly maxHandshakes?: number | undefined;
  readonly handshakeTimeout?: number | undefined;
  readonly proxyProtocol?: boolean | undefined;
  readonly onListen?: unknown;
  readonly onError?: unknown;
  readonly filter?: unknown;
}

// Firewalls and NAT forget such a connection earlier: Linux after 60 seconds without a
// packet (`nf_conntrack_tcp_timeout_close_wait`), so a later answer seldom arrives.
const DEFAULT_HALF_CLOSED_TIMEOUT_MS = 120_000;

/** Whether a limit needs to know which connections are open. */
export function countsOpen(
  { maxConnections = Infinity, maxConnectionsPerAddress = Infinity }: Pick<
    ServingOptions,
    "maxConnections" | "maxConnectionsPerAddress"
  >,
): boolean {
  return maxConnections < Infinity || maxConnectionsPerAddress < Infinity;
}

/** The options for each connection of a server. */
export function servedOptions<O extends ServingOptions>(options: O): O {
  const served: O = {
    ...options,
    // The server's signal is for all connections, so no connection listens to it.
    signal: undefined,
    // A peer that has hung up must not keep its place forever.
    halfClosedTimeout: options.halfClosedTimeout ??
      (countsOpen(options) ? DEFAULT_HALF_CLOSED_TIMEOUT_MS : undefined),
  };
  noteServed(served);
  return served;
}

/** Throws if an option cannot be honoured. The options may be missing in JavaScript. */
export function checkServingOptions(options: ServingOptions): void {
  checkFraming(options);
  for (
    const name of [
      "maxConnections",
      "maxConnectionsPerAddress",
      "maxHandshakes",
    ] as const
  ) {
    const count = options[name];
    if (count !== Infinity) checkCount("serve", name, count);
  }
  checkMilliseconds("handshakeTimeout", options.handshakeTimeout);
  for (const name of ["onListen", "onError", "filter"] as const) {
    const callback = options[name];
    if (callback !== undefined) checkFunction("serve", name, callback);
  }
  checkBoolean("proxyProtocol", options.proxyProtocol);
  // Ignoring them would leave the server open to everyone.
  refuseOptions(
    options,
    ["cert", "key", "alpnProtocols"],
    "outside tls: give it inside tls",
  );
}

/** Throws if an option cannot be honoured over a Unix socket. */
export function checkOverUnixSocket(options: ServingOptions): void {
  refuseOptions(options, ["port", "hostname", "tls"], WITH_PATH);
  // Its peers have no addresses, unless a proxy names them, and no TLS.
  if (!options.proxyProtocol) {
    refuseOptions(
      options,
      ["maxConnectionsPerAddress", "handshakeTimeout", "maxHandshakes"],
      "over Unix socket",
    );
  }
  checkConnectionOptions(options, "Unix socket");
}

/** Throws if `proxyProtocol` is used with `path`. */
export function refuseProxyWithPath({ proxyProtocol }: ServingOptions): void {
  if (!proxyProtocol) return;
  throw new TypeError(
    "Cannot use option proxyProtocol with path, whose peers have no address: give a listener on the Unix socket",
  );
}

/** The options for serving on a port that every runtime has. */
interface ServingTcpOptions extends ServingOptions {
  readonly port?: number | undefined;
  readonly hostname?: string | undefined;
  readonly tls?: {
    readonly cert: unknown;
    readonly key: unknown;
    readonly alpnProtocols?: readonly string[] | undefined;
  } | undefined;
}

/** Throws if an option cannot be honoured on a port. */
export function checkOverTcp(options: ServingTcpOptions): void {
  const { port, hostname, tls, proxyProtocol } = options;
  if (port !== undefined) checkPort(port, 0);
  checkText("hostname", hostname); // an empty one would listen on all addresses
  if (tls !== undefined && proxyProtocol) {
    throw new TypeError(
      "Cannot use option proxyProtocol with tls: the header comes before TLS; leave tls out, and begin the handler with connection.startTls()",
    );
  }
  if (tls === undefined && !proxyProtocol) {
    refuseOptions(
      options,
      ["handshakeTimeout", "maxHandshakes"],
      "without tls or proxyProtocol",
    );
  }
  if (
    tls !== undefined &&
    (typeof tls?.cert !== "string" || typeof tls.key !== "string")
  ) {
    throw new TypeError(
      "Cannot serve TLS as tls must have both cert and key, each as PEM",
    );
  }
  checkPem("tls.cert", tls?.cert);
  checkPem("tls.key", tls?.key);
  checkAlpnProtocols("tls.alpnProtocols", tls?.alpnProtocols);
  if (tls !== undefined) refuseClientTlsOptions(tls);
}

/** Whether the caller passed a listener to accept from. */
export function isWithListener<O extends object>(
  options: O,
): options is Extract<O, { listener: unknown }> {
  return "listener" in options && options.listener !== undefined;
}

/** The part of a listener that is checked. */
interface CheckedListener {
  readonly addr?: unknown;
  readonly accept: unknown;
  readonly close: unknown;
}

/** Throws unless `listener` can accept connections. */
export function checkListener(listener: CheckedListener): void {
  for (const name of ["accept", "close"] as const) {
    checkFunction("serve", `listener.${name}`, listener?.[name]);
  }
}

/** Whether a listener says that it listens on a Unix socket. */
export function isUnixListener({ addr }: CheckedListener): boolean {
  return typeof addr === "object" && addr !== null && "transport" in addr &&
    addr.transport === "unix";
}

/** Whether the filter lets a peer pass. It may be a method of its options. */
export function passes<A>(
  remoteAddr: A,
  options: { filter?: ((remoteAddr: A) => unknown) | undefined },
): boolean {
  if (options.filter === undefined) return true;
  const isPassed = options.filter(remoteAddr);
  // The promise of an async function would let everyone pass.
  if (typeof isPassed !== "boolean") {
    onRejection(isPassed, () => {}); // the error below says that it is async
    throw new TypeError(
      `Cannot filter as filter must give a boolean: it gave a value of type ${typeof isPassed}`,
    );
  }
  return isPassed;
}
