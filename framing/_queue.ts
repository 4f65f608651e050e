/** A queue: first in, first out. `Array.shift` would move all that is behind. */
export class Queue<T> {
  #items: T[] = [];
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
    // An array that grows from nothing gets room for 17 items: too much for each
    // of many idle connections.
    if (this.length === 0) this.fill([item]);
    else this.#items.push(item);
  }

  /** Takes the first item; there must be one. */
  shift(): T {
    const item = this.#items[this.#head]!; // as said above
    this.#head++;
    if (this.#head === this.#items.length) this.fill([]);
    else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      // Else a queue that is never empty would keep all that was ever in it.
      this.fill(this.#items.slice(this.#head));
    }
    return item;
  }

  /** Takes all items. */
  takeAll(): T[] {
    const items = this.#head === 0
      ? this.#items
      : this.#items.slice(this.#head);
    this.fill([]);
    return items;
  }

  /** Takes one item out, wherever it is. */
  remove(item: T): void {
    this.fill(this.takeAll().filter((each) => each !== item));
  }

  /** Puts other items in place of all. */
  fill(items: T[]): void {
    this.#items = items;
    this.#head = 0;
  }
}
