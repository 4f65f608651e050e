import { abortable } from "@std/async/abortable";
import { delay } from "@std/async/delay";
import {
  checkCount,
  checkFunction,
  checkMilliseconds,
  checkSignal,
  refuseOptions,
} from "./checks.ts";
import { type CheckedOptions, checkFraming } from "./connection_options.ts";
import { logError } from "./log_error.ts";
import { onAbort } from "./on_abort.ts";
import { isError } from "./realms.ts";
import {
  forgetEndWait,
  isEndWaitOver,
  noteReconnected,
} from "./reconnected.ts";
import { shownValue } from "./shown.ts";

/** The part of a connection that this folder knows. */
export interface ReconnectedConnection {
  readonly hasEnded: boolean;
  stats(): { readonly messagesReceived: number };
  readonly signal: AbortSignal;
  readonly closed: Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): void;
}

/** The options for making a connection again and again. */
export interface ReconnectingOptions<C> {
  readonly connect?: unknown;
  readonly framing?: CheckedOptions["framing"] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onConnect?: ((connection: C) => void | Promise<void>) | undefined;
  readonly onError?:
    | ((error: unknown, connection: C | undefined) => void | Promise<void>)
    | undefined;
  readonly minTimeout?: number | undefined;
  readonly maxTimeout?: number | undefined;
  readonly multiplier?: number | undefined;
  readonly jitter?: number | undefined;
  readonly maxAttempts?: number | undefined;
}

/** The parts of {@linkcode runReconnecting} that depend on the runtime. */
export interface Reconnecting<C, T> {
  readonly options: ReconnectingOptions<C>;
  /** Opens the next connection, by the caller's function or by our own. */
  readonly open: () => Promise<C>;
  /** Whether the result of `open` is a connection. */
  readonly isConnection: (opened: unknown) => boolean;
  readonly handler: (connection: C) => T | Promise<T>;
  /** The error of a connection whose messages have ended. */
  readonly endError: (message: string) => Error;
}

/** Makes a connection, and the next one when it has ended, until the handler is done. */
export async function runReconnecting<C extends ReconnectedConnection, T>(
  reconnecting: Reconnecting<C, T>,
): Promise<T> {
  const { options, handler } = reconnecting;
  const schedule = checkReconnectOptions(options);
  checkFunction("reconnect", "handler", handler);
  const { signal } = options;
  if (signal === undefined) return await connectInTurn(reconnecting, schedule);
  signal.throwIfAborted();
  // Each wait adds a listener, which takes longer the more the signal has (measured:
  // 20,000 that share one connected in 41 s). So this one gets its own signal.
  const controller = new AbortController();
  const stopListening = onAbort(
    signal,
    () => controller.abort(signal.reason),
  );
  const own = { ...options, signal: controller.signal };
  try {
    return await connectInTurn({ ...reconnecting, options: own }, schedule);
  } finally {
    stopListening();
  }
}

/** Does the same with checked options. */
async function connectInTurn<C extends ReconnectedConnection, T>(
  reconnecting: Reconnecting<C, T>,
  { jitter, longestWait, maxAttempts }: Schedule,
): Promise<T> {
  const { signal, onError = logError } = reconnecting.options;
  // `retry` of @std/async does not fit: it begins to wait anew only with a new call,
  // so that a connection which lasted would count like one that failed immediately.
  let failures = 0;
  while (true) {
    const outcome = await attempt(reconnecting);
    if ("result" in outcome) return outcome.result;
    const { error, connection, lasted, isOver } = outcome;
    signal?.throwIfAborted();
    if (isOver) throw error;
    failures = lasted > longestWait(failures) ? 0 : failures + 1;
    if (failures >= maxAttempts) throw error;
    await unlessAborted(() => onError(error, connection), signal);
    const wait = longestWait(Math.max(0, failures - 1));
    await delay(
      wait * (1 - jitter * Math.random()),
      { ...(signal && { signal }) },
    );
  }
}

/** How one attempt ended that leads to the next, unless that cannot help. */
interface Loss<C> {
  readonly error: unknown;
  readonly connection: C | undefined;
  /** Whether trying again cannot help. */
  readonly isOver: boolean;
  /** For how many milliseconds the handler had the connection. */
  readonly lasted: number;
}

/** Makes a connection and has it handled; throws the handler's own error. */
async function attempt<C extends ReconnectedConnection, T>(
  reconnecting: Reconnecting<C, T>,
): Promise<{ readonly result: T } | Loss<C>> {
  const { signal, onConnect } = reconnecting.options;
  let connection: C | undefined;
  // The caller's own connection may not heed the signal.
  const abortIt = () => connection?.abort(signal?.reason);
  signal?.addEventListener("abort", abortIt);
  try {
    try {
      const opened = connection = await open(reconnecting);
      await unlessAborted(() => onConnect?.(opened), signal);
    } catch (error) {
      const isOver = isMistake(error, connection);
      if (connection !== undefined) await abort(connection, error);
      return { error, connection, isOver, lasted: 0 };
    }
    return await handle(connection, reconnecting);
  } finally {
    signal?.removeEventListener("abort", abortIt);
  }
}

/** Opens a connection, unless the signal is aborted first. */
async function open<C extends ReconnectedConnection, T>(
  { open, isConnection, options: { signal } }: Reconnecting<C, T>,
): Promise<C> {
  signal?.throwIfAborted();
  const opening = open();
  let connection: C;
  try {
    connection = await unlessAborted(() => opening, signal);
  } catch (error) {
    Promise.resolve(opening).then((late) => late.abort(error)).catch(() => {});
    throw error;
  }
  if (!isConnection(connection)) {
    throw new TypeError("Cannot reconnect as connect must give a Connection");
  }
  noteReconnected(connection);
  return connection;
}

/** Has a connection handled; throws the handler's own error. */
async function handle<C extends ReconnectedConnection, T>(
  connection: C,
  { handler, endError, options: { signal } }: Reconnecting<C, T>,
): Promise<{ readonly result: T } | Loss<C>> {
  const start = performance.now();
  const { messagesReceived } = connection.stats();
  forgetEndWait(connection);
  const lossBy = (error: unknown, isOver = false): Loss<C> => ({
    error,
    connection,
    isOver,
    lasted: performance.now() - start,
  });
  let result: T;
  try {
    result = await unlessAborted(() => handler(connection), signal);
  } catch (error) {
    const wasOpen = !connection.hasEnded;
    const isOver = isMistake(error, connection);
    await abort(connection, error);
    if (wasOpen) throw error;
    return lossBy(error, isOver);
  }
  // A handler that returns a value, or has received messages, may be done, even if it
  // watched for the peer's end.
  const hasWaited = result === undefined && isEndWaitOver(connection) &&
    connection.stats().messagesReceived === messagesReceived;
  const wasOpen = !connection.hasEnded && !hasWaited;
  try {
    await connection.close();
    connection.signal.throwIfAborted();
  } catch (error) {
    return lossBy(error);
  }
  return wasOpen ? { result } : lossBy(
    endError("Cannot go on: the messages of the connection have ended"),
  );
}

/** What `work` gives, unless `signal` is aborted first: then its reason. */
async function unlessAborted<T>(
  work: () => T | Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await work();
  // A promise: work may return its value without one.
  return await abortable(Promise.resolve(work()), signal);
}

async function abort(
  connection: ReconnectedConnection,
  reason: unknown,
): Promise<void> {
  // A connection that ended with an error may still send queued messages.
  if (!connection.signal.aborted) connection.abort(reason);
  await connection.closed.catch(() => {});
}

/** Whether `error` is the program's own, and not how the connection itself ended. */
function isMistake(
  error: unknown,
  connection: ReconnectedConnection | undefined,
): boolean {
  if (error === connection?.signal.reason) return false;
  return error instanceof TypeError || error instanceof RangeError ||
    error instanceof URIError ||
    // A permission that the program lacks, or what this runtime cannot do.
    isError(error) &&
      (error.name === "NotCapable" || error.name === "NotSupported");
}

/** Whether connections are made by the caller's function. */
export function isByFunction<O extends object>(
  options: O,
): options is Extract<O, { connect: unknown }> {
  return "connect" in options && options.connect !== undefined;
}

interface Schedule {
  readonly jitter: number;
  readonly maxAttempts: number;
  /** The longest wait after this many waits, in milliseconds; jitter shortens it. */
  readonly longestWait: (waits: number) => number;
}

/** Throws if an option cannot be honoured. The options may be missing in JavaScript. */
function checkReconnectOptions<C>(options: ReconnectingOptions<C>): Schedule {
  if (options && isByFunction(options)) checkByFunction(options);
  else checkFraming(options); // it may be missing, and so may the options
  const {
    onConnect,
    onError,
    minTimeout = 1000,
    maxTimeout = 60_000,
    multiplier = 2,
    jitter = 1,
    maxAttempts = Infinity,
  } = options;
  checkSignal(options.signal);
  if (onConnect !== undefined) {
    checkFunction("reconnect", "onConnect", onConnect);
  }
  if (onError !== undefined) checkFunction("reconnect", "onError", onError);
  checkMilliseconds("minTimeout", minTimeout);
  checkMilliseconds("maxTimeout", maxTimeout);
  if (minTimeout > maxTimeout) {
    throw new RangeError(
      `Cannot reconnect as minTimeout must not be more than maxTimeout: current values are ${minTimeout} and ${maxTimeout}`,
    );
  }
  if (!Number.isFinite(multiplier) || multiplier < 1) {
    throw new RangeError(
      `Cannot reconnect as multiplier must be a finite number of at least 1: current value is ${
        shownValue(multiplier)
      }`,
    );
  }
  // Other values, such as `null`, compare as numbers.
  if (typeof jitter !== "number" || !(jitter >= 0 && jitter <= 1)) {
    throw new RangeError(
      `Cannot reconnect as jitter must be from 0 to 1: current value is ${
        shownValue(jitter)
      }`,
    );
  }
  if (maxAttempts !== Infinity) {
    checkCount("reconnect", "maxAttempts", maxAttempts);
  }
  return {
    jitter,
    maxAttempts,
    longestWait: (waits) =>
      Math.min(maxTimeout, minTimeout * multiplier ** waits),
  };
}

const RECONNECT_OPTIONS = new Set([
  "connect",
  "signal",
  "onConnect",
  "onError",
  "minTimeout",
  "maxTimeout",
  "multiplier",
  "jitter",
  "maxAttempts",
]);

function checkByFunction(options: { readonly connect?: unknown }): void {
  checkFunction("reconnect", "connect", options.connect);
  refuseOptions(
    options,
    Object.keys(options).filter((name) => !RECONNECT_OPTIONS.has(name)),
    "with connect: give it to what opens the connection",
  );
}
