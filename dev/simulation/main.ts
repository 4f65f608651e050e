// deno-lint-ignore-file no-console -- a program that reports

/**
 * Repeats the run of a number, and prints what it does.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { programOf } from "./programs.ts";
import { newTally, runProgram } from "./run.ts";
import { failureOf, runSeed } from "./shrink.ts";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seed: { type: "string" } } });
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(
      `--seed must be a whole number: current value is ${values.seed}`,
    );
  }
  const { steps: _, ...settings } = programOf(seed);
  console.log(settings);
  const tally = newTally();
  const failure = await failureOf(() => runProgram(programOf(seed), tally));
  console.log(tally.trace.join("\n"));
  if (failure !== undefined) await runSeed(seed, tally);
}

await main();
