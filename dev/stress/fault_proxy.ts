/** A relay for TCP connections on this machine that adds the faults of a network. */
import net from "node:net";
import { once } from "node:events";
import { loopback } from "../../connection/_testing.ts";

/** What happens to the bytes that pass in one direction. */
export interface Fault {
  /** The maximum bytes in one segment. */
  readonly segmentLength?: number;
  /** How many milliseconds each segment waits before it leaves. */
  readonly delay?: number;
  /** The maximum bytes that pass in a second. */
  readonly bytesPerSecond?: number;
  /** After this many bytes nothing passes until {@linkcode FaultProxy.resume}. */
  readonly stallAt?: number;
  /** After this many bytes the receiver sees the end; the rest is dropped. */
  readonly halfCloseAt?: number;
  /** After this many bytes both sides are reset. */
  readonly resetAt?: number;
}

/** Options for {@linkcode FaultProxy}. */
export interface FaultProxyOptions {
  /** The target address. */
  readonly hostname: string;
  /** The target port. */
  readonly port: number;
  /** The faults on the way to the target. */
  readonly toServer?: Fault | undefined;
  /** The faults on the way back. */
  readonly toClient?: Fault | undefined;
}

/**
 * A relay. Without a fault every byte arrives once and in order, and so does the end of
 * each direction.
 *
 * It uses `node:net`, because `Deno.Conn` cannot be reset, and always waits for its
 * peer.
 */
export class FaultProxy implements AsyncDisposable {
  readonly #options: FaultProxyOptions;
  readonly #listener: net.Server;
  readonly #links = new Set<Link>();
  /** The address that it listens on. */
  readonly hostname: string = loopback();
  #gate: PromiseWithResolvers<void> | undefined;
  readonly #stalled = Promise.withResolvers<void>();

  private constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#listener = net.createServer(
      { allowHalfOpen: true, noDelay: true },
      (client) => this.#relay(client),
    );
  }

  /** Starts a relay. */
  static async listen(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    proxy.#listener.listen(0, proxy.hostname);
    await once(proxy.#listener, "listening");
    return proxy;
  }

  /** The port on which it listens. */
  get port(): number {
    const address = this.#listener.address();
    if (address === null || typeof address === "string") {
      throw new Error("The relay does not listen");
    }
    return address.port;
  }

  /** Settles when a stall has started by itself. */
  get stalled(): Promise<void> {
    return this.#stalled.promise;
  }

  /** Stops all bytes from now on, in both directions. */
  stall(): void {
    this.#gate ??= Promise.withResolvers();
  }

  /** Ends a stall. */
  resume(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  /** Resets all connections, on both sides. */
  reset(): void {
    for (const link of this.#links) link.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    const closed = once(this.#listener, "close");
    this.#listener.close();
    const links = [...this.#links];
    for (const link of links) link.destroy();
    await Promise.all(links.map((link) => link.closed));
    await closed;
  }

  #relay(client: net.Socket): void {
    const { hostname, port, toServer = {}, toClient = {} } = this.#options;
    const link = new Link(client, { hostname, port });
    this.#links.add(link);
    link.closed.then(() => this.#links.delete(link));
    const passing = {
      isOpen: () => this.#gate?.promise,
      stall: () => {
        this.stall();
        this.#stalled.resolve();
      },
      reset: () => link.reset(),
    };
    pass(link.client, link.server, toServer, passing);
    pass(link.server, link.client, toClient, passing);
  }
}

/** Both sockets of one relayed connection. */
class Link {
  readonly client: net.Socket;
  readonly server: net.Socket;
  readonly closed: Promise<void>;

  constructor(
    client: net.Socket,
    { hostname, port }: { hostname: string; port: number },
  ) {
    this.client = client;
    this.server = net.connect({
      host: hostname,
      port,
      allowHalfOpen: true,
      noDelay: true,
    });
    const sockets = [this.client, this.server];
    // A reset of one side resets the other.
    for (const socket of sockets) socket.on("error", () => this.reset());
    this.closed = Promise.all(
      sockets.map((socket) =>
        new Promise<void>((resolve) => socket.once("close", () => resolve()))
      ),
    ).then(() => {});
  }

  reset(): void {
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  destroy(): void {
    this.client.destroy();
    this.server.destroy();
  }
}

interface Passing {
  isOpen(): Promise<void> | undefined;
  stall(): void;
  reset(): void;
}

/** Forwards the bytes and the end of `source` to `target`. */
async function pass(
  source: net.Socket,
  target: net.Socket,
  fault: Fault,
  passing: Passing,
): Promise<void> {
  const { halfCloseAt = Infinity, resetAt = Infinity, stallAt = Infinity } =
    fault;
  let passed = 0;
  const actAtPlace = (): void => {
    if (passed === resetAt) passing.reset();
    if (passed === halfCloseAt) target.end();
    if (passed === stallAt) passing.stall();
  };
  try {
    actAtPlace();
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      let rest: Uint8Array = chunk;
      while (rest.length > 0 && passed < halfCloseAt) {
        await passing.isOpen();
        const length = Math.min(
          rest.length,
          fault.segmentLength ?? Infinity,
          ...[halfCloseAt, resetAt, stallAt]
            .filter((place) => place > passed).map((place) => place - passed),
        );
        await wait(fault, length);
        await write(target, rest.subarray(0, length));
        passed += length;
        rest = rest.subarray(length);
        actAtPlace();
      }
    }
    await passing.isOpen();
    if (passed < halfCloseAt) target.end();
  } catch {
    // Reset or destroyed: the link tells the other side.
  }
}

function wait(
  { delay, bytesPerSecond, segmentLength }: Fault,
  length: number,
): Promise<void> | undefined {
  const milliseconds = (delay ?? 0) +
    (bytesPerSecond === undefined ? 0 : length * 1000 / bytesPerSecond);
  if (milliseconds > 0) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
  // The receiver can read before the next segment.
  if (segmentLength !== undefined) {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

function write(target: net.Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) =>
    target.write(bytes, (error) => error ? reject(error) : resolve())
  );
}
