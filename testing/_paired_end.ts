import { checkLength } from "../internal/checks.ts";
import { systemError } from "../internal/system_error.ts";
import type { Address } from "../connection/transport.ts";
import type { PairedTransport } from "./paired_transport.ts";
import { type Receiver, type Sender, Way } from "./_way.ts";

const DEFAULT_BUFFER_BYTES = 64 * 1024;
// From the range of client ports, in which nothing listens.
const PORTS: [number, number] = [50_001, 50_002];

/** A pending read or write. */
interface Waiting<T> {
  readonly bytes: Uint8Array;
  readonly resolve: (result: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes both ends of a pair; see {@linkcode transportPair}. */
export function pairedEnds(
  bufferSize = DEFAULT_BUFFER_BYTES,
): [PairedEnd, PairedEnd] {
  checkLength("make transport pair", "bufferSize", bufferSize);
  const there = new Way(bufferSize);
  const back = new Way(bufferSize);
  const [nearPort, farPort] = PORTS;
  return [
    new PairedEnd({ in: back, out: there }, [nearPort, farPort]),
    new PairedEnd({ in: there, out: back }, [farPort, nearPort]),
  ];
}

/** One end of a pair: the rules of TCP between the way in and the way out. */
export class PairedEnd implements PairedTransport, Receiver, Sender {
  readonly localAddr: Address;
  readonly remoteAddr: Address;
  readonly #in: Way;
  readonly #out: Way;
  /** Called when it is closed or reset by its owner. */
  onClose: (() => void) | undefined;
  #reading: Waiting<number | null> | undefined;
  #writing: Waiting<number> | undefined;
  #isClosed = false;
  /** The peer has reset the connection. */
  #isReset = false;
  /** As in the kernel, a reset is reported once, to the first caller. */
  #untold: "ConnectionReset" | undefined;
  #maxRead = Infinity;
  #cuts: Iterator<number> | undefined;
  #nextCut = Infinity;
  #bytesRead = 0;
  #isReferenced = true;
  #noDelay = false;
  #keepAlive = false;

  constructor(ways: { in: Way; out: Way }, ports: [number, number]) {
    this.#in = ways.in;
    this.#out = ways.out;
    this.#in.receiver = this;
    this.#out.sender = this;
    const [localPort, remotePort] = ports;
    this.localAddr = addressOf(localPort);
    this.remoteAddr = addressOf(remotePort);
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    this.#checkOpen();
    if (this.#reading !== undefined) throw underWay("read", "read");
    if (buffer.length === 0) return 0;
    const result = this.#tryToRead(buffer);
    if (result !== undefined) return result;
    return await new Promise((resolve, reject) => {
      this.#reading = { bytes: buffer, resolve, reject };
    });
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#checkOpen();
    if (this.#writing !== undefined) throw underWay("write", "write");
    const result = this.#tryToWrite(bytes);
    if (result !== undefined) return result;
    return await new Promise((resolve, reject) => {
      this.#writing = { bytes, resolve, reject };
    });
  }

  // deno-lint-ignore require-await -- a throw must become a rejection
  async closeWrite(): Promise<void> {
    this.#checkOpen();
    if (this.#writing !== undefined) throw underWay("close the write", "write");
    if (!this.#isReset) this.#out.sendEnd();
  }

  close(): void {
    if (this.#isClosed) return;
    const hasUnread = this.#in.arrived > 0;
    this.#end();
    if (this.#isReset) return;
    this.#out.sendEnd();
    if (hasUnread) this.#out.sendReset();
  }

  reset(): void {
    if (this.#isClosed) return;
    this.#end();
    this.#out.sendReset();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  stall(): void {
    this.#out.stall();
  }

  resume(): void {
    this.#out.resume();
  }

  deliver(count: number): void {
    checkLength("deliver bytes", "count", count);
    this.#out.deliver(count);
  }

  cutAt(places: Iterable<number>): void {
    this.#cuts = places[Symbol.iterator]();
    this.#nextCut = this.#bytesRead;
    this.#passCut();
  }

  get maxRead(): number {
    return this.#maxRead;
  }

  set maxRead(value: number) {
    if (value !== Infinity) checkLength("limit reads", "maxRead", value);
    this.#maxRead = value;
  }

  get arrived(): number {
    return this.#in.arrived;
  }

  get inFlight(): number {
    return this.#out.inFlight;
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  get isWriting(): boolean {
    return this.#writing !== undefined;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isReferenced(): boolean {
    return this.#isReferenced;
  }

  get noDelay(): boolean {
    return this.#noDelay;
  }

  get keepAlive(): boolean {
    return this.#keepAlive;
  }

  ref(): void {
    this.#isReferenced = true;
  }

  unref(): void {
    this.#isReferenced = false;
  }

  setNoDelay(noDelay = true): void {
    this.#noDelay = noDelay;
  }

  setKeepAlive(keepAlive = true): void {
    this.#keepAlive = keepAlive;
  }

  onBytes(): void {
    if (!this.#isClosed) return this.#goOnReading();
    this.#in.dropArrived();
    this.#out.sendReset();
  }

  onEnd(): void {
    this.#goOnReading();
  }

  onReset(): void {
    if (this.#isReset) return;
    this.#isReset = true;
    // After the peer's end, reading has ended well. Only writing can fail.
    if (!this.#in.hasEndArrived) this.#untold = "ConnectionReset";
    this.#out.dropInFlight();
    this.#goOnReading();
    this.#goOnWriting();
  }

  onRoom(): void {
    this.#goOnWriting();
  }

  /** Reads, or returns `undefined` if it must wait. */
  #tryToRead(buffer: Uint8Array): number | null | undefined {
    if (this.#in.arrived > 0) {
      const most = Math.min(this.#maxRead, this.#nextCut - this.#bytesRead);
      const count = this.#in.receive(buffer.subarray(0, most));
      this.#bytesRead += count;
      this.#passCut();
      return count;
    }
    this.#tellReset();
    return this.#isReset || this.#in.hasEndArrived ? null : undefined;
  }

  /** Writes, or returns `undefined` if it must wait. */
  #tryToWrite(bytes: Uint8Array): number | undefined {
    this.#tellReset();
    if (this.#isReset || this.#out.isEndSent) {
      throw systemError(
        "BrokenPipe",
        this.#isReset
          ? "The peer has closed the connection"
          : "This side has closed its writing",
      );
    }
    const count = this.#out.send(bytes);
    return count > 0 || bytes.length === 0 ? count : undefined;
  }

  #tellReset(): void {
    if (this.#untold === undefined) return;
    this.#untold = undefined;
    throw systemError("ConnectionReset", "The peer has reset the connection");
  }

  #goOnReading(): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    this.#reading = undefined; // reading makes room for more to arrive
    if (!settle(reading, (buffer) => this.#tryToRead(buffer))) {
      this.#reading = reading;
    }
  }

  #goOnWriting(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    this.#writing = undefined; // the peer may read what is written, and make room
    if (!settle(writing, (bytes) => this.#tryToWrite(bytes))) {
      this.#writing = writing;
    }
  }

  /** Ends this side's own reading and writing. */
  #end(): void {
    this.#isClosed = true;
    this.#in.dropArrived();
    for (const waiting of [this.#reading, this.#writing]) {
      waiting?.reject(systemError("Interrupted", "The transport was closed"));
    }
    this.#reading = this.#writing = undefined;
    this.onClose?.();
  }

  #checkOpen(): void {
    if (this.#isClosed) {
      throw systemError("BadResource", "The transport is closed");
    }
  }

  /** Advances to the first cut that is not passed yet. */
  #passCut(): void {
    if (this.#nextCut > this.#bytesRead) return;
    const last = this.#nextCut;
    const next = this.#cuts?.next();
    this.#nextCut = Infinity;
    if (next === undefined || next.done === true) return;
    if (!Number.isSafeInteger(next.value) || next.value <= last) {
      throw new RangeError(
        `Cannot cut at byte ${next.value} as it must be a whole number above ${last}`,
      );
    }
    this.#nextCut = next.value;
  }
}

/** Retries a pending read or write, and returns whether it is done. */
function settle<T>(
  waiting: Waiting<T>,
  attempt: (bytes: Uint8Array) => T | undefined,
): boolean {
  try {
    const result = attempt(waiting.bytes);
    if (result === undefined) return false;
    waiting.resolve(result);
  } catch (error) {
    waiting.reject(error);
  }
  return true;
}

function underWay(task: string, other: string): TypeError {
  return new TypeError(
    `Cannot ${task} as another ${other} is under way: a transport has one at most`,
  );
}

function addressOf(port: number): Address {
  return { transport: "tcp", hostname: "127.0.0.1", port };
}
