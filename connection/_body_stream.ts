import type { Bytes } from "../framing/bytes.ts";
import { systemError } from "../internal/system_error.ts";
import { isWithinMessage, type Reader, type Receiver } from "./_reader.ts";

/**
 * The next `length` bytes as a stream of pieces, which takes its turn now. Later
 * receivers wait until all of them were read, or skipped after a cancel.
 */
export function bodyStream(
  reader: Reader<unknown>,
  length: number,
): ReadableStream<Bytes> {
  const stream: ReadableStream<Bytes> = new ReadableStream(
    new BodySource(reader, length, () => stream.locked),
    { highWaterMark: 0 },
  );
  return stream;
}

class BodySource implements UnderlyingDefaultSource<Bytes>, Receiver {
  readonly #reader: Reader<unknown>;
  readonly #isRead: () => boolean;
  #rest: number;
  #controller: ReadableStreamDefaultController<Bytes> | undefined;
  // Resolves the pending read of a piece.
  #pulled: (() => void) | undefined;
  #isCancelled = false;
  // Comes after the piece in the stream's own queue.
  #failure: { readonly error: unknown } | undefined;

  constructor(
    reader: Reader<unknown>,
    length: number,
    isRead: () => boolean,
  ) {
    this.#reader = reader;
    this.#rest = length;
    this.#isRead = isRead;
  }

  start(controller: ReadableStreamDefaultController<Bytes>): void {
    this.#controller = controller;
    if (this.#rest === 0) controller.close();
    else this.#reader.wait(this);
  }

  pull(): void | Promise<void> {
    if (this.#failure !== undefined) return this.fail(this.#failure.error);
    return new Promise((resolve) => {
      this.#pulled = resolve;
      this.#reader.goOn();
    });
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#reader.goOn();
  }

  get rest(): number {
    return this.#rest;
  }

  wantsBytes(isAlone: boolean): boolean {
    // Cancelled bytes are read only if another receiver waits after them.
    return this.#isCancelled ? !isAlone : this.#pulled !== undefined;
  }

  take(): boolean {
    if (!this.#isCancelled) {
      if (this.#pulled === undefined) return false;
      // The read that asked for a piece was abandoned with its lock: the bytes are for the
      // next read, or a new owner of the transport, not for the stream's queue.
      if (!this.#isRead()) {
        this.#settlePull();
        return false;
      }
    }
    if (this.#reader.isWithinMessage) {
      this.fail(isWithinMessage("receive stream"));
      return true;
    }
    const piece = this.#reader.takeBytes(this.#rest);
    if (piece.length === 0) return false;
    this.#rest -= piece.length;
    if (this.#isCancelled) return this.#rest === 0;
    this.#controller?.enqueue(piece);
    if (this.#rest === 0) this.#controller?.close();
    this.#settlePull();
    return this.#rest === 0;
  }

  end(): void {
    this.fail(
      systemError(
        "UnexpectedEof",
        `Cannot receive stream: the messages have ended ${this.#rest} bytes before its end`,
      ),
    );
  }

  fail(error: unknown): void {
    // Another reader has the lock already, and an error would drop the piece for it.
    if (this.#holdsPiece) this.#failure = { error };
    else if (!this.#isCancelled) this.#controller?.error(error);
    this.#settlePull();
  }

  get #holdsPiece(): boolean {
    return (this.#controller?.desiredSize ?? 0) < 0;
  }

  #settlePull(): void {
    this.#pulled?.();
    this.#pulled = undefined;
  }
}
