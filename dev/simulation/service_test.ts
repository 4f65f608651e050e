import { assert, assertEquals } from "@std/assert";
import { scenarioOf } from "./scenarios.ts";
import { newServiceTally, runService, runServiceSeed } from "./service.ts";

// About a second.
const SEEDS = 60;

Deno.test("servers, slow handlers, broadcasts and clients that reconnect keep their promises in virtual time", async () => {
  const tally = newServiceTally();
  for (let seed = 1; seed <= SEEDS; seed++) await runServiceSeed(seed, tally);
  assertEquals(tally.runs, SEEDS);
  assert(tally.answers > SEEDS && tally.news > SEEDS);
});

Deno.test("one number repeats the run of a server and its clients exactly", async () => {
  async function traceOf(seed: number): Promise<string[]> {
    const tally = newServiceTally();
    await runService(scenarioOf(seed), tally);
    return tally.trace;
  }

  for (let seed = 1; seed <= 10; seed++) {
    assertEquals(await traceOf(seed), await traceOf(seed));
  }
});
