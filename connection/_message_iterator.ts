import type { MessageReader, Receiver } from "./_message_reader.ts";
import type { Queue } from "../internal/queue.ts";

/** Somebody who waits for messages by a promise. */
export class Waiter<In, T> implements Receiver<In> {
  readonly #deferred = Promise.withResolvers<T>();
  readonly #take: (inbox: Queue<In>) => T;
  readonly #end: () => T;

  /** Will take what `take` takes, or what `end` gives, or throws, at the end. */
  constructor(take: (inbox: Queue<In>) => T, end: () => T) {
    this.#take = take;
    this.#end = end;
  }

  /** What was taken. It is no unhandled rejection if nobody awaits it. */
  get promise(): Promise<T> {
    return this.#deferred.promise;
  }

  take(inbox: Queue<In>): void {
    this.#deferred.resolve(this.#take(inbox));
  }

  end(): void {
    try {
      this.#deferred.resolve(this.#end());
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    // Only now, as a handler for each promise that never rejects costs 0.2 µs.
    this.promise.catch(() => {});
    this.#deferred.reject(error);
  }
}

/** Iterates over what `take` takes out of the inbox. */
export class MessageIterator<In, T> implements AsyncIterator<T, undefined> {
  readonly #reader: MessageReader<In>;
  readonly #take: (inbox: Queue<In>) => IteratorResult<T, undefined>;

  constructor(
    reader: MessageReader<In>,
    take: (inbox: Queue<In>) => IteratorResult<T, undefined>,
  ) {
    this.#reader = reader;
    this.#take = take;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    // A settled promise here is why a loop over messages is fast (measured: 29 ns
    // a message, where an async generator takes 116).
    const inbox = this.#reader.available;
    if (inbox !== undefined) return Promise.resolve(this.#take(inbox));
    const waiter = new Waiter(this.#take, iterationEnd);
    this.#reader.wait(waiter);
    return waiter.promise;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    return Promise.resolve(iterationEnd());
  }
}

/** Takes one message, as the result of an iteration. */
export function nextMessage<In>(
  inbox: Queue<In>,
): IteratorResult<In, undefined> {
  return { value: inbox.shift(), done: false };
}

/** Takes all messages, as the result of an iteration. */
export function nextBatch<In>(
  inbox: Queue<In>,
): IteratorResult<In[], undefined> {
  return { value: inbox.takeAll(), done: false };
}

function iterationEnd(): IteratorReturnResult<undefined> {
  return { value: undefined, done: true };
}
