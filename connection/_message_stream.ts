import type { MessageReader, Receiver } from "./_message_reader.ts";
import type { Queue } from "../internal/queue.ts";
import { type QueueSource, QueueStream } from "../internal/queue_stream.ts";

/**
 * The messages of a connection as a stream. It takes a message only when one is
 * read from it, so that every other way of receiving has its turn.
 */
export function messageStream<In>(
  reader: MessageReader<In>,
  onCancel: () => void,
): ReadableStream<In> {
  return new QueueStream(new MessageSource(reader, onCancel));
}

class MessageSource<In> implements QueueSource<In> {
  readonly #reader: MessageReader<In>;
  readonly #onCancel: () => void;
  #controller: ReadableStreamDefaultController<In> | undefined;
  #waiting: Receiver<In> | undefined;

  constructor(reader: MessageReader<In>, onCancel: () => void) {
    this.#reader = reader;
    this.#onCancel = onCancel;
  }

  get available(): Queue<In> | undefined {
    // A reader that left may have asked for a message.
    const isBusy = this.#waiting !== undefined ||
      this.#controller?.desiredSize !== 0;
    return isBusy ? undefined : this.#reader.available;
  }

  start(controller: ReadableStreamDefaultController<In>): void {
    this.#controller = controller;
  }

  pull(controller: ReadableStreamDefaultController<In>): void | Promise<void> {
    const inbox = this.#reader.available;
    if (inbox !== undefined) return controller.enqueue(inbox.shift());
    return new Promise((resolve) => {
      const settle = () => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = {
        take(inbox) {
          settle();
          controller.enqueue(inbox.shift());
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
