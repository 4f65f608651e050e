/** The line of the report on connections in virtual time. */
import { OwnMemory } from "../stress/own_memory.ts";
import type { ReportRow, SuiteOptions } from "../stress/report_row.ts";
import { newTally } from "./run.ts";
import { runSeed } from "./shrink.ts";

const MS_PER_HOUR = 3_600_000;

/** The simulation, for about `seconds`, each run with the next number. */
export async function* simulationRows(
  { seconds, seed }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  using memory = new OwnMemory();
  const tally = newTally();
  const deadline = Date.now() + seconds * 1000;
  for (let next = seed; Date.now() < deadline; next++) {
    await runSeed(next, tally);
  }
  const hours = tally.virtualMs / MS_PER_HOUR;
  yield {
    workload: "any program on both ends, in virtual time",
    fault: "stalls, cuts, resets, failed reads and writes, a busy thread",
    operations: tally.steps,
    lost: 0,
    duplicated: 0,
    unsettled: 0,
    peakMemory: memory.peak,
    note: `${tally.runs} runs of ${
      hours.toFixed(1)
    } virtual hours in all, ${tally.sent} messages sent and ${tally.delivered} delivered: a program may end a connection before the rest`,
  };
}
