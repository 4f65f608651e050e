import { assert, assertEquals } from "@std/assert";
import { assertLinear } from "../framing/_testing.ts";
import { type Linked, LinkedQueue } from "./linked_queue.ts";

class Item implements Linked<Item> {
  previous: Item | undefined;
  next: Item | undefined;
  readonly name: number;

  constructor(name: number) {
    this.name = name;
  }
}

function itemsOf(count: number): Item[] {
  return Array.from({ length: count }, (_, name) => new Item(name));
}

function namesOf({ first }: LinkedQueue<Item>): number[] {
  const names: number[] = [];
  for (let item = first; item !== undefined; item = item.next) {
    names.push(item.name);
  }
  return names;
}

Deno.test("LinkedQueue keeps the order of its items, like an array", () => {
  const items = itemsOf(7);
  const queue = new LinkedQueue<Item>();
  const array: Item[] = [];
  // The places repeat only after many steps, so that items leave from everywhere.
  for (let i = 0; i < 10_000; i++) {
    const item = items[i * i % 31 % items.length]!; // within the array
    const at = array.indexOf(item);
    if (at === -1) {
      queue.push(item);
      array.push(item);
    } else {
      queue.remove(item);
      array.splice(at, 1);
      assertEquals([item.previous, item.next], [undefined, undefined]);
    }
    assertEquals(queue.length, array.length);
    assert(queue.first === array[0]);
    assertEquals(namesOf(queue), array.map(({ name }) => name));
  }
});

Deno.test("LinkedQueue.remove() ignores an item that does not wait", () => {
  const [a, b, c] = itemsOf(3) as [Item, Item, Item];
  const queue = new LinkedQueue<Item>();
  queue.remove(a);
  queue.push(a);
  queue.push(b);
  queue.remove(c);
  queue.remove(a);
  queue.remove(a);
  assertEquals([queue.length, namesOf(queue)], [1, [1]]);
  queue.remove(b);
  assertEquals([queue.length, queue.first], [0, undefined]);
  queue.push(c);
  assertEquals(namesOf(queue), [2]);
});

Deno.test("LinkedQueue.remove() removes items from anywhere in linear time", () => {
  function removeAll(size: number): void {
    const items = itemsOf(size);
    const queue = new LinkedQueue<Item>();
    for (const item of items) queue.push(item);
    for (let i = 0; i < size; i++) {
      queue.remove(items[i * 7919 % size]!); // within the array
    }
    assertEquals(queue.length, 0);
  }
  assertLinear(removeAll, 25_000);
});
