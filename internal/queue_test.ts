import { assertEquals } from "@std/assert";
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
