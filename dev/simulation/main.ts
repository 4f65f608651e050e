// deno-lint-ignore-file no-console -- a program that reports

/**
 * Repeats the run of a seed and prints what it does, or runs the complete small scope.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { programOf } from "./programs.ts";
import { newTally, runProgram } from "./run.ts";
import { scenarioOf } from "./scenarios.ts";
import { newServiceTally, runService, runServiceSeed } from "./service.ts";
import { failureOf, runSeed } from "./shrink.ts";
import { MODES } from "./small_programs.ts";
import { runScope } from "./small_scope.ts";

const USAGE = `Usage: deno task simulate [options]

  --seed N     repeat the run of a number, and print what it does
  --service N  repeat the run of a server and its clients
  --scope N    run all sequences of up to N operations, with each fault at each point
  --mode N     of those, only one of the ${MODES.length} modes, from 0 on`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      service: { type: "string" },
      scope: { type: "string" },
      mode: { type: "string" },
    },
  });
  if (values.seed !== undefined) {
    await repeat(wholeNumber("seed", values.seed));
  } else if (values.service !== undefined) {
    await repeatService(wholeNumber("service", values.service));
  } else if (values.scope !== undefined) {
    const mode = values.mode === undefined
      ? undefined
      : wholeNumber("mode", values.mode);
    await runWhole(wholeNumber("scope", values.scope), mode);
  } else console.log(USAGE);
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError(
      `--${name} must be a whole number: current value is ${text}`,
    );
  }
  return number;
}

async function repeat(seed: number): Promise<void> {
  const { steps: _, ...settings } = programOf(seed);
  console.log(settings);
  const tally = newTally();
  const failure = await failureOf(() => runProgram(programOf(seed), tally));
  console.log(tally.trace.join("\n"));
  if (failure !== undefined) await runSeed(seed, tally);
}

async function repeatService(seed: number): Promise<void> {
  const { events: _, ...settings } = scenarioOf(seed);
  console.log(settings);
  const tally = newServiceTally();
  const failure = await failureOf(() => runService(scenarioOf(seed), tally));
  console.log(tally.trace.join("\n"));
  if (failure !== undefined) await runServiceSeed(seed, tally);
}

async function runWhole(most: number, mode: number | undefined): Promise<void> {
  const modes = mode === undefined ? MODES : MODES.slice(mode, mode + 1);
  for (let length = 0; length <= most; length++) {
    const start = Temporal.Now.instant();
    const { programs, runs, rows } = await runScope({
      least: length,
      most: length,
      modes,
    });
    const seconds = start.until(Temporal.Now.instant()).total("seconds");
    console.log(
      `${length} operations: ${programs} sequences, ${runs} runs, ${
        seconds.toFixed(1)
      } s`,
      Object.fromEntries(rows),
    );
  }
}

await main();
