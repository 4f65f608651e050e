import { assertEquals } from "@std/assert";
import { lines } from "../framing.ts";
import { connectionPair } from "../testing.ts";
import { Quiet } from "./_quiet.ts";

Deno.test("Quiet does not count the time between two calls of receive()", async () => {
  await using pair = connectionPair({ framing: lines() });
  using quiet = new Quiet(50);
  quiet.begin();
  await pair.far.send("one");
  assertEquals(await quiet.receive(pair.near), "one");

  // A timer of the same length that was set earlier would fire before this one.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await pair.far.send("two");
  await pair.far.flush();
  assertEquals(await quiet.receive(pair.near), "two");
  assertEquals(quiet.isOver, false);
  assertEquals(await quiet.receive(pair.near), undefined);
  assertEquals(quiet.isOver, true);
});
