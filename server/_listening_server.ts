import type { ConnectionHandler, ServeBaseOptions } from "./options.ts";
import type { Server, ShutdownOptions } from "./server.ts";
import { Connection } from "../connection/connection.ts";
import { checkMilliseconds } from "../internal/checks.ts";
import { logError } from "../internal/log_error.ts";
import { isSettledWithin } from "../internal/promises.ts";

const ACCEPT_PAUSE_MS = 100;

/** What a {@linkcode ListeningServer} takes its connections from. */
export interface Listener<A extends Deno.Addr> {
  readonly addr: A;
  accept(): Promise<Deno.Conn>;
  close(): void;
  ref(): void;
  /** Throws if it cannot be done. */
  unref(): void;
}

/** Accepts connections, and runs a handler for each. */
export class ListeningServer<In, Out, A extends Deno.Addr>
  implements Server<In, Out, A> {
  readonly addr: A;
  readonly finished: Promise<void>;
  readonly connections = new Set<Connection<In, Out>>();
  readonly #listener: Listener<A>;
  readonly #options: ServeBaseOptions<In, Out, A>;
  readonly #handler: ConnectionHandler<In, Out>;
  #isStopped = false;
  #isRef = true;
  // Resolved when a connection ends, or the server stops.
  #ended: PromiseWithResolvers<void> | undefined;

  constructor(
    listener: Listener<A>,
    options: ServeBaseOptions<In, Out, A>,
    handler: ConnectionHandler<In, Out>,
  ) {
    this.#listener = listener;
    this.#options = options;
    this.#handler = handler;
    this.addr = listener.addr;
    options.signal?.addEventListener("abort", this.#onAbort);
    try {
      options.onListen?.(this.addr);
    } catch (error) {
      this.#stop();
      options.signal?.removeEventListener("abort", this.#onAbort);
      throw error;
    }
    this.finished = this.#run();
  }

  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    const { timeout } = options;
    checkMilliseconds("timeout", timeout, 0);
    this.#stop();
    for (const connection of this.connections) connection.closeRead();
    if (timeout === undefined) return await this.finished;
    if (await isSettledWithin(this.finished, timeout)) return;
    const ends = [...this.connections].map(({ closed }) => closed);
    this.#abortAll(
      new DOMException(
        `The connection did not end within the shutdown timeout of ${timeout} ms`,
        "TimeoutError",
      ),
    );
    await Promise.allSettled(ends);
    // Handlers that end by this end now; others nobody can end.
    await isSettledWithin(this.finished, 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  ref(): void {
    this.#isRef = true;
    this.#listener.ref();
    for (const connection of this.connections) connection.ref();
  }

  unref(): void {
    this.#listener.unref();
    this.#isRef = false;
    for (const connection of this.connections) connection.unref();
  }

  #onAbort = (): void => {
    this.#stop();
    this.#abortAll(this.#options.signal?.reason);
  };

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#listener.close();
    this.#ended?.resolve();
  }

  #abortAll(reason: unknown): void {
    for (const connection of this.connections) connection.abort(reason);
  }

  async #run(): Promise<void> {
    await this.#acceptAll();
    while (this.connections.size > 0) await this.#waitForEnd();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }

  async #acceptAll(): Promise<void> {
    const { maxConnections = Infinity } = this.#options;
    while (!this.#isStopped) {
      if (this.connections.size >= maxConnections) {
        await this.#waitForEnd();
        continue;
      }
      let conn: Deno.Conn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (this.#isStopped) return;
        // The peer was gone before it was accepted, which holds up no other.
        if (error instanceof Error && error.name === "NotConnected") continue;
        this.#report(error, undefined);
        // Such as "too many open files", which passes when a connection ends.
        await this.#waitForEnd(ACCEPT_PAUSE_MS);
        continue;
      }
      if (this.#isStopped) conn.close();
      else this.#start(conn);
    }
  }

  /** Waits until a connection ends or the server stops, or for a time at most. */
  async #waitForEnd(milliseconds?: number): Promise<void> {
    const { promise, resolve } = this.#ended = Promise.withResolvers<void>();
    const timer = milliseconds === undefined
      ? undefined
      : setTimeout(resolve, milliseconds);
    await promise;
    clearTimeout(timer);
  }

  #start(conn: Deno.Conn): void {
    let connection: Connection<In, Out>;
    try {
      // The server's signal is for all connections, so none listens to it itself.
      connection = new Connection(conn, {
        ...this.#options,
        signal: undefined,
      });
    } catch (error) {
      conn.close();
      this.#report(error, undefined);
      return;
    }
    if (!this.#isRef) connection.unref();
    this.connections.add(connection);
    this.#handle(connection);
  }

  /** Runs the handler and what follows; never rejects. */
  async #handle(connection: Connection<In, Out>): Promise<void> {
    try {
      await this.#handler(connection);
      await connection.close();
    } catch (error) {
      // A connection that ended badly may still send what was queued before.
      if (!connection.signal.aborted) connection.abort(error);
      await this.#report(error, connection);
    }
    await connection.closed.catch(() => {});
    this.connections.delete(connection);
    this.#ended?.resolve();
  }

  /** Tells of an error; never rejects, as that would end the server. */
  async #report(
    error: unknown,
    connection: Connection<In, Out> | undefined,
  ): Promise<void> {
    const { onError = logError } = this.#options;
    try {
      await onError(error, connection); // which may be an async function
    } catch (onErrorError) {
      logError(error);
      logError(onErrorError);
    }
  }
}
