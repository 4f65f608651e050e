/** The lines of the report on connections in virtual time. */
import { OwnMemory } from "../stress/own_memory.ts";
import type { ReportRow, SuiteOptions } from "../stress/report_row.ts";
import { newTally } from "./run.ts";
import { newServiceTally, runServiceSeed } from "./service.ts";
import { runSeed } from "./shrink.ts";
import { runScope } from "./small_scope.ts";

const MS_PER_HOUR = 3_600_000;
const FAULTS = "stalls, cuts, resets, failed reads and writes, a busy thread";

/** Runs the simulation for about `seconds`, each run with the next seed. */
export async function* simulationRows(
  { seconds, seed }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  yield await randomRow(seconds / 3, seed);
  yield await serviceRow(seconds / 3, seed);
  yield await scopeRow(seconds / 3);
}

async function randomRow(seconds: number, seed: number): Promise<ReportRow> {
  using memory = new OwnMemory();
  const tally = newTally();
  const deadline = Date.now() + seconds * 1000;
  for (let next = seed; Date.now() < deadline; next++) {
    await runSeed(next, tally);
  }
  const hours = (tally.virtualMs / MS_PER_HOUR).toFixed(1);
  return {
    ...CLEAN,
    workload: "any program on both ends, in virtual time",
    fault: FAULTS,
    operations: tally.steps,
    peakMemory: memory.peak,
    note:
      `${tally.runs} programs of ${hours} virtual hours in all, ${tally.sent} messages sent and ${tally.delivered} delivered: a program may end a connection before the rest`,
  };
}

async function serviceRow(seconds: number, seed: number): Promise<ReportRow> {
  using memory = new OwnMemory();
  const tally = newServiceTally();
  const deadline = Date.now() + seconds * 1000;
  for (let next = seed; Date.now() < deadline; next++) {
    await runServiceSeed(next, tally);
  }
  const hours = (tally.virtualMs / MS_PER_HOUR).toFixed(1);
  return {
    ...CLEAN,
    workload: "a server with slow handlers, broadcasts, clients that reconnect",
    fault: "partitions, peers that vanish, resets, hang-ups",
    operations: tally.events,
    peakMemory: memory.peak,
    note:
      `${tally.runs} scenarios of ${hours} virtual hours in all, ${tally.connections} connections, ${tally.answers} answers, ${tally.news} broadcasts received`,
  };
}

async function scopeRow(seconds: number): Promise<ReportRow> {
  using memory = new OwnMemory();
  // Not with `Date.now`, which is virtual during a run.
  const end = Temporal.Now.instant().add({
    milliseconds: Math.round(seconds * 1000),
  });
  const { programs, runs } = await runScope({
    most: 5,
    onSequence: () => Temporal.Instant.compare(Temporal.Now.instant(), end) < 0,
  });
  return {
    ...CLEAN,
    workload: "all sequences of up to 5 operations, as far as time allows",
    fault: "each single one, at each point",
    operations: runs,
    peakMemory: memory.peak,
    note: `the first ${programs} sequences, against the table of endings`,
  };
}

// A run throws if something is lost, doubled or unsettled.
const CLEAN = { lost: 0, duplicated: 0, unsettled: 0 };
