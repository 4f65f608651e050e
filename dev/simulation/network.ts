/**
 * The network: transports in memory, with faults that no peer can cause.
 *
 * `transportPair()` has the faults of a network: it stalls, cuts, delivers byte by
 * byte, ends and resets. `startTls()` cannot run over it, because Deno starts TLS only
 * on its own sockets: the simulation has no TLS.
 *
 * @module
 */
import type { Transport } from "../../connection/transport.ts";
import { systemError } from "../../internal/system_error.ts";
import type { ServeListener } from "../../server.ts";
import { type PairedTransport, transportPair } from "../../testing.ts";

/** A fault of the system, which no peer can cause. */
export class Odd extends Error {
  override name = "Odd";
}

/** Observes the calls. */
export interface Observer {
  onRead?(length: number | null, buffer: Uint8Array): void;
  onReadError?(error: unknown): void;
  onWrite?(length: number, bytes: Uint8Array): void;
  onWriteError?(error: unknown): void;
  onCloseWriteError?(error: unknown): void;
  /** Called when a call starts, before it does anything. */
  onCall?(call: "read" | "write" | "closeWrite" | "close"): void;
}

/** A transport whose reads and writes can fail on request. */
export class FaultyTransport implements Transport {
  readonly under: PairedTransport;
  readonly #observer: Observer;
  #readError: Error | undefined;
  #writeError: Error | undefined;
  #zeroReads = 0;
  #isToCorrupt = false;
  #held: PromiseWithResolvers<void> | undefined;
  #isHolding = false;

  /** Only some transports have it; Deno's cannot be reset. */
  readonly reset?: () => void;

  constructor(
    under: PairedTransport,
    observer: Observer,
    { canReset }: { readonly canReset: boolean },
  ) {
    this.under = under;
    this.#observer = observer;
    if (canReset) {
      this.reset = () => {
        observer.onCall?.("close");
        under.reset();
      };
    }
  }

  get localAddr(): Transport["localAddr"] {
    return this.under.localAddr;
  }

  get remoteAddr(): Transport["remoteAddr"] {
    return this.under.remoteAddr;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    this.#observer.onCall?.("read");
    try {
      if (this.#readError !== undefined) await failing(this.#readError);
      const length = this.#zeroReads > 0
        ? this.#readNothing()
        : await this.under.read(buffer);
      if (this.#held !== undefined) {
        this.#isHolding = true;
        await this.#held.promise;
        this.#isHolding = false;
      }
      if (this.#isToCorrupt && length !== null && length > 0) {
        this.#isToCorrupt = false;
        buffer[0] = 0xff;
      }
      this.#observer.onRead?.(length, buffer);
      return length;
    } catch (error) {
      this.#observer.onReadError?.(error);
      throw error;
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#observer.onCall?.("write");
    try {
      if (this.#writeError !== undefined) await failing(this.#writeError);
      const length = await this.under.write(bytes);
      this.#observer.onWrite?.(length, bytes);
      return length;
    } catch (error) {
      this.#observer.onWriteError?.(error);
      throw error;
    }
  }

  async closeWrite(): Promise<void> {
    this.#observer.onCall?.("closeWrite");
    try {
      await this.under.closeWrite();
    } catch (error) {
      this.#observer.onCloseWriteError?.(error);
      throw error;
    }
  }

  close(): void {
    this.#observer.onCall?.("close");
    this.under.close();
  }

  ref(): void {
    this.under.ref();
  }

  unref(): void {
    this.under.unref();
  }

  setNoDelay(noDelay?: boolean): void {
    this.under.setNoDelay(noDelay);
  }

  setKeepAlive(keepAlive?: boolean): void {
    this.under.setKeepAlive(keepAlive);
  }

  /** Makes the next reads return 0, which is not the end. */
  giveNothing(reads: number): void {
    this.#zeroReads += reads;
  }

  /** Makes all reads fail that start from now on. */
  failReads(error: Error): void {
    this.#readError = error;
  }

  get failsReads(): boolean {
    return this.#readError !== undefined;
  }

  /** Makes all writes fail that start from now on. */
  failWrites(error: Error): void {
    this.#writeError = error;
  }

  /** Holds the results of reads back, as if this thread did not poll its sockets. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /** Ends {@linkcode FaultyTransport.hold}. */
  letGo(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** Whether a read is held back: bytes have arrived that the connection has not seen. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Replaces a byte of the next read with one that is invalid in UTF-8. */
  corruptNext(): void {
    this.#isToCorrupt = true;
  }

  #readNothing(): number {
    this.#zeroReads--;
    return 0;
  }
}

/** Rejects later, like a transport. */
async function failing(error: Error): Promise<never> {
  await undefined;
  throw error;
}

/** The two ends of a connection that was dialled. */
export interface Link {
  readonly client: PairedTransport;
  readonly server: PairedTransport;
}

/** A network in memory with one server, which clients dial. */
export class Network {
  readonly links: Link[] = [];
  readonly #bufferSize: number;
  readonly #waiting: PairedTransport[] = [];
  #accepting: PromiseWithResolvers<Transport> | undefined;
  #healed: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  constructor(bufferSize: number) {
    this.#bufferSize = bufferSize;
  }

  /** The listener of the server. */
  readonly listener: ServeListener = {
    addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    accept: () => {
      if (this.#isClosed) return Promise.reject(closedListener());
      const next = this.#waiting.shift();
      if (next !== undefined) return Promise.resolve(next);
      this.#accepting = Promise.withResolvers();
      return this.#accepting.promise;
    },
    close: () => {
      this.#isClosed = true;
      for (const transport of this.#waiting.splice(0)) transport.close();
      this.#accepting?.reject(closedListener());
    },
  };

  /** Opens a connection; during a partition, waits for its end. */
  async dial(): Promise<Transport> {
    await this.#healed?.promise;
    if (this.#isClosed) {
      throw systemError("ConnectionRefused", "The server does not listen");
    }
    const [client, server] = transportPair({ bufferSize: this.#bufferSize });
    this.links.push({ client, server });
    if (this.#accepting === undefined) this.#waiting.push(server);
    else this.#accepting.resolve(server);
    this.#accepting = undefined;
    return client;
  }

  /** Makes a server's `accept()` fail, as if no file could be opened. */
  failAccept(): void {
    this.#accepting?.reject(new Odd("Cannot accept"));
    this.#accepting = undefined;
  }

  /** Holds back all bytes, ends, resets and new connections. */
  partition(): void {
    this.#healed ??= Promise.withResolvers();
    for (const { client, server } of this.links) {
      client.stall();
      server.stall();
    }
  }

  /** Ends {@linkcode Network.partition}. */
  heal(): void {
    this.#healed?.resolve();
    this.#healed = undefined;
    for (const { client, server } of this.links) {
      client.resume();
      server.resume();
    }
  }

  /** Cuts the ends of a link off from each other for good. */
  cutOff(link: Link): void {
    this.links.splice(this.links.indexOf(link), 1); // never resumed
    link.client.stall();
    link.server.stall();
  }
}

function closedListener(): Error {
  return systemError("BadResource", "The listener is closed");
}
