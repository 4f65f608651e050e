import { type QueueSource, QueueStream } from "../internal/queue_stream.ts";
import type { Reader } from "./_reader.ts";
import type { Receiver } from "./_reader.ts";

/**
 * The messages of a connection as a stream. It takes a message only when one is
 * read from it, so that every other way of receiving has its turn.
 */
export function messageStream<In>(
  reader: Reader<In>,
  onCancel: () => void,
): ReadableStream<In> {
  return new QueueStream(new MessageSource(reader, onCancel));
}

class MessageSource<In> implements QueueSource<In> {
  readonly #reader: Reader<In>;
  readonly #onCancel: () => void;
  #controller: ReadableStreamDefaultController<In> | undefined;
  #waiting: Receiver | undefined;

  constructor(reader: Reader<In>, onCancel: () => void) {
    this.#reader = reader;
    this.#onCancel = onCancel;
  }

  next(): In | undefined {
    // A reader that left may have asked for a message.
    const isBusy = this.#waiting !== undefined ||
      this.#controller?.desiredSize !== 0;
    return isBusy ? undefined : this.#reader.next();
  }

  start(controller: ReadableStreamDefaultController<In>): void {
    this.#controller = controller;
  }

  pull(controller: ReadableStreamDefaultController<In>): void | Promise<void> {
    const message = this.#reader.next();
    if (message !== undefined) return controller.enqueue(message);
    return new Promise((resolve) => {
      const settle = () => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = {
        take: () => {
          const message = this.#reader.take();
          if (message === undefined) return false;
          settle();
          controller.enqueue(message);
          return true;
        },
        end() {
          settle();
          controller.close();
        },
        fail(error) {
          settle();
          controller.error(error);
        },
      };
      this.#reader.wait(this.#waiting);
    });
  }

  cancel(): void {
    if (this.#waiting !== undefined) this.#reader.leave(this.#waiting);
    this.#onCancel();
  }
}
