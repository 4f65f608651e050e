/**
 * The suites of this folder, for as long as they are given.
 *
 * `--seconds N` (60) is the time for all of them, `--seed N` repeats a run, and
 * `--report` prints what was run as a table.
 *
 * @module
 */
import fc from "npm:fast-check@4.10.2";
import { program, runProgram } from "./connection_model.ts";
import {
  FAULT_FRAMINGS,
  faultsAt,
  HARMLESS_FAULTS,
  runThroughFault,
  WORKLOADS,
} from "./fault_workloads.ts";
import { checkMemory } from "./framing_memory.ts";
import { FRAMING_PROPERTIES } from "./framing_properties.ts";

interface Row {
  readonly what: string;
  cases: number;
  sent: number;
  delivered: number;
  failures: number;
}

const seconds = Number(argument("seconds") ?? 60);
const seed = Number(argument("seed") ?? Date.now() % 2 ** 31);
const isReported = Deno.args.includes("--report");
if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
  throw new RangeError(
    `Cannot run as --seconds must be above 0 and --seed a whole number: current values are ${seconds} and ${seed}`,
  );
}

const rows: Row[] = [];
let peakMemory = 0;
const sampler = setInterval(sampleMemory, 250);

print(`Seed ${seed}, ${seconds} seconds`);
{
  const row = newRow("Framing: no decoder holds more than it may");
  await attempt(row, () => {
    row.cases += checkMemory();
    return Promise.resolve();
  });
}
// Shares of the time: framing, the model, and then the faults.
for (const { name, property } of FRAMING_PROPERTIES) {
  const row = newRow(`Framing: ${name}`);
  await checkFor(seconds * 0.35 / FRAMING_PROPERTIES.length, property, row);
}
{
  const row = newRow("Connection: any program on both ends");
  const tally = { programs: 0, operations: 0, sent: 0, delivered: 0 };
  const property = fc.asyncProperty(
    program,
    (program) => runProgram(program, tally),
  );
  await checkFor(seconds * 0.35, property, row);
  row.sent = tally.sent;
  row.delivered = tally.delivered;
  print(`  ${tally.operations} operations`);
}
await runFaults(Date.now() + seconds * 300);
clearInterval(sampler);
sampleMemory();
if (isReported) report();
if (rows.some(({ failures }) => failures > 0)) Deno.exitCode = 1;

/** Tries a property for some time; the first counterexample ends it. */
async function checkFor<T>(
  seconds: number,
  property: fc.IAsyncProperty<T>,
  row: Row,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  // Cases grow with the number of the run, so runs are not too long.
  for (let round = 0; Date.now() < deadline; round++) {
    const details = await fc.check(property, {
      seed: seed + round,
      numRuns: 2000,
      interruptAfterTimeLimit: Math.max(1, deadline - Date.now()),
    });
    row.cases += details.numRuns;
    if (!details.failed || details.counterexample === null) continue;
    row.failures++;
    printError(fc.defaultReportMessage(details) ?? "");
    break;
  }
  print(`${row.what}: ${row.cases} cases, ${row.failures} failures`);
}

/** Runs each workload with each framing through each fault, at one byte after another. */
async function runFaults(deadline: number): Promise<void> {
  const harmless = newRow("Faults that lose nothing: cuts, delays, stalls");
  const cutting = newRow("Resets and half-closes at every byte");
  do {
    for (const fault of HARMLESS_FAULTS) {
      await runAll(harmless, fault, deadline);
    }
    for (let place = 0; place < 200 && Date.now() < deadline; place++) {
      for (const fault of faultsAt(place)) {
        await runAll(cutting, fault, deadline);
      }
    }
  } while (Date.now() < deadline);
  for (const { what, cases, failures } of [harmless, cutting]) {
    print(`${what}: ${cases} runs, ${failures} failures`);
  }
}

async function runAll(
  row: Row,
  fault: Parameters<typeof runThroughFault>[2],
  deadline: number,
): Promise<void> {
  if (Date.now() >= deadline) return;
  for (const workload of WORKLOADS) {
    const tally = { runs: 0, sent: 0, delivered: 0 };
    await Promise.all(
      FAULT_FRAMINGS.map((framing) =>
        attempt(row, () => runThroughFault(workload, framing, fault, tally))
      ),
    );
    row.cases += tally.runs;
    row.sent += tally.sent;
    row.delivered += tally.delivered;
  }
}

async function attempt(row: Row, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    row.failures++;
    printError(error);
  }
}

function newRow(what: string): Row {
  const row = { what, cases: 0, sent: 0, delivered: 0, failures: 0 };
  rows.push(row);
  return row;
}

function sampleMemory(): void {
  peakMemory = Math.max(peakMemory, Deno.memoryUsage().rss);
}

function report(): void {
  print("");
  print("| What | Cases | Sent | Delivered | Failures |");
  print("| --- | ---: | ---: | ---: | ---: |");
  for (const { what, cases, sent, delivered, failures } of rows) {
    const messages = sent === 0 ? ["", ""] : [sent, delivered];
    print(`| ${[what, cases, ...messages, failures].join(" | ")} |`);
  }
  print("");
  print(
    "A failure is a message that is lost, comes twice or out of order, a promise that does not settle, a limit passed, or an outcome that depends on the cuts. Delivered is less than sent where the case itself ends the connection.",
  );
  print("");
  const { deno, v8 } = Deno.version;
  const { os, arch } = Deno.build;
  const date = new Date().toISOString().slice(0, 10);
  print(
    `Peak memory of the process: ${
      Math.round(peakMemory / 1e6)
    } MB. ${date}, seed ${seed}, ${seconds} s, Deno ${deno}, V8 ${v8}, ${os} ${arch}.`,
  );
}

function argument(name: string): string | undefined {
  const index = Deno.args.indexOf(`--${name}`);
  return index === -1 ? undefined : Deno.args[index + 1];
}

function print(line: string): void {
  // deno-lint-ignore no-console -- a program that reports
  console.log(line);
}

function printError(error: unknown): void {
  // deno-lint-ignore no-console -- a program that reports
  console.error(error);
}
