import { assertEquals } from "@std/assert";
import { atEndOfTurn, untilEndOfTurn } from "./_end_of_turn.ts";
import { turn } from "./_testing.ts";

Deno.test("atEndOfTurn() calls back behind all promise continuations and before timers", async () => {
  const calls: string[] = [];
  setTimeout(() => calls.push("timer"), 0);
  atEndOfTurn(() => calls.push("end of turn"));
  for (let i = 0; i < 100; i++) await undefined;
  calls.push("continuation");
  queueMicrotask(() => calls.push("microtask"));
  await turn();
  assertEquals(calls, ["continuation", "microtask", "end of turn", "timer"]);
});

Deno.test("atEndOfTurn() calls all back, in order, also those added meanwhile", async () => {
  const calls: number[] = [];
  atEndOfTurn(() => {
    calls.push(1);
    atEndOfTurn(() => calls.push(3));
  });
  atEndOfTurn(() => calls.push(2));
  await turn();
  assertEquals(calls, [1, 2, 3]);
});

Deno.test("untilEndOfTurn() settles behind what is called at the end of the turn, and gives nothing where nothing is", async () => {
  assertEquals(untilEndOfTurn(), undefined);
  const calls: string[] = [];
  atEndOfTurn(() => calls.push("before"));
  const ended = untilEndOfTurn()?.then(() => calls.push("settled"));
  atEndOfTurn(() => calls.push("behind"));
  await ended;
  assertEquals(calls, ["before", "behind", "settled"]);
  assertEquals(untilEndOfTurn(), undefined);
});
