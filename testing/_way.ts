/** What the way to an end reports to it. */
export interface Receiver {
  /** Whether it is closed: arriving bytes are dropped, and answered with a reset. */
  readonly isClosed: boolean;
  onBytes(): void;
  onEnd(): void;
  onReset(): void;
}

/** What the way from an end reports to it. */
export interface Sender {
  onRoom(): void;
}

/**
 * One way of a pair: bytes wait at the sender until there is room at the receiver,
 * or until the way is no longer stalled, and arrive in the order of sending.
 */
export class Way {
  receiver: Receiver | undefined;
  sender: Sender | undefined;
  readonly #bytes: Ring;
  /** The most bytes that wait at the receiver. */
  readonly #window: number;
  #arrived = 0;
  #isEndSent = false;
  #hasEndArrived = false;
  #isResetSent = false;
  #hasResetArrived = false;
  #isStalled = false;

  constructor(bufferSize: number) {
    this.#bytes = new Ring(bufferSize);
    this.#window = Math.ceil(bufferSize / 2);
  }

  /** How many bytes the receiver may read now. */
  get arrived(): number {
    return this.#arrived;
  }

  /** How many bytes have left the sender but not reached the receiver. */
  get inFlight(): number {
    return this.#bytes.length - this.#arrived;
  }

  get isEndSent(): boolean {
    return this.#isEndSent;
  }

  get hasEndArrived(): boolean {
    return this.#hasEndArrived;
  }

  /** Takes as many bytes as there is room for, and returns how many. */
  send(bytes: Uint8Array): number {
    const count = this.#bytes.put(bytes);
    this.#move();
    return count;
  }

  sendEnd(): void {
    this.#isEndSent = true;
    this.#move();
  }

  /** Drops bytes that have not arrived; those that have can still be read. */
  sendReset(): void {
    if (this.#isResetSent) return;
    this.#isResetSent = true;
    this.dropInFlight();
    this.#move();
  }

  /** Gives arrived bytes to the receiver, and returns how many. */
  receive(buffer: Uint8Array): number {
    const count = Math.min(buffer.length, this.#arrived);
    this.#bytes.take(buffer.subarray(0, count));
    this.#arrived -= count;
    this.#move();
    if (count > 0) this.sender?.onRoom();
    return count;
  }

  dropArrived(): void {
    this.#bytes.dropFirst(this.#arrived);
    this.#arrived = 0;
  }

  dropInFlight(): void {
    this.#bytes.dropLast(this.inFlight);
  }

  stall(): void {
    this.#isStalled = true;
  }

  resume(): void {
    this.#isStalled = false;
    this.#move();
  }

  /** Lets `count` bytes arrive although it is stalled; the end counts as one. */
  deliver(count: number): void {
    this.#move(count);
  }

  #move(most = this.#isStalled ? 0 : Infinity): void {
    const { receiver } = this;
    if (receiver === undefined || most <= 0) return;
    if (this.#isResetSent) {
      if (this.#hasResetArrived) return;
      this.#hasResetArrived = true;
      receiver.onReset();
      return;
    }
    const room = receiver.isClosed ? Infinity : this.#window - this.#arrived;
    const count = Math.min(this.inFlight, room, most);
    if (count > 0) {
      this.#arrived += count;
      receiver.onBytes();
    }
    if (
      this.#isEndSent && !this.#hasEndArrived && this.inFlight === 0 &&
      most > count
    ) {
      this.#hasEndArrived = true;
      receiver.onEnd();
    }
  }
}

/** A queue of bytes in an array that grows up to a limit. */
class Ring {
  readonly #limit: number;
  #array = new Uint8Array(0);
  #head = 0;
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  /** Appends as many bytes as there is room for, and returns how many. */
  put(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.#limit - this.#length);
    this.#growTo(this.#length + count);
    const size = this.#array.length;
    const tail = (this.#head + this.#length) % size;
    const first = Math.min(count, size - tail);
    this.#array.set(bytes.subarray(0, first), tail);
    this.#array.set(bytes.subarray(first, count), 0);
    this.#length += count;
    return count;
  }

  /** Fills `buffer` with the first bytes; there must be enough. */
  take(buffer: Uint8Array): void {
    const size = this.#array.length;
    const first = Math.min(buffer.length, size - this.#head);
    buffer.set(this.#array.subarray(this.#head, this.#head + first));
    buffer.set(this.#array.subarray(0, buffer.length - first), first);
    this.dropFirst(buffer.length);
  }

  dropFirst(count: number): void {
    this.#length -= count;
    this.#head = this.#length === 0
      ? 0
      : (this.#head + count) % this.#array.length;
  }

  dropLast(count: number): void {
    this.#length -= count;
  }

  #growTo(length: number): void {
    if (length <= this.#array.length) return;
    const array = new Uint8Array(
      Math.min(this.#limit, Math.max(length, this.#array.length * 2)),
    );
    const count = this.#length;
    this.take(array.subarray(0, count));
    this.#array = array;
    this.#head = 0;
    this.#length = count;
  }
}
