import type { Bytes } from "../framing/bytes.ts";
import { systemError } from "../internal/system_error.ts";
import { isWithinMessage, type Reader, type Receiver } from "./_reader.ts";

/**
 * The next `length` bytes as a stream of pieces, in the turn of asking for it. What is
 * received later waits until all of them were read, or passed over after a cancel.
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
  // Resolves the read that waits for a piece.
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
    // What nothing wants is read only for the sake of what comes after it.
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
