import { copyInto, NO_BYTES } from "../internal/copy_into.ts";
import { onRejection } from "../internal/on_rejection.ts";
import { systemError } from "../internal/system_error.ts";
import { tlsError } from "./_tls_error.ts";
import type { Address, Transport } from "./transport.ts";

/** The part of a Node duplex stream that is used. */
export interface NodeStream {
  read(): Uint8Array | null;
  write(chunk: Uint8Array, done: (error?: unknown) => void): boolean;
  end(done: () => void): void;
  destroy(): void;
  on(event: string, listener: (error: unknown) => void): void;
}

/** What is known about a stream. */
interface Facts {
  /** The transport below, which the stream reads and writes, but never closes. */
  readonly lower: Transport;
  readonly alpnProtocol: string | null;
  /** Why `lower` failed, if it did. */
  readonly failureBelow: () => { readonly error: unknown } | undefined;
  /** Called when the bytes that the stream held were taken. */
  readonly onTaken: () => void;
  /**
   * Settles when the transport below has taken everything the stream wrote; `undefined`
   * if it already has. Bun reports a write, or the end, as done too early.
   */
  readonly untilTakenBelow: () => Promise<void> | undefined;
}

/** A duplex stream of Node, such as one of `node:tls`, as a transport. */
export class NodeStreamTransport implements Transport {
  readonly localAddr: Address | undefined;
  readonly remoteAddr: Address | undefined;
  readonly alpnProtocol: string | null;
  readonly #stream: NodeStream;
  readonly #lower: Transport;
  readonly #failureBelow: () => { readonly error: unknown } | undefined;
  readonly #onTaken: () => void;
  readonly #untilTakenBelow: () => Promise<void> | undefined;
  #rest: Uint8Array = NO_BYTES;
  #hasEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #hasSentEnd = false;
  // Wakes a pending read, and pending writes.
  #wake = () => {};
  readonly #interrupts = new Set<(error: unknown) => void>();
  /** How many calls are pending. */
  #pending = 0;
  #mayKeepAlive = true;
  #keepsAlive = true;

  constructor(stream: NodeStream, facts: Facts) {
    this.#stream = stream;
    this.localAddr = facts.lower.localAddr;
    this.remoteAddr = facts.lower.remoteAddr;
    this.alpnProtocol = facts.alpnProtocol;
    this.#lower = facts.lower;
    this.#failureBelow = facts.failureBelow;
    this.#onTaken = facts.onTaken;
    this.#untilTakenBelow = facts.untilTakenBelow;
    stream.on("readable", () => this.#wake());
    stream.on("end", () => {
      // Bun reports an end although the transport below failed.
      const failure = this.#failureBelow();
      if (failure !== undefined) return this.#fail(failure.error);
      this.#hasEnded = true;
      this.#wake();
    });
    stream.on("error", (error) => this.#fail(error));
    stream.on("close", () => {
      if (this.#hasEnded && this.#hasSentEnd) return;
      this.#fail(
        systemError("ConnectionReset", "The stream was closed before its end"),
      );
    });
  }

  ref(): void {
    this.#mayKeepAlive = true;
    this.#updateRef();
  }

  unref(): void {
    this.#mayKeepAlive = false;
    this.#updateRef();
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#noted(() => this.#readInto(buffer));
  }

  async #readInto(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#rest.length === 0) this.#rest = this.#takeAll();
      const { length } = this.#rest;
      if (length > 0) {
        this.#rest = copyInto(buffer, this.#rest);
        return length - this.#rest.length;
      }
      if (this.#hasEnded) return null;
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#noted(() =>
      this.#settled((done) => this.#stream.write(bytes, done))
    );
    return bytes.length;
  }

  async closeWrite(): Promise<void> {
    if (this.#hasSentEnd) return await this.#untilTakenBelow();
    await this.#noted(() => this.#settled((done) => this.#stream.end(done)));
  }

  /**
   * Notes that the stream has sent this side's end by itself: it takes no more writes, and
   * never calls back for a pending one.
   */
  noteSentEnd(): void {
    this.#hasSentEnd = true;
    this.#interruptWrites(hasSentEnd());
  }

  close(): void {
    this.#hasEnded = false;
    this.#rest = NO_BYTES;
    this.#fail(systemError("Interrupted", "The transport was closed"));
    this.#stream.destroy();
    try {
      onRejection(this.#lower.close(), () => {});
    } catch {
      // It was reset.
    }
  }

  /** Resets the transport below if possible, otherwise closes it. */
  reset(): void {
    const resetting = this.#lower.reset?.();
    this.close();
    return resetting; // may be the promise of an async function
  }

  /** Makes a call, noted as pending until it settles. */
  async #noted<T>(call: () => Promise<T>): Promise<T> {
    this.#pending++;
    try {
      this.#updateRef();
      return await call();
    } finally {
      this.#pending--;
      this.#updateRef();
    }
  }

  /**
   * A pending call keeps the process alive. The transport below would do so forever: the
   * stream reads ahead, so its read is always pending.
   */
  #updateRef(): void {
    const keepsAlive = this.#mayKeepAlive && this.#pending > 0;
    if (keepsAlive === this.#keepsAlive) return;
    this.#keepsAlive = keepsAlive;
    if (keepsAlive) this.#lower.ref?.();
    else this.#lower.unref?.();
  }

  #takeAll(): Uint8Array {
    const all = this.#stream.read();
    this.#onTaken();
    return all ?? NO_BYTES;
  }

  #settled(start: (done: (error?: unknown) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure.error);
      if (this.#hasSentEnd) return reject(hasSentEnd());
      this.#interrupts.add(reject);
      const fail = (error: unknown) => reject(this.#named(error));
      start((error) => {
        // The stream may be closed from now on, while the transport below still takes the
        // rest.
        this.#interrupts.delete(reject);
        if (error !== undefined && error !== null) return fail(error);
        const taken = this.#untilTakenBelow();
        if (taken === undefined) resolve();
        else taken.then(resolve, fail);
      });
    });
  }

  /** The error from below says more than what TLS makes of it. */
  #named(error: unknown): unknown {
    const below = this.#failureBelow();
    return below === undefined ? tlsError(error) : below.error;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error: this.#named(error) };
    this.#wake();
    this.#interruptWrites(this.#failure.error);
  }

  #interruptWrites(error: unknown): void {
    for (const interrupt of this.#interrupts) interrupt(error);
    this.#interrupts.clear();
  }
}

function hasSentEnd(): Error {
  return systemError("BrokenPipe", "This side of TLS has ended");
}
