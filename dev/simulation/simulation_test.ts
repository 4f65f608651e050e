import { assert, assertEquals } from "@std/assert";
import { programOf } from "./programs.ts";
import { newTally, runProgram } from "./run.ts";
import { runSeed } from "./shrink.ts";

// Takes about two seconds.
const SEEDS = 1000;

Deno.test("connections in virtual time keep the order of messages, lose nothing and settle", async () => {
  const tally = newTally();
  for (let seed = 1; seed <= SEEDS; seed++) await runSeed(seed, tally);
  assertEquals(tally.runs, SEEDS);
  assert(tally.delivered > SEEDS);
});

Deno.test("a seed repeats a run exactly, whatever ran before", async () => {
  async function traceOf(seed: number): Promise<string[]> {
    const tally = newTally();
    await runProgram(programOf(seed), tally);
    return tally.trace;
  }

  // The last two end by a timeout, 16 and 24 ms apart if the clock of the countdowns
  // remembers the run before.
  const seeds = [...Array.from({ length: 50 }, (_, seed) => seed), 89, 572];
  const before = new Map<number, string[]>();
  for (const seed of seeds) before.set(seed, await traceOf(seed));
  for (const seed of seeds.toReversed()) {
    assertEquals(await traceOf(seed), before.get(seed));
  }
});
