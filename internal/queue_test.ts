import { assert, assertEquals } from "@std/assert";
import { Queue } from "./queue.ts";

Deno.test("Queue returns items in the order in which they were added, like an array", () => {
  const queue = new Queue<number>();
  const array: number[] = [];
  // Grows to 5,000 and shrinks to 0 three times, so that it moves its items in every
  // way.
  for (let i = 0; i < 60_000; i++) {
    const isGrowing = i % 20_000 < 12_500 ? i % 5 < 4 : false;
    if (isGrowing) {
      queue.push(i);
      array.push(i);
    } else if (array.length > 0) {
      assertEquals(queue.shift(), array.shift());
    }
    assertEquals(queue.length, array.length);
    assertEquals(queue.first, array[0]);
    assertEquals(queue.last, array.at(-1));
  }
  assertEquals(queue.takeAll(), array);
});

Deno.test("Queue.takeAll() takes the remaining items", () => {
  const queue = new Queue<string>();
  for (const item of ["a", "b", "c"]) queue.push(item);
  assertEquals(queue.shift(), "a");
  assertEquals(queue.takeAll(), ["b", "c"]);
  assertEquals(queue.length, 0);
  assertEquals(queue.takeAll(), []);
  assertEquals(queue.first, undefined);
  assertEquals(queue.last, undefined);
});

Deno.test("Queue.remove() removes one item and keeps the order of the others", () => {
  const queue = new Queue<string>();
  for (const item of ["a", "b", "c", "d"]) queue.push(item);
  queue.shift();
  queue.remove("c");
  queue.remove("a");
  queue.push("e");
  assertEquals(queue.takeAll(), ["b", "d", "e"]);
});

Deno.test("Queue.remove() removes the first and the last item, and nothing from an empty queue", () => {
  const queue = new Queue<number>();
  queue.remove(1);
  for (const item of [1, 2, 3, 4]) queue.push(item);
  queue.shift();
  queue.remove(2);
  queue.remove(4);
  queue.remove(5);
  assertEquals([queue.first, queue.last, queue.length], [3, 3, 1]);
  queue.remove(3);
  assertEquals([queue.first, queue.last, queue.length], [
    undefined,
    undefined,
    0,
  ]);
  queue.push(6);
  assertEquals(queue.takeAll(), [6]);
});

Deno.test("Queue.remove() removes many items from either end in linear time", () => {
  // Takes some milliseconds; it would take a minute if each removal moved all others.
  const size = 200_000;
  const queue = new Queue<number>();
  for (let i = 0; i < size; i++) queue.push(i);
  const start = performance.now();
  for (let i = 0; i < size / 2; i++) queue.remove(i);
  for (let i = size; i-- > size / 2;) queue.remove(i);
  assertEquals(queue.length, 0);
  assert(performance.now() - start < 5000);
});

Deno.test("Queue.fill() replaces all items", () => {
  const queue = new Queue<string>();
  queue.push("a");
  queue.push("b");
  queue.shift();
  queue.fill(["c", "d"]);
  assertEquals([queue.length, queue.first, queue.last], [2, "c", "d"]);
  assertEquals(queue.shift(), "c");
});

Deno.test("Queue does not keep taken items for long when it is never empty", () => {
  const queue = new Queue<number[]>();
  const items = Array.from({ length: 3_000 }, (_, i) => [i]);
  for (const item of items) queue.push(item);
  for (let i = 0; i < 100_000; i++) {
    queue.push(queue.shift());
  }
  assertEquals(queue.takeAll().map(([i]) => i).sort((a = 0, b = 0) => a - b), [
    ...items.keys(),
  ]);
});
