import { Countdown } from "./_countdown.ts";
import { atEndOfTurn } from "./_end_of_turn.ts";
import { Queue } from "./_queue.ts";
import { rejected } from "./_rejected.ts";
import type { Framing } from "./framing/framing.ts";

/** Options for {@linkcode MessageWriter}. */
export interface MessageWriterOptions<Out> {
  readonly conn: Deno.Conn;
  readonly framing: Framing<unknown, Out>;
  readonly highWaterMark: number;
  readonly sendTimeout: number | undefined;
  /** Runs while the peer is waited for, either way. */
  readonly idleCountdown: Countdown | undefined;
  /** Told of the error that ends writing. */
  readonly onFailure: (error: unknown) => void;
}

/** A part of the queue that leaves in one write: the first `length` bytes. */
interface Segment {
  readonly bytes: Uint8Array;
  readonly length: number;
}

interface Flush {
  readonly target: number;
  readonly deferred: PromiseWithResolvers<void>;
}

const SETTLED = Promise.resolve();
const NO_BYTES = new Uint8Array(0);
const FIRST_BUFFER_BYTES = 1024;
const LAST_BUFFER_BYTES = 64 * 1024;
// A frame above this leaves as it is, in a write of its own.
const LARGE_FRAME_BYTES = 16 * 1024;
// What a connection keeps while it has nothing to send.
const KEPT_BUFFER_BYTES = 4 * 1024;

/**
 * The one place where messages become writes.
 *
 * Frames are gathered in a buffer. It is written at the end of the turn of the
 * event loop; what is sent while that write is under way is gathered in another
 * buffer, and leaves in the next. So there is one system call for many messages
 * (measured: 43 ns a message, where a write for each takes 2,370), and a promise
 * is made only for a sender who has to wait.
 */
export class MessageWriter<Out> {
  readonly #options: MessageWriterOptions<Out>;
  readonly #sendCountdown: Countdown | undefined;
  // The buffer that frames are gathered in, and how many bytes of it they take.
  #gather: Uint8Array = NO_BYTES;
  #gathered = 0;
  // Buffers that were full, in order, before the one above.
  #segments: Segment[] = [];
  #isScheduled = false;
  // Settles when nothing is queued any more.
  #writing: Promise<void> | undefined;
  // Why no more messages are let in, and why those queued cannot be sent.
  #refusal: { readonly error: unknown } | undefined;
  #failure: { readonly error: unknown } | undefined;
  // All bytes ever queued, and all that the kernel has taken.
  #bytesQueued = 0;
  #bytesSent = 0;
  #messagesSent = 0;
  #blockedTime = 0;
  #writeStartedAt: number | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  readonly #flushes = new Queue<Flush>();
  // Where in all bytes each message ends that is queued; only for `sendTimeout`.
  readonly #messageEnds = new Queue<number>();

  constructor(options: MessageWriterOptions<Out>) {
    this.#options = options;
    const { sendTimeout, onFailure } = options;
    if (sendTimeout !== undefined) {
      this.#sendCountdown = new Countdown(sendTimeout, () => {
        onFailure(
          new DOMException(
            `Cannot send message: the peer did not take it within sendTimeout of ${sendTimeout} ms`,
            "TimeoutError",
          ),
        );
      });
    }
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get messagesSent(): number {
    return this.#messagesSent;
  }

  get bufferedAmount(): number {
    return this.#bytesQueued - this.#bytesSent;
  }

  get blockedTime(): number {
    const startedAt = this.#writeStartedAt;
    return this.#blockedTime +
      (startedAt === undefined ? 0 : performance.now() - startedAt);
  }

  /** Stops the timer, as nothing is written any more. */
  stop(): void {
    this.#sendCountdown?.stop();
  }

  /** Settles when no write is under way. */
  get stopped(): Promise<void> {
    return this.#writing ?? SETTLED;
  }

  /** Queues a message; throws if it cannot be sent. */
  queue(message: Out): void {
    if (this.#refusal !== undefined) throw this.#refusal.error;
    const { framing } = this.#options;
    const length =
      framing.encodeInto?.(message, this.#gather, this.#gathered) ?? -1;
    if (length >= 0) {
      this.#gathered += length;
      this.#bytesQueued += length;
    } else {
      this.#queueFrame(framing.encode(message), message);
    }
    this.#messagesSent++;
    if (this.#sendCountdown !== undefined) {
      this.#messageEnds.push(this.#bytesQueued);
    }
    this.#scheduleWrite();
  }

  /** Settles when there is room for more. */
  ready(): Promise<void> {
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    if (this.bufferedAmount < this.#options.highWaterMark) return SETTLED;
    this.#room ??= unobserved(Promise.withResolvers<void>());
    return this.#room.promise;
  }

  /** Settles when the kernel has taken all that is queued now. */
  flush(): Promise<void> {
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    if (this.bufferedAmount === 0) return SETTLED;
    const { last } = this.#flushes;
    if (last?.target === this.#bytesQueued) return last.deferred.promise;
    const deferred = unobserved(Promise.withResolvers<void>());
    this.#flushes.push({ target: this.#bytesQueued, deferred });
    return deferred.promise;
  }

  /**
   * Lets no more messages in, and settles when the kernel has taken all of them.
   *
   * @param reason Why; what is sent later rejects with it.
   */
  finish(reason?: unknown): Promise<void> {
    this.#refusal ??= {
      error: reason ?? new DOMException(
        "Cannot send message: this side of the connection has ended",
        "InvalidStateError",
      ),
    };
    return this.flush();
  }

  /** Ends writing: everything that waits, and every later call, rejects with `error`. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#refusal = this.#failure;
    this.#sendCountdown?.stop();
    this.#segments = [];
    this.#gather = NO_BYTES;
    this.#gathered = 0;
    this.#room?.reject(error);
    for (const { deferred } of this.#flushes.takeAll()) deferred.reject(error);
  }

  /** Queues a frame for which the buffer has no room. */
  #queueFrame(frame: Uint8Array, message: Out): void {
    const { length } = frame;
    if (length > LARGE_FRAME_BYTES) {
      // The sender may change its bytes once `send` has settled.
      const isOwn = typeof message === "string" ||
        (message instanceof Uint8Array && message.buffer !== frame.buffer);
      this.#sealGathered();
      this.#segments.push({ bytes: isOwn ? frame : frame.slice(), length });
    } else {
      this.#makeRoom(length);
      this.#gather.set(frame, this.#gathered);
      this.#gathered += length;
    }
    this.#bytesQueued += length;
  }

  /** Provides `length` free bytes in the buffer that frames are gathered in. */
  #makeRoom(length: number): void {
    const needed = this.#gathered + length;
    if (needed <= this.#gather.length) return;
    if (needed > LAST_BUFFER_BYTES) {
      this.#sealGathered();
      this.#gather = new Uint8Array(LAST_BUFFER_BYTES);
      return;
    }
    let size = Math.max(this.#gather.length * 2, FIRST_BUFFER_BYTES);
    while (size < needed) size *= 2;
    const larger = new Uint8Array(size);
    larger.set(this.#gather.subarray(0, this.#gathered));
    this.#gather = larger;
  }

  /** Puts what is gathered behind the segments. */
  #sealGathered(): void {
    if (this.#gathered === 0) return;
    this.#segments.push({ bytes: this.#gather, length: this.#gathered });
    this.#gather = NO_BYTES;
    this.#gathered = 0;
  }

  #scheduleWrite(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    atEndOfTurn(() => {
      this.#writing = this.#writeAll();
    });
  }

  /** Writes until nothing is queued. */
  async #writeAll(): Promise<void> {
    try {
      while (this.bufferedAmount > 0 && this.#failure === undefined) {
        this.#sealGathered();
        const segments = this.#segments;
        this.#segments = [];
        for (const { bytes, length } of segments) {
          await this.#writeBytes(bytes.subarray(0, length));
          this.#reuse(bytes);
        }
      }
    } catch (error) {
      // Closing the connection interrupts a write: that is not its cause.
      if (this.#failure === undefined) this.#options.onFailure(error);
    }
    this.#isScheduled = false;
    this.#writing = undefined;
  }

  async #writeBytes(bytes: Uint8Array): Promise<void> {
    const { conn, idleCountdown } = this.#options;
    let rest = bytes;
    while (rest.length > 0 && this.#failure === undefined) {
      this.#writeStartedAt = performance.now();
      this.#sendCountdown?.resume();
      idleCountdown?.resume();
      const written = await conn.write(rest);
      this.#blockedTime += performance.now() - this.#writeStartedAt;
      this.#writeStartedAt = undefined;
      this.#sendCountdown?.pause();
      idleCountdown?.reset();
      idleCountdown?.pause();
      if (this.#failure === undefined) this.#noteTaken(written);
      rest = rest.subarray(written);
    }
  }

  /** Notes that the kernel has taken `length` bytes more. */
  #noteTaken(length: number): void {
    this.#bytesSent += length;
    while ((this.#flushes.first?.target ?? Infinity) <= this.#bytesSent) {
      this.#flushes.shift().deferred.resolve();
    }
    while ((this.#messageEnds.first ?? Infinity) <= this.#bytesSent) {
      this.#messageEnds.shift();
      // The next message has the whole time.
      this.#sendCountdown?.reset();
    }
    if (this.bufferedAmount < this.#options.highWaterMark) {
      this.#room?.resolve();
      this.#room = undefined;
    }
  }

  /** Gathers in a written buffer again, if it is not larger than needed. */
  #reuse(bytes: Uint8Array): void {
    const isNeeded = bytes.length <= KEPT_BUFFER_BYTES ||
      this.bufferedAmount > 0;
    if (
      isNeeded && this.#gather.length < bytes.length && this.#gathered === 0
    ) {
      this.#gather = bytes;
    }
  }
}

/** Keeps a promise that nobody waits for from being an unhandled rejection. */
function unobserved(
  deferred: PromiseWithResolvers<void>,
): PromiseWithResolvers<void> {
  deferred.promise.catch(() => {});
  return deferred;
}
