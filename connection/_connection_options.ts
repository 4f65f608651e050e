import type { ConnectionOptions } from "./connection.ts";

/** What carries the bytes. */
export type Transport = "TCP" | "TLS" | "Unix socket";

// More makes a timer fire at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Throws if an option shared by both sides cannot be honoured. */
export function checkConnectionOptions<In, Out>(
  options: ConnectionOptions<In, Out>,
  transport: Transport,
): void {
  const { framing } = options;
  if (
    framing !== undefined &&
    (typeof framing.decoder !== "function" ||
      typeof framing.encode !== "function")
  ) {
    throw new TypeError(
      "Cannot open connection as framing must have the methods decoder and encode",
    );
  }
  checkLength("readBufferSize", options.readBufferSize);
  checkLength("highWaterMark", options.highWaterMark);
  checkMilliseconds("idleTimeout", options.idleTimeout);
  checkMilliseconds("messageTimeout", options.messageTimeout);
  checkMilliseconds("sendTimeout", options.sendTimeout);
  if (
    options.messageTimeout !== undefined && framing !== undefined &&
    framing.decoder().pending === undefined
  ) {
    throw new TypeError(
      "Cannot open connection with messageTimeout as the decoder of its framing does not say whether a message is pending",
    );
  }
  for (const name of ["noDelay", "keepAlive"] as const) {
    if (options[name] === true && transport !== "TCP") {
      throw new TypeError(
        `Cannot open connection with ${name} over ${transport}: only TCP connections have it`,
      );
    }
  }
}

/** Throws unless `value` is left out or a time that a timer can keep. */
export function checkMilliseconds(
  name: string,
  value: number | undefined,
  minimum = 1,
): void {
  if (value === undefined) return;
  if (
    typeof value !== "number" || !(value >= minimum && value <= MAX_TIMER_MS)
  ) {
    throw new RangeError(
      `Cannot use ${name} as it must be from ${minimum} to ${MAX_TIMER_MS} ms: current value is ${value}`,
    );
  }
}

/** Throws unless `port` is a whole number from `minimum` to 65535. */
export function checkPort(port: number, minimum: number): void {
  if (!Number.isSafeInteger(port) || port < minimum || port > 65_535) {
    throw new RangeError(
      `Cannot use port as it must be a whole number from ${minimum} to 65535: current value is ${port}`,
    );
  }
}

/** Throws unless `path` names a Unix socket. */
export function checkPath(path: string): void {
  if (typeof path !== "string" || path === "") {
    throw new TypeError(
      `Cannot use path as it must be a string that is not empty: current value is ${
        JSON.stringify(path)
      }`,
    );
  }
}

/** Whether the address is that of a Unix socket. */
export function isUnix<O extends object>(
  options: O,
): options is Extract<O, { path: string }> {
  return "path" in options && options.path !== undefined;
}

/** Throws if one of `names` is among the options, where it cannot be honoured. */
export function refuseOptions(
  options: object,
  names: readonly string[],
  why: string,
): void {
  for (const name of names) {
    if (Reflect.get(options, name) !== undefined) {
      throw new TypeError(`Cannot use option ${name} ${why}`);
    }
  }
}

function checkLength(name: string, value: number | undefined): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(
      `Cannot open connection as ${name} must be a whole number of at least 1 byte: current value is ${value}`,
    );
  }
}
