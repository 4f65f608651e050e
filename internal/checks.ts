import { shownValue } from "./shown.ts";

// A longer time makes a timer fire immediately.
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Throws unless `value` is a function; `task` names what needs it. */
export function checkFunction<T>(
  task: string,
  name: string,
  value: T,
): asserts value is NonNullable<T> {
  if (typeof value !== "function") {
    throw new TypeError(
      `Cannot ${task} as ${name} must be a function: current value is of type ${typeof value}`,
    );
  }
}

/**
 * Throws if the function `name` returned a promise although its result is needed now.
 * Some types allow an async function, and JavaScript always does.
 */
export function checkNotAsync(
  task: string,
  name: string,
  given: unknown,
): void {
  const isPromise = typeof given === "object" && given !== null &&
    "then" in given && typeof given.then === "function";
  if (!isPromise) return;
  Promise.resolve(given).catch(() => {}); // nothing else awaits it
  throw new TypeError(
    `Cannot ${task} as ${name} must not be an async function: it gave a promise`,
  );
}

/** Throws unless `value` is left out or a boolean. */
export function checkBoolean(name: string, value: unknown): void {
  if (value === undefined || typeof value === "boolean") return;
  throw new TypeError(
    `Cannot use ${name} as it must be true or false: current value is ${
      shownValue(value)
    }`,
  );
}

/** Throws unless `value` is left out or a string that is not empty. */
export function checkText(name: string, value: unknown): void {
  if (value === undefined || typeof value === "string" && value !== "") return;
  throw new TypeError(
    `Cannot use ${name} as it must be a string that is not empty: current value is ${
      shownValue(value)
    }`,
  );
}

/** Throws unless `value` is left out or an array of strings that are not empty. */
export function checkTexts(name: string, value: unknown): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) {
    throw new TypeError(
      `Cannot use ${name} as it must be an array of strings: current value is of type ${typeof value}`,
    );
  }
  for (const text of value) checkText(`${name}, in each place,`, text ?? null);
}

/** Throws unless `value` is left out or PEM as text. Keys are secret: it is not shown. */
export function checkPem(name: string, value: unknown): void {
  if (value === undefined || typeof value === "string" && value !== "") return;
  throw new TypeError(
    `Cannot use ${name} as it must be PEM, a string: current value is ${
      value === "" ? "empty" : `of type ${typeof value}`
    }`,
  );
}

// The length of a name in ALPN is one byte.
const MAX_PROTOCOL_BYTES = 255;

/** Throws unless `value` is left out or an array of names for ALPN. */
export function checkAlpnProtocols(
  name: string,
  value: readonly string[] | undefined,
): void {
  checkTexts(name, value);
  for (const protocol of value ?? []) {
    const { length } = new TextEncoder().encode(protocol);
    if (length <= MAX_PROTOCOL_BYTES) continue;
    throw new RangeError(
      `Cannot use ${name} as a protocol's name must have at most ${MAX_PROTOCOL_BYTES} bytes: one has ${length}`,
    );
  }
}

/** Throws unless `value` is left out or an abort signal. */
export function checkSignal(value: unknown): void {
  if (value === undefined) return;
  const isSignal = typeof value === "object" && value !== null &&
    "throwIfAborted" in value && typeof value.throwIfAborted === "function";
  if (isSignal) return;
  throw new TypeError(
    `Cannot use signal as it must be an AbortSignal: current value is of type ${typeof value}`,
  );
}

/** Throws unless `value` is left out or a whole number from 1 to `maximum`. */
export function checkCount(
  task: string,
  name: string,
  value: number | undefined,
  maximum: number = Number.MAX_SAFE_INTEGER,
): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < 1 || value > maximum) {
    throw new RangeError(
      `Cannot ${task} as ${name} must be a whole number from 1 to ${maximum}: current value is ${
        shownValue(value)
      }`,
    );
  }
}

/** Throws unless `value` is left out or a whole number of at least 1 byte. */
export function checkLength(
  task: string,
  name: string,
  value: number | undefined,
): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(
      `Cannot ${task} as ${name} must be a whole number of at least 1 byte: current value is ${
        shownValue(value)
      }`,
    );
  }
}

/** Throws unless `value` is left out or a time that a timer supports. */
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
      `Cannot use ${name} as it must be from ${minimum} to ${MAX_TIMER_MS} ms: current value is ${
        shownValue(value)
      }`,
    );
  }
}

/** Throws unless `port` is a whole number from `minimum` to 65535. */
export function checkPort(port: number, minimum: number): void {
  if (!Number.isSafeInteger(port) || port < minimum || port > 65_535) {
    throw new RangeError(
      `Cannot use port as it must be a whole number from ${minimum} to 65535: current value is ${
        shownValue(port)
      }`,
    );
  }
}

/** Throws unless `path` names a Unix socket. */
export function checkPath(path: string): void {
  if (typeof path !== "string" || path === "") {
    throw new TypeError(
      `Cannot use path as it must be a string that is not empty: current value is ${
        shownValue(path)
      }`,
    );
  }
}

/** Whether the options are for a Unix socket. */
export function isUnix<O extends object>(
  options: O,
): options is Extract<O, { path: string }> {
  return "path" in options && options.path !== undefined;
}

/** Throws if one of `names`, which cannot be honoured, is among the options. */
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

/**
 * Throws if a server gets TLS options that only clients have. A server that ignored
 * `caCerts` would let in every client that the option seems to exclude.
 */
export function refuseClientTlsOptions(options: object): void {
  refuseOptions(
    options,
    ["caCerts", "serverName"],
    "in a server, which asks clients for no certificate: only clients have it",
  );
}

/**
 * Throws if the buffer of an empty chunk was transferred, such as to a worker: its bytes
 * are lost, and would silently be missing from the stream.
 */
export function checkAttached(action: string, { buffer }: Uint8Array): void {
  if ("detached" in buffer && buffer.detached) {
    throw new TypeError(
      `Cannot ${action} as the chunk's buffer must not be transferred before it is read: it is detached`,
    );
  }
}

/** Whether it is a function that makes values, not a value. */
export function isFunction<T>(value: T | (() => T)): value is () => T {
  return typeof value === "function";
}
