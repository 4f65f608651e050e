import {
  checkAlpnProtocols,
  checkBoolean,
  checkMilliseconds,
  checkPath,
  checkPem,
  checkPort,
  checkText,
  checkTexts,
  isUnix,
  refuseOptions,
} from "./checks.ts";
import { type CheckedOptions, checkFraming } from "./connection_options.ts";
import { startTimer } from "./countdown.ts";
import { keepAlive } from "./event_loop.ts";
import { hostAndPort } from "./host_and_port.ts";
import { onAbort } from "./on_abort.ts";
import { shownValue } from "./shown.ts";
import { noteOrigin, type Origin } from "./diagnostics.ts";

export const DEFAULT_CONNECT_HOSTNAME = "127.0.0.1";

/** The options for TLS that are checked. */
interface CheckedTlsOptions {
  readonly caCerts?: readonly string[] | undefined;
  readonly alpnProtocols?: readonly string[] | undefined;
  readonly serverName?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The options for connecting to a port that every runtime has. */
interface TcpTarget {
  readonly port: number;
  readonly hostname?: string | undefined;
  readonly autoSelectFamily?: boolean | undefined;
  readonly autoSelectFamilyAttemptDelay?: number | undefined;
}

/** The options for connecting that every runtime has. */
export type ConnectingOptions =
  & Pick<CheckedOptions, "framing">
  & {
    readonly connectTimeout?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  }
  & (TcpTarget | { readonly path: string });

/** The address to connect to, as errors name it. */
export function nameOfTarget(
  target: TcpTarget | { readonly path: string },
): string {
  return isUnix(target)
    ? target.path
    : hostAndPort(target.hostname ?? DEFAULT_CONNECT_HOSTNAME, target.port);
}

/** The server to connect to, for subscribers of the diagnostics. */
function originOf(
  target: TcpTarget | { readonly path: string },
): Origin {
  const role = "client";
  if (isUnix(target)) return { role, address: target.path };
  const { hostname: address = DEFAULT_CONNECT_HOSTNAME, port } = target;
  return { role, address, port };
}

/** The options for TLS, if it is used. */
export function tlsOptionsOf<T extends object>(
  { tls = false }: { readonly tls?: boolean | T | undefined },
): Partial<T> | undefined {
  if (tls === true) return {};
  return tls === false ? undefined : tls;
}

/** Throws if an option cannot be honoured. The options may be missing in JavaScript. */
export function checkConnectingOptions(options: ConnectingOptions): void {
  checkFraming(options); // first: there may be no options at all
  checkMilliseconds("connectTimeout", options.connectTimeout);
  // Ignoring them would leave the connection open to everyone.
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
    return;
  }
  checkPort(options.port, 1);
  checkText("hostname", options.hostname);
  checkBoolean("autoSelectFamily", options.autoSelectFamily);
  checkMilliseconds(
    "autoSelectFamilyAttemptDelay",
    options.autoSelectFamilyAttemptDelay,
  );
}

/** Throws if an option for TLS cannot be honoured. */
export function checkConnectTlsOptions(tls: CheckedTlsOptions): void {
  if (typeof tls !== "object" || tls === null) {
    throw new TypeError(
      `Cannot connect as tls must be true, false or an object of options: current value is ${
        shownValue(tls)
      }`,
    );
  }
  checkTexts("tls.caCerts", tls.caCerts);
  checkAlpnProtocols("tls.alpnProtocols", tls.alpnProtocols);
  checkText("tls.serverName", tls.serverName);
  checkPem("tls.cert", tls.cert);
  checkPem("tls.key", tls.key);
  if (tls.cert === undefined || tls.key === undefined) {
    refuseOptions(
      tls,
      ["cert", "key"],
      "alone: cert and key must be given together",
    );
  }
}

/** The parts of {@linkcode connectInTime} that depend on the runtime. */
interface Connecting<T, C> {
  /** Opens a transport. When its signal aborts, it gives up and rejects with the reason. */
  readonly dial: (signal: AbortSignal) => Promise<T>;
  /** Makes a connection over it. */
  readonly open: (transport: T) => C;
}

/** Makes a connection within `connectTimeout` and unless `signal` is aborted. */
export async function connectInTime<T extends { close(): void }, C>(
  options: ConnectingOptions,
  { dial, open }: Connecting<T, C>,
): Promise<C> {
  const { connectTimeout, signal } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const stopListening = signal &&
    onAbort(signal, () => controller.abort(signal.reason));
  const stopTimer = connectTimeout === undefined
    ? undefined
    : startTimer(connectTimeout, () => {
      const message = `Cannot connect to ${
        nameOfTarget(options)
      } within connectTimeout of ${connectTimeout} ms`;
      controller.abort(new DOMException(message, "TimeoutError"));
    });
  // A countdown alone would let the process end.
  const letDie = connectTimeout === undefined ? undefined : keepAlive();
  try {
    const transport = await dial(controller.signal);
    try {
      controller.signal.throwIfAborted();
      noteOrigin(transport, () => originOf(options));
      return open(transport);
    } catch (error) {
      transport.close();
      throw error;
    }
  } finally {
    stopTimer?.();
    letDie?.();
    stopListening?.();
  }
}
