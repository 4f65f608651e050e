/** The lines of the report on random programs on both ends of a connection. */
import fc from "npm:fast-check@4.10.2";
import { type ModelTally, program, runProgram } from "./connection_model.ts";
import { openFiles, openFilesAtRest, OwnMemory } from "./own_memory.ts";
import { tryFor } from "./property_run.ts";
import type { ReportRow, SuiteOptions } from "./report_row.ts";

// The runtime opens a pair of sockets for signals some time after its start.
const RUNTIME_FILES = 2;

/** The model suite, for about `seconds`. */
export async function* connectionRows(
  options: SuiteOptions,
): AsyncGenerator<ReportRow> {
  using memory = new OwnMemory();
  const tally: ModelTally = {
    programs: 0,
    operations: 0,
    sent: 0,
    delivered: 0,
  };
  const property = fc.asyncProperty(
    program,
    (program) => runProgram(program, tally),
  );
  const before = openFiles();
  await tryFor(property, options);
  const after = before === undefined
    ? undefined
    : await openFilesAtRest(before + RUNTIME_FILES);
  yield {
    workload: "any program of operations on both ends",
    fault: "stalls, resets, aborts and closes anywhere in it",
    operations: tally.operations,
    lost: 0,
    duplicated: 0,
    unsettled: 0,
    peakMemory: memory.peak,
    note:
      `${tally.programs} programs, ${tally.sent} messages sent and ${tally.delivered} delivered: a program may end a connection before the rest${
        before === undefined
          ? ""
          : `; ${before} files open before and ${after} after`
      }`,
  };
}
