/** Runs programs from seeds; a failing one is repeated with fewer steps. */
import { programOf, stepText } from "./programs.ts";
import { newTally, runProgram, type Tally } from "./run.ts";

/**
 * Runs the program of a seed; an error says how to repeat it, and gives its fewest
 * steps.
 */
export async function runSeed(seed: number, tally: Tally): Promise<void> {
  const program = programOf(seed);
  const failure = await failureOf(() => runProgram(program, tally));
  if (failure === undefined) return;
  const steps = await fewest(
    program.steps,
    (steps) => failureOf(() => runProgram({ ...program, steps }, newTally())),
  );
  throw new Error(
    `${failure.message}
Repeat it: deno task simulate --seed ${seed}
Fewest steps: ${steps.map(stepText).join(" ")}`,
    { cause: failure },
  );
}

/** The error that a run throws, if any. */
export async function failureOf(
  run: () => Promise<void>,
): Promise<Error | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Drops steps one at a time while the run still fails. */
export async function fewest<T>(
  steps: readonly T[],
  fails: (steps: readonly T[]) => Promise<unknown>,
): Promise<readonly T[]> {
  let least = steps;
  for (let place = least.length - 1; place >= 0; place--) {
    const fewer = least.toSpliced(place, 1);
    if (await fails(fewer) !== undefined) least = fewer;
  }
  return least;
}
