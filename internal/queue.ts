// All empty queues share it; nothing is ever put into it.
const NO_ITEMS: never[] = [];

/** A queue: first in, first out. `Array.shift` would move all later items. */
export class Queue<T> {
  #items: T[] = NO_ITEMS;
  #head = 0;

  /** How many items wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The first item, or `undefined`. */
  get first(): T | undefined {
    return this.#items[this.#head];
  }

  /** The last item, or `undefined`. */
  get last(): T | undefined {
    return this.length > 0 ? this.#items.at(-1) : undefined;
  }

  /** Puts an item at the end. */
  push(item: T): void {
    // An array that grows from empty gets room for 17 items: too much for each of many
    // idle connections.
    if (this.#head < this.#items.length) this.#items.push(item);
    else this.fill([item]);
  }

  /** Takes the first item; there must be one. */
  shift(): T {
    const item = this.#items[this.#head]!; // required above
    this.#head++;
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      // Otherwise a queue that is never empty would keep all past items.
      this.fill(this.#items.slice(this.#head));
    }
    return item;
  }

  /** Takes all items; there must be one, if the array is to be changed. */
  takeAll(): T[] {
    const items = this.#head === 0
      ? this.#items
      : this.#items.slice(this.#head);
    this.clear();
    return items;
  }

  /** Drops all items. */
  clear(): void {
    this.fill(NO_ITEMS);
  }

  /** Replaces all items. */
  fill(items: T[]): void {
    this.#items = items;
    this.#head = 0;
  }
}
