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
  return new ReadableStream(new BodySource(reader, length), {
    highWaterMark: 0,
  });
}

class BodySource implements UnderlyingDefaultSource<Bytes>, Receiver {
  readonly #reader: Reader<unknown>;
  #rest: number;
  #controller: ReadableStreamDefaultController<Bytes> | undefined;
  // Resolves the pending read of a piece.
  #pulled: (() => void) | undefined;
  #isCancelled = false;

  constructor(reader: Reader<unknown>, length: number) {
    this.#reader = reader;
    this.#rest = length;
  }

  start(controller: ReadableStreamDefaultController<Bytes>): void {
    this.#controller = controller;
    if (this.#rest === 0) controller.close();
    else this.#reader.wait(this);
  }

  pull(): Promise<void> {
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
    if (!this.#isCancelled && this.#pulled === undefined) return false;
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
    if (!this.#isCancelled) this.#controller?.error(error);
    this.#settlePull();
  }

  #settlePull(): void {
    this.#pulled?.();
    this.#pulled = undefined;
  }
}
