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
  onWrite?(length: number, bytes: Uint8Array): void;
}

/** A transport whose reads and writes can be made to fail. */
export class FaultyTransport implements Transport {
  readonly under: PairedTransport;
  readonly #observer: Observer;
  #readError: Error | undefined;
  #writeError: Error | undefined;
  #zeroReads = 0;

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
    if (this.#readError !== undefined) throw this.#readError;
    const length = this.#zeroReads > 0
      ? this.#readNothing()
      : await this.under.read(buffer);
    this.#observer.onRead?.(length, buffer);
    return length;
  }

  async write(bytes: Uint8Array): Promise<number> {
    if (this.#writeError !== undefined) throw this.#writeError;
    const length = await this.under.write(bytes);
    this.#observer.onWrite?.(length, bytes);
    return length;
  }

  async closeWrite(): Promise<void> {
    await this.under.closeWrite();
  }

  close(): void {
    this.under.close();
  }

  reset(): void {
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

  /** Lets all writes fail that begin from now on. */
  failWrites(error: Error): void {
    this.#writeError = error;
  }

  #readNothing(): number {
    this.#zeroReads--;
    return 0;
  }
}
