/** Runs properties of fast-check for some time. */
import fc from "npm:fast-check@4.10.2";
import type { SuiteOptions } from "./report_row.ts";

// Cases grow with their number in a round, so rounds must not be too long.
const CASES_IN_ROUND = 2000;

/**
 * Runs a property for some time.
 *
 * @returns How many cases there were.
 * @throws {Error} With the first counterexample, as small as it can be made.
 */
export async function tryFor<T>(
  property: fc.IAsyncProperty<T>,
  { seconds, seed }: SuiteOptions,
): Promise<number> {
  const deadline = Date.now() + seconds * 1000;
  let cases = 0;
  for (let round = 0; round === 0 || Date.now() < deadline; round++) {
    const details = await fc.check(property, {
      seed: seed + round,
      numRuns: CASES_IN_ROUND,
      interruptAfterTimeLimit: Math.max(1, deadline - Date.now()),
    });
    cases += details.numRuns;
    // fast-check counts a run that was interrupted before its first case as failed.
    if (details.counterexample !== null) {
      throw new Error(fc.defaultReportMessage(details), {
        cause: details.errorInstance,
      });
    }
  }
  return cases;
}
