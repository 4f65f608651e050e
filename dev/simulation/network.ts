/**
 * What carries the bytes: transports in memory, under faults that no peer makes.
 *
 * `transportPair()` has the faults of a network: it stalls, cuts, delivers byte by byte,
 * ends and resets. `startTls()` cannot run over it, as Deno makes TLS of its own sockets
 * alone: the simulation has no TLS.
 *
 * @module
 */
import type { Transport } from "../../connection/transport.ts";
import type { PairedTransport } from "../../testing.ts";

/** A fault of the system, which is none that a peer makes. */
export class Odd extends Error {
  override name = "Odd";
}

/** Told of what passes. */
export interface Observer {
  onRead?(length: number | null, buffer: Uint8Array): void;
  onReadError?(error: unknown): void;
  onWrite?(length: number, bytes: Uint8Array): void;
  onWriteError?(error: unknown): void;
  onCloseWriteError?(error: unknown): void;
  /** Called when a call begins, before it does anything. */
  onCall?(call: "read" | "write" | "closeWrite" | "close"): void;
}

/** A transport whose reads and writes can be made to fail. */
export class FaultyTransport implements Transport {
  readonly under: PairedTransport;
  readonly #observer: Observer;
  #readError: Error | undefined;
  #writeError: Error | undefined;
  #zeroReads = 0;
  #isToCorrupt = false;
  #held: PromiseWithResolvers<void> | undefined;
  #isHolding = false;

  constructor(under: PairedTransport, observer: Observer) {
    this.under = under;
    this.#observer = observer;
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

  reset(): void {
    this.#observer.onCall?.("close");
    this.under.reset();
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

  /** Lets the next reads give nothing, which is not the end. */
  giveNothing(reads: number): void {
    this.#zeroReads += reads;
  }

  /** Lets all reads fail that begin from now on. */
  failReads(error: Error): void {
    this.#readError = error;
  }

  get failsReads(): boolean {
    return this.#readError !== undefined;
  }

  /** Lets all writes fail that begin from now on. */
  failWrites(error: Error): void {
    this.#writeError = error;
  }

  /** Holds what reads bring back, as if this thread did not come to its sockets. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /** Ends {@linkcode FaultyTransport.hold}. */
  letGo(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** Whether a read is held back: something has come that the connection has not seen. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Makes a byte of the next read one that is in no UTF-8 text. */
  corruptNext(): void {
    this.#isToCorrupt = true;
  }

  #readNothing(): number {
    this.#zeroReads--;
    return 0;
  }
}

/** Fails as a transport does: later. */
async function failing(error: Error): Promise<never> {
  await undefined;
  throw error;
}
