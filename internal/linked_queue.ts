/** An item of a {@linkcode LinkedQueue}, which sets these while the item waits in it. */
export interface Linked<T> {
  /** The item before it. */
  previous?: T | undefined;
  /** The item after it. */
  next?: T | undefined;
}

/**
 * A queue that any item can leave in constant time: in an array, all later items would
 * have to move. An item waits in one queue at most, once.
 */
export class LinkedQueue<T extends Linked<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #length = 0;

  /** How many items wait. */
  get length(): number {
    return this.#length;
  }

  /** The first item, or `undefined`. */
  get first(): T | undefined {
    return this.#first;
  }

  /** Puts an item at the end. */
  push(item: T): void {
    const last = this.#last;
    item.previous = last;
    if (last === undefined) this.#first = item;
    else last.next = item;
    this.#last = item;
    this.#length++;
  }

  /** Removes an item, wherever it is; does nothing if it does not wait. */
  remove(item: T): void {
    const { previous, next } = item;
    if (previous === undefined && this.#first !== item) return;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // An item that is kept must not keep the others alive.
    item.previous = item.next = undefined;
    this.#length--;
  }
}
