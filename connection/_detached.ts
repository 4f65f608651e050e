import type { Bytes } from "../framing/bytes.ts";
import { copyInto, NO_BYTES } from "../internal/copy_into.ts";
import type { Address, Transport } from "./transport.ts";

/**
 * A transport that was handed over while a read was pending: the new owner's first read
 * gets its bytes.
 */
export class DetachedTransport implements Transport {
  readonly #transport: Transport;
  // Only until it was read.
  #underWay: Promise<Bytes | null> | undefined;
  #rest: Uint8Array = NO_BYTES;
  // Methods that the transport lacks are missing here too: they identify its kind, and
  // options that it cannot honour are refused.
  readonly setNoDelay?: (noDelay?: boolean) => void;
  readonly setKeepAlive?: (keepAlive?: boolean) => void;
  readonly handshake?: () => unknown;

  constructor(transport: Transport, underWay: Promise<Bytes | null>) {
    this.#transport = transport;
    this.#underWay = underWay;
    if (transport.setNoDelay !== undefined) {
      this.setNoDelay = (noDelay) => transport.setNoDelay?.(noDelay);
    }
    if (transport.setKeepAlive !== undefined) {
      this.setKeepAlive = (keepAlive) => transport.setKeepAlive?.(keepAlive);
    }
    const handshake: unknown = Reflect.get(transport, "handshake"); // of TLS in Deno
    if (typeof handshake === "function") {
      this.handshake = () => Reflect.apply(handshake, transport, []);
    }
  }

  get localAddr(): Address | undefined {
    return this.#transport.localAddr;
  }

  get remoteAddr(): Address | undefined {
    return this.#transport.remoteAddr;
  }

  get alpnProtocol(): string | null | undefined {
    return this.#transport.alpnProtocol;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.#underWay !== undefined) {
      const bytes = await this.#underWay;
      this.#underWay = undefined;
      if (bytes === null) return null;
      this.#rest = bytes;
    }
    const { length } = this.#rest;
    if (length === 0) return await this.#transport.read(buffer);
    this.#rest = copyInto(buffer, this.#rest);
    return length - this.#rest.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#transport.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#transport.closeWrite();
  }

  // These return the results: an async close() returns a promise, which may reject.
  close(): void {
    return this.#transport.close();
  }

  reset(): void {
    return this.#transport.reset === undefined
      ? this.#transport.close()
      : this.#transport.reset();
  }

  ref(): void {
    this.#transport.ref?.();
  }

  unref(): void {
    this.#transport.unref?.();
  }
}
