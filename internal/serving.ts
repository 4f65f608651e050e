import { checkMilliseconds } from "./checks.ts";
import { isError } from "./realms.ts";
import { countsOpen } from "./serve_options.ts";
import { hostAndPort } from "./host_and_port.ts";
import { logError } from "./log_error.ts";
import { onRejection } from "./on_rejection.ts";
import { isSettledSoon, isSettledWithin } from "./promises.ts";
import { isClosedAlready, namingTask } from "./system_error.ts";
import { startTimer } from "./countdown.ts";
import { keepAlive, ownTimer } from "./event_loop.ts";

const ACCEPT_PAUSE_MS = 100;
// A peer was gone before it was accepted: systems other than Linux say the first.
const GONE_BEFORE: ReadonlySet<string> = new Set([
  "ConnectionAborted",
  "NotConnected",
]);
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 10_000;

/** The listener of a {@linkcode ListeningServer}. */
export interface Listener<Incoming, Address> {
  readonly addr: Address;
  accept(): Promise<Incoming>;
  close(): void;
  ref(): void;
  /** Throws if it cannot be done. */
  unref(): void;
}

/** An accepted connection. */
export interface IncomingConnection {
  readonly remoteAddr?: unknown;
  close(): void;
  ref?(): void;
  unref?(): void;
}

/** The part of a connection that this folder knows. */
export interface ServedConnection {
  readonly closed: Promise<void>;
  readonly signal: AbortSignal;
  close(): Promise<void>;
  closeRead(): void;
  abort(reason?: unknown): void;
  ref(): void;
  unref(): void;
}

/** The second argument of a handler. */
export interface HandlerInfo {
  readonly remoteAddr: unknown;
  /** Aborts when the server begins to shut down. */
  readonly signal: AbortSignal;
}

/**
 * Knows which handler calls a function, even after an `await`; the shape of Node's
 * `AsyncLocalStorage`. In Deno it costs a handler 2 to 4 µs and 400 bytes; in Node 22, a
 * fifth of the time of every message (measured).
 */
export interface HandlerContext<Served> {
  run<T, Args extends unknown[]>(
    connection: Served,
    callback: (...args: Args) => T,
    ...args: Args
  ): T;
  getStore(): Served | undefined;
  /** Frees what the runtime keeps for it. Called once no handler runs. */
  disable(): void;
}

/** The parts of a {@linkcode ListeningServer} that depend on the runtime. */
export interface Serving<Incoming, Served, Address> {
  readonly listener: Listener<Incoming, Address>;
  /** Whether to serve a connection; nothing has been read from it yet. */
  readonly isWelcome: (incoming: Incoming) => boolean;
  /**
   * Settles with the connection to serve instead of the accepted one, if a proxy first
   * names the client. Then the client counts: `isWelcome` is called later, and
   * `handshake` not at all.
   */
  readonly introduce?:
    | ((incoming: Incoming) => Promise<Incoming>)
    | undefined;
  /** Settles when the handshake is done, if there is one. */
  readonly handshake: (incoming: Incoming) => Promise<unknown> | undefined;
  /** Makes a connection from an accepted one. */
  readonly open: (incoming: Incoming) => Served;
  readonly context: HandlerContext<Served>;
  // A method: a handler may be typed for the addresses of its listener.
  handler(connection: Served, info: HandlerInfo): void | Promise<void>;
  readonly options: {
    readonly maxConnections?: number | undefined;
    readonly maxConnectionsPerAddress?: number | undefined;
    readonly maxHandshakes?: number | undefined;
    readonly handshakeTimeout?: number | undefined;
    readonly idleTimeout?: number | undefined;
    readonly onListen?: ((addr: Address) => void) | undefined;
    readonly onError?:
      | ((error: unknown, connection: Served | undefined) => void)
      | undefined;
    readonly signal?: AbortSignal | undefined;
  };
}

/** Accepts connections, and runs a handler for each; knows no runtime. */
export class ListeningServer<
  Incoming extends IncomingConnection,
  Served extends ServedConnection,
  Address,
> {
  readonly addr: Address;
  readonly finished: Promise<void>;
  readonly connections = new Set<Served>();
  readonly #serving: Serving<Incoming, Served, Address>;
  // Why the server has begun to shut down.
  #stop: { readonly reason: unknown } | undefined;
  // For the handlers that have asked for their signal. One signal for all would keep the
  // listeners of ended connections, and each would take longer to add (measured: 10,000
  // in 355 ms, 20,000 in 1.6 s).
  readonly #controllers = new Map<Served, AbortController>();
  // Connections whose handlers wait for a shutdown, which must not wait for them.
  readonly #callers = new Set<Served>();
  // How many are open; more may have a handler that still runs.
  #openCount = 0;
  // Connections in their handshake, or waiting for a place, and the functions to abandon
  // them.
  readonly #unserved = new Map<Incoming, (reason: unknown) => void>();
  readonly #countsByAddress = new Map<string, number>();
  #isRef = true;
  // No more are accepted until there is room.
  #isFull = false;
  #letDie: (() => void) | undefined;
  // Resolved when a connection ends, a handler waits, or the server stops.
  #change: PromiseWithResolvers<void> | undefined;

  constructor(serving: Serving<Incoming, Served, Address>) {
    this.#serving = serving;
    const { listener, options: { signal, onListen } } = serving;
    this.addr = listener.addr;
    signal?.addEventListener("abort", this.#onAbort);
    try {
      // An async function rejects when it is too late to throw here.
      Promise.resolve(onListen?.(this.addr))
        .catch((error) => this.#report(error, undefined));
    } catch (error) {
      this.#beginStop(error);
      signal?.removeEventListener("abort", this.#onAbort);
      throw error;
    }
    this.finished = this.#run();
  }

  async shutdown(
    options: { readonly timeout?: number | undefined } = {},
  ): Promise<void> {
    const { timeout } = options;
    checkMilliseconds("timeout", timeout, 0);
    this.#beginStop(
      new DOMException("The server is shutting down", "AbortError"),
    );
    for (const connection of this.connections) connection.closeRead();
    const caller = this.#serving.context.getStore();
    const isWithinHandler = caller !== undefined &&
      this.connections.has(caller);
    if (isWithinHandler) this.#callers.add(caller);
    const finished = isWithinHandler ? this.#othersEnd() : this.finished;
    if (timeout === undefined) return await finished;
    if (await isSettledWithin(finished, timeout)) return;
    const late = [...this.connections]
      .filter((each) => !isWithinHandler || !this.#callers.has(each));
    const reason = new DOMException(
      `The connection did not end within the shutdown timeout of ${timeout} ms`,
      "TimeoutError",
    );
    for (const connection of late) connection.abort(reason);
    await Promise.allSettled(late.map(({ closed }) => closed));
    // Handlers that stop with their connection do so now; others cannot be stopped.
    await isSettledSoon(finished);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  ref(): void {
    this.#isRef = true;
    this.#updateAlive();
    this.#serving.listener.ref();
    for (const incoming of this.#unserved.keys()) incoming.ref?.();
    for (const connection of this.connections) connection.ref();
  }

  unref(): void {
    this.#serving.listener.unref();
    this.#isRef = false;
    this.#updateAlive();
    for (const incoming of this.#unserved.keys()) incoming.unref?.();
    for (const connection of this.connections) connection.unref();
  }

  #onAbort = (): void => {
    const reason: unknown = this.#serving.options.signal?.reason;
    this.#beginStopUnasked(reason);
    for (const connection of this.connections) connection.abort(reason);
  };

  /** Begins to stop if no caller waits for an error of the listener. */
  #beginStopUnasked(reason: unknown): void {
    try {
      this.#beginStop(reason);
    } catch (error) {
      this.#report(error, undefined);
    }
  }

  /** Stops accepting, and tells the handlers. */
  #beginStop(reason: unknown): void {
    if (this.#stop !== undefined) return;
    this.#stop = { reason };
    try {
      this.#close(this.#serving.listener);
    } finally {
      this.#announceChange();
      for (const giveUp of this.#unserved.values()) giveUp(reason);
      for (const controller of this.#controllers.values()) {
        controller.abort(reason);
      }
    }
  }

  async #run(): Promise<void> {
    await this.#acceptAll();
    while (this.connections.size > 0 || this.#unserved.size > 0) {
      await this.#waitForChange();
    }
    this.#serving.options.signal?.removeEventListener("abort", this.#onAbort);
    // Otherwise Node 22 would note the context in every later promise of the process
    // (measured: after 200 servers, an `await` took 300 times as long).
    this.#serving.context.disable();
  }

  /** Waits for all connections except those whose handlers wait too. */
  async #othersEnd(): Promise<void> {
    this.#announceChange();
    while (this.connections.size > this.#callers.size) {
      await this.#waitForChange();
    }
  }

  async #acceptAll(): Promise<void> {
    const { listener } = this.#serving;
    while (this.#stop === undefined) {
      if (!this.#hasRoom()) {
        await this.#waitForRoom();
        continue;
      }
      try {
        const incoming = await listener.accept();
        if (this.#stop === undefined) this.#admit(incoming);
        else this.#close(incoming);
      } catch (error) {
        if (this.#stop !== undefined) return;
        // Only that peer is lost: accept the next one without a pause.
        if (isError(error) && GONE_BEFORE.has(error.name)) continue;
        if (isClosedAlready(error)) return this.#beginStopUnasked(error);
        this.#report(error, undefined);
        // Such as "too many open files", which passes when a connection ends.
        await this.#waitForChange(ACCEPT_PAUSE_MS);
      }
    }
  }

  #hasRoom(): boolean {
    const { maxConnections = Infinity, maxHandshakes = maxConnections } =
      this.#serving.options;
    return this.#openCount < maxConnections &&
      this.#unserved.size < maxHandshakes;
  }

  /** Waits for the next change, and keeps the process alive as accepting does. */
  async #waitForRoom(): Promise<void> {
    this.#isFull = true;
    this.#updateAlive();
    await this.#waitForChange();
    this.#isFull = false;
    this.#updateAlive();
  }

  #updateAlive(): void {
    if (this.#isFull && this.#isRef) {
      this.#letDie ??= keepAlive();
    } else {
      this.#letDie?.();
      this.#letDie = undefined;
    }
  }

  /** Waits for the next change, or for a time at most. */
  async #waitForChange(milliseconds?: number): Promise<void> {
    const { promise } = this.#change ??= Promise.withResolvers<void>();
    const timer = milliseconds === undefined
      ? undefined
      : ownTimer(() => this.#announceChange(), milliseconds, this.#isRef);
    await promise;
    timer?.cancel();
  }

  #announceChange(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }

  /**
   * Serves connections that are welcome and within the limits; silently closes others.
   */
  #admit(incoming: Incoming): void {
    const { introduce } = this.#serving;
    if (introduce !== undefined) {
      this.#serveAfter(introduce(incoming), incoming, { isCounted: false })
        .catch((error) => this.#report(error, undefined));
      return;
    }
    if (!this.#isAdmitted(incoming)) return this.#close(incoming);
    if (this.#stop !== undefined) { // stopped by the filter
      this.#uncountAddress(incoming);
      return this.#close(incoming);
    }
    const handshake = this.#serving.handshake(incoming);
    if (handshake === undefined) return this.#serve(incoming);
    const shaken = handshake.then(() => incoming);
    this.#serveAfter(shaken, incoming, { isCounted: true })
      .catch((error) => this.#report(error, undefined));
  }

  /** Whether to serve a peer; if so, it is counted for its address. */
  #isAdmitted(incoming: Incoming): boolean {
    return this.#isWelcome(incoming) && this.#countAddress(incoming);
  }

  #isWelcome(incoming: Incoming): boolean {
    try {
      return this.#serving.isWelcome(incoming);
    } catch (error) {
      this.#report(error, undefined);
      return false;
    }
  }

  /** Counts a connection for its peer's address; false if that has too many. */
  #countAddress({ remoteAddr }: Incoming): boolean {
    const { maxConnectionsPerAddress } = this.#serving.options;
    if (maxConnectionsPerAddress === undefined) return true;
    const hostname = hostnameOf(remoteAddr);
    if (hostname === undefined) return true;
    const count = this.#countsByAddress.get(hostname) ?? 0;
    if (count >= maxConnectionsPerAddress) return false;
    this.#countsByAddress.set(hostname, count + 1);
    return true;
  }

  #uncountAddress({ remoteAddr }: Incoming): void {
    const { maxConnectionsPerAddress } = this.#serving.options;
    if (maxConnectionsPerAddress === undefined) return;
    const hostname = hostnameOf(remoteAddr);
    if (hostname === undefined) return;
    const count = this.#countsByAddress.get(hostname) ?? 0;
    if (count > 1) this.#countsByAddress.set(hostname, count - 1);
    else this.#countsByAddress.delete(hostname);
  }

  /**
   * Serves a connection once its handshake is done and there is a place for it; rejects
   * if a connection that is not served cannot be closed.
   */
  async #serveAfter(
    handshake: Promise<Incoming>,
    incoming: Incoming,
    { isCounted }: { isCounted: boolean },
  ): Promise<void> {
    const { maxConnections = Infinity } = this.#serving.options;
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    this.#unserved.set(incoming, reject);
    if (!this.#isRef) incoming.unref?.();
    const [option, limit] = this.#handshakeLimit();
    const stopTimer = startTimer(limit, () => {
      const message = `Cannot shake hands with ${
        nameOf(incoming.remoteAddr)
      } within ${option} of ${limit} ms`;
      reject(new DOMException(message, "TimeoutError"));
    });
    let counted = isCounted ? incoming : undefined;
    let shaken: Incoming;
    try {
      shaken = await Promise.race([handshake, givenUp]).finally(stopTimer);
      if (counted === undefined && !this.#isAdmitted(shaken)) {
        return this.#close(shaken);
      }
      counted = shaken;
      while (this.#openCount >= maxConnections) {
        await Promise.race([this.#waitForChange(), givenUp]);
      }
      // The server may have begun to stop after the race, and would not end this
      // connection.
      if (this.#stop !== undefined) throw this.#stop.reason;
    } catch (error) {
      if (counted !== undefined) this.#uncountAddress(counted);
      if (this.#stop === undefined) this.#reportHandshake(incoming, error);
      return this.#close(incoming);
    } finally {
      this.#unserved.delete(incoming);
      this.#announceChange();
    }
    this.#serve(shaken);
  }

  /** How long a handshake may take, and the option that says so. */
  #handshakeLimit(): [option: string, milliseconds: number] {
    const { handshakeTimeout, idleTimeout = Infinity } = this.#serving.options;
    return handshakeTimeout === undefined &&
        idleTimeout < DEFAULT_HANDSHAKE_TIMEOUT_MS
      ? ["idleTimeout", idleTimeout]
      : ["handshakeTimeout", handshakeTimeout ?? DEFAULT_HANDSHAKE_TIMEOUT_MS];
  }

  #serve(incoming: Incoming): void {
    let connection: Served;
    try {
      connection = this.#serving.open(incoming);
    } catch (error) {
      this.#uncountAddress(incoming);
      this.#report(error, undefined);
      return this.#close(incoming);
    }
    if (!this.#isRef) connection.unref();
    this.connections.add(connection);
    // To notice that a peer is gone, a connection reads ahead; without a limit that is
    // not needed.
    if (countsOpen(this.#serving.options)) {
      this.#countOpen(connection, incoming);
    }
    this.#handle(connection, incoming.remoteAddr);
  }

  /** Counts a connection until it is closed, even if its handler still runs. */
  #countOpen(connection: Served, incoming: Incoming): void {
    this.#openCount++;
    connection.closed.catch(() => {}).then(() => {
      this.#openCount--;
      this.#uncountAddress(incoming);
      this.#announceChange();
    });
  }

  /** Runs the handler, and ends the connection after it. */
  #handle(connection: Served, remoteAddr: unknown): void {
    const { context, handler } = this.#serving;
    const info = new LazyInfo(remoteAddr, connection, this);
    let handled: void | Promise<void>;
    try {
      handled = context.run(connection, handler, connection, info);
    } catch (error) {
      handled = Promise.reject(error);
    }
    // An async function waiting here would hold 340 more bytes a connection (measured).
    const settled = Promise.resolve(handled);
    const finish = () => this.#finish(connection, settled);
    settled.then(finish, finish);
  }

  /** Ends a connection whose handler has ended, or failed; never rejects. */
  async #finish(
    connection: Served,
    handled: Promise<void>,
  ): Promise<void> {
    try {
      await handled;
      await connection.close();
    } catch (error) {
      // A connection that ended with an error may still send queued messages.
      if (!connection.signal.aborted) connection.abort(error);
      // In the context: it may wait for a shutdown, which must not wait for it.
      await this.#serving.context.run(
        connection,
        () => this.#report(error, connection),
      );
    }
    await connection.closed.catch(() => {});
    this.connections.delete(connection);
    this.#controllers.delete(connection);
    this.#callers.delete(connection);
    this.#announceChange();
  }

  /** Makes the signal of a handler. */
  signalFor(connection: Served): AbortSignal {
    if (this.#stop !== undefined) return AbortSignal.abort(this.#stop.reason);
    const controller = new AbortController();
    if (this.connections.has(connection)) {
      this.#controllers.set(connection, controller);
    }
    return controller.signal;
  }

  /** Closes a listener or a connection, unless its owner has done so already. */
  #close(closable: { close(): void }): void {
    try {
      onRejection(closable.close(), (error) => {
        if (!isClosedAlready(error)) this.#report(error, undefined);
      });
    } catch (error) {
      if (!isClosedAlready(error)) throw error;
    }
  }

  /** Reports a failed handshake, but never to the log, which a scanner could fill. */
  #reportHandshake(incoming: Incoming, cause: unknown): void {
    if (this.#serving.options.onError === undefined) return;
    const task = `shake hands with ${nameOf(incoming.remoteAddr)}`;
    this.#report(namingTask(cause, task), undefined);
  }

  /** Reports an error; never rejects, because that would end the server. */
  async #report(error: unknown, connection: Served | undefined): Promise<void> {
    const { onError = logError } = this.#serving.options;
    try {
      await onError(error, connection); // may be an async function
    } catch (onErrorError) {
      logError(error);
      logError(onErrorError);
    }
  }
}

/** The address of a peer without its port, if it has one. */
function hostnameOf(addr: unknown): string | undefined {
  return typeof addr === "object" && addr !== null && "hostname" in addr &&
      typeof addr.hostname === "string"
    ? addr.hostname
    : undefined;
}

/** The address of a peer, as errors name it. */
function nameOf(addr: unknown): string {
  const hostname = hostnameOf(addr);
  if (hostname === undefined) return "a peer";
  return typeof addr === "object" && addr !== null && "port" in addr
    ? hostAndPort(hostname, addr.port)
    : hostname;
}

/** Makes the signal of a handler. */
interface SignalSource<Served> {
  signalFor(connection: Served): AbortSignal;
}

/** Makes the signal on demand. */
class LazyInfo<Served> implements HandlerInfo {
  readonly remoteAddr: unknown;
  readonly #connection: Served;
  readonly #source: SignalSource<Served>;
  #signal: AbortSignal | undefined;

  constructor(
    remoteAddr: unknown,
    connection: Served,
    source: SignalSource<Served>,
  ) {
    this.remoteAddr = remoteAddr;
    this.#connection = connection;
    this.#source = source;
  }

  get signal(): AbortSignal {
    return this.#signal ??= this.#source.signalFor(this.#connection);
  }
}
