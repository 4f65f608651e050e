import { abortable } from "@std/async/abortable";
import { delay } from "@std/async/delay";
import { connect } from "./connect.ts";
import type {
  ReconnectBaseOptions,
  ReconnectByOptions,
  ReconnectOptions,
} from "./options.ts";
import { Connection } from "../connection/connection.ts";
import {
  checkCount,
  checkFunction,
  checkMilliseconds,
  refuseOptions,
} from "../internal/checks.ts";
import { checkFraming } from "../internal/connection_options.ts";
import { logError } from "../internal/log_error.ts";

/**
 * Connects to a server, and again whenever the connection has ended, until the
 * handler is done.
 *
 * The handler runs once for each connection, one after the other. What counts is
 * whether its connection is still open when it ends:
 *
 * | the handler | while its connection is open                 | when it has ended     |
 * | ----------- | -------------------------------------------- | --------------------- |
 * | returns     | done: what it returns is the result          | the next is made      |
 * | throws      | its own error: `reconnect` rejects with it   | the next is made      |
 *
 * A connection has ended as {@linkcode Connection.hasEnded} says: it broke, was aborted
 * or closed, or the peer's messages have ended and all were received. So a loop over
 * the messages may just end, or throw the connection's error; a `break` out of
 * it is the way to finish. Give {@linkcode Connection.signal} to whatever else a
 * handler waits for: the next connection is not made before the handler has ended.
 *
 * A handler that receives nothing waits for {@linkcode Connection.peerEnded}, which
 * settles when the server hangs up. {@linkcode Connection.closed} does not: this side
 * may still send then.
 *
 * A connection that the handler leaves open is closed after what was sent. If that cannot go
 * out, the next connection is made.
 *
 * Waits begin at `minTimeout` and grow up to `maxTimeout`, until a connection has
 * lasted longer than the wait that would follow it: then they begin anew. So a server
 * that accepts connections and closes them immediately is not flooded. An
 * untrusted certificate is tried again too, as servers get new ones.
 *
 * Mistakes are not tried again: every `TypeError`, `RangeError` and `URIError` (an
 * invalid `hostname`), and `Deno.errors.NotCapable`, which names a permission that
 * the program lacks. An error that ended the connection itself does not count as a
 * mistake, whatever its type: a framing of yours may throw a `RangeError` at what a
 * peer sends.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 * @typeParam T What the handler returns.
 * @param options The address, the framing, limits, timeouts, and when to try again.
 * Its `signal` ends everything: waiting, connecting and the connection. A handler
 * that goes on all the same is not waited for, and what it throws then is dropped.
 * @param handler Does the work for one connection.
 * @returns What the handler returned. Rejects with what it threw while its
 * connection was open, with a mistake, with the last error after `maxAttempts`, with
 * what `onError` threw, and with the signal's reason.
 *
 * @example Logging in on every connection
 * ```ts
 * import { lines, reconnect, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const heard: string[] = [];
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     heard.push(await connection.receive() ?? "nothing");
 *     await connection.send("welcome");
 *     await connection.send(`news ${heard.length}`);
 *   },
 * );
 *
 * const news: string[] = [];
 * await reconnect({
 *   port: server.addr.port,
 *   framing,
 *   minTimeout: 1,
 *   onError: () => {},
 *   async onConnect(connection) {
 *     const answer = await connection.request("login anna");
 *     if (answer !== "welcome") throw new Error(`Cannot log in: ${answer}`);
 *   },
 * }, async (connection) => {
 *   for await (const line of connection) {
 *     news.push(line);
 *     if (news.length === 2) break;
 *   }
 * });
 *
 * assertEquals(news, ["news 1", "news 2"]);
 * assertEquals(heard, ["login anna", "login anna"]);
 * ```
 *
 * @example Ending from outside
 * ```ts
 * import { lines, reconnect, serve } from "@framed/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   () => {},
 * );
 * const controller = new AbortController();
 * const running = reconnect({
 *   port: server.addr.port,
 *   framing,
 *   signal: controller.signal,
 *   onError: () => controller.abort(new Error("Enough")),
 * }, async (connection) => {
 *   for await (const _message of connection);
 * });
 *
 * await assertRejects(() => running, Error, "Enough");
 * ```
 */
export async function reconnect<In, Out, T>(
  options: ReconnectOptions<In, Out>,
  handler: (connection: Connection<In, Out>) => T | Promise<T>,
): Promise<T> {
  const { jitter, longestWait, maxAttempts } = checkReconnectOptions(options);
  checkFunction("reconnect", "handler", handler);
  const { signal, onError = logError } = options;
  // `retry` of @std/async does not fit: it begins to wait anew only with a new call,
  // so that a connection which lasted would count like one that failed immediately.
  let failures = 0;
  while (true) {
    const outcome = await attempt(options, handler);
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
interface Loss<In, Out> {
  readonly error: unknown;
  readonly connection: Connection<In, Out> | undefined;
  /** Whether trying again cannot help. */
  readonly isOver: boolean;
  /** For how many milliseconds the handler had the connection. */
  readonly lasted: number;
}

/** Makes a connection and has it handled; throws the handler's own error. */
async function attempt<In, Out, T>(
  options: ReconnectOptions<In, Out>,
  handler: (connection: Connection<In, Out>) => T | Promise<T>,
): Promise<{ readonly result: T } | Loss<In, Out>> {
  const { signal, onConnect } = options;
  let connection: Connection<In, Out> | undefined;
  // The caller's own connection may not heed the signal.
  const onAbort = () => connection?.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    try {
      const opened = connection = await open(options);
      await unlessAborted(() => onConnect?.(opened), signal);
    } catch (error) {
      const isOver = isMistake(error, connection);
      if (connection !== undefined) await abort(connection, error);
      return { error, connection, isOver, lasted: 0 };
    }
    return await handle(connection, handler, signal);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Opens a connection, by the caller's function if there is one. */
async function open<In, Out>(
  options: ReconnectOptions<In, Out>,
): Promise<Connection<In, Out>> {
  if (!isByFunction(options)) return await connect(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const opening = options.connect();
  let connection: Connection<In, Out>;
  try {
    connection = await unlessAborted(() => opening, signal);
  } catch (error) {
    Promise.resolve(opening).then((late) => late.abort(error)).catch(() => {});
    throw error;
  }
  if (!(connection instanceof Connection)) {
    throw new TypeError("Cannot reconnect as connect must give a Connection");
  }
  return connection;
}

/** Has a connection handled; throws the handler's own error. */
async function handle<In, Out, T>(
  connection: Connection<In, Out>,
  handler: (connection: Connection<In, Out>) => T | Promise<T>,
  signal: AbortSignal | undefined,
): Promise<{ readonly result: T } | Loss<In, Out>> {
  const start = performance.now();
  const lossBy = (error: unknown, isOver = false): Loss<In, Out> => ({
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
  const wasOpen = !connection.hasEnded;
  try {
    await connection.close();
    connection.signal.throwIfAborted();
  } catch (error) {
    return lossBy(error);
  }
  return wasOpen ? { result } : lossBy(
    new Deno.errors.UnexpectedEof(
      "Cannot go on: the messages of the connection have ended",
    ),
  );
}

/** What `work` gives, unless `signal` is aborted first: then its reason. */
async function unlessAborted<T>(
  work: () => T | Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await work();
  // A promise, as work may give its value without one.
  return await abortable(Promise.resolve(work()), signal);
}

function isByFunction<In, Out>(
  options: ReconnectOptions<In, Out>,
): options is ReconnectByOptions<In, Out> & ReconnectBaseOptions<In, Out> {
  return "connect" in options && options.connect !== undefined;
}

async function abort<In, Out>(
  connection: Connection<In, Out>,
  reason: unknown,
): Promise<void> {
  // One that ended badly may still send what was queued before.
  if (!connection.signal.aborted) connection.abort(reason);
  await connection.closed.catch(() => {});
}

/** Whether `error` is the program's own, and not how the connection itself ended. */
function isMistake<In, Out>(
  error: unknown,
  connection: Connection<In, Out> | undefined,
): boolean {
  if (error === connection?.signal.reason) return false;
  return error instanceof TypeError || error instanceof RangeError ||
    error instanceof URIError || error instanceof Deno.errors.NotCapable;
}

interface Schedule {
  readonly jitter: number;
  readonly maxAttempts: number;
  /** The wait after this many waits, in milliseconds, shortened at random. */
  readonly longestWait: (waits: number) => number;
}

function checkReconnectOptions<In, Out>(
  options: ReconnectOptions<In, Out>,
): Schedule {
  if (options !== undefined && isByFunction(options)) checkByFunction(options);
  else checkFraming(options); // which may be missing, and the options too
  const {
    onConnect,
    onError,
    minTimeout = 1000,
    maxTimeout = 60_000,
    multiplier = 2,
    jitter = 1,
    maxAttempts = Infinity,
  } = options;
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
      `Cannot reconnect as multiplier must be a finite number of at least 1: current value is ${multiplier}`,
    );
  }
  if (!(jitter >= 0 && jitter <= 1)) {
    throw new RangeError(
      `Cannot reconnect as jitter must be from 0 to 1: current value is ${jitter}`,
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

function checkByFunction<In, Out>(options: ReconnectByOptions<In, Out>): void {
  checkFunction("reconnect", "connect", options.connect);
  refuseOptions(
    options,
    Object.keys(options).filter((name) => !RECONNECT_OPTIONS.has(name)),
    "with connect: give it to what opens the connection",
  );
}
