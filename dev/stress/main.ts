// deno-lint-ignore-file no-console -- a program that reports

/**
 * Runs the suites of this folder one after another, each for its share of the time, and
 * prints a line for each part. Exits with 1 if a message was lost, arrived twice, a
 * promise did not settle, or something else was wrong.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { simulationRows } from "../simulation/rows.ts";
import { fairnessRows } from "./fairness_rows.ts";
import { faultRows } from "./fault_rows.ts";
import { framingRows } from "./framing_rows.ts";
import { hostileRows } from "./hostile.ts";
import { loadRows } from "./load_rows.ts";
import { processRows } from "./process.ts";
import { productionRows } from "./production.ts";
import { hasFailed, reportText, rowText, type SuiteResult } from "./report.ts";
import type { ReportRow, Suite } from "./report_row.ts";

// Enough for the full sizes with a soak of ten minutes.
const FULL_SECONDS = 1325;

interface NamedSuite {
  readonly name: string;
  readonly title: string;
  readonly rows: Suite;
  /** Its share of the time, relative to the others. */
  readonly share: number;
}

const SUITES: readonly NamedSuite[] = [
  { name: "framing", title: "Framings", rows: framingRows, share: 0.08 },
  {
    name: "simulation",
    title: "Simulation",
    rows: simulationRows,
    share: 0.16,
  },
  { name: "faults", title: "Faults on the way", rows: faultRows, share: 0.1 },
  { name: "load", title: "Load", rows: loadRows, share: 0.5 },
  { name: "hostile", title: "Hostile peers", rows: hostileRows, share: 0.1 },
  {
    name: "production",
    title: "The server of docs/production.md",
    rows: productionRows,
    share: 0.04,
  },
  {
    name: "fairness",
    title: "A busy thread",
    rows: fairnessRows,
    share: 0.08,
  },
  { name: "process", title: "The process", rows: processRows, share: 0.02 },
];
const NAMES = SUITES.map(({ name }) => name);
const REPORT = new URL("report.md", import.meta.url);

const USAGE = `Usage: deno task stress [options]

  --seconds N   the time for all suites (${FULL_SECONDS}: full sizes); each has a least
                size, so that short times are exceeded
  --seed N      where random numbers begin, to repeat a run
  --only NAMES  some suites, with commas between; they share the time
  --report      write dev/stress/report.md
  --help        show this

Suites: ${NAMES.join(", ")}`;

interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly suites: readonly NamedSuite[];
  readonly isReported: boolean;
  readonly isHelp: boolean;
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: `${FULL_SECONDS}` },
      seed: { type: "string", default: `${Date.now() % 2 ** 31}` },
      only: { type: "string" },
      report: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  if (!(seconds > 0 && seconds < Infinity)) {
    throw new RangeError(
      `--seconds must be above 0: current value is ${values.seconds}`,
    );
  }
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(
      `--seed must be a whole number: current value is ${values.seed}`,
    );
  }
  const wanted = values.only?.split(",") ?? NAMES;
  const unknown = wanted.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`There is no suite "${unknown}"`);
  }
  if (values.report && values.only !== undefined) {
    throw new TypeError("--report is of all suites: it cannot be with --only");
  }
  return {
    seconds,
    seed,
    suites: SUITES.filter(({ name }) => wanted.includes(name)),
    isReported: values.report,
    isHelp: values.help,
  };
}

async function runSuite(
  { title, rows }: NamedSuite,
  seconds: number,
  seed: number,
): Promise<SuiteResult> {
  console.log(`\n${title}, for about ${Math.round(seconds)} s`);
  const result: ReportRow[] = [];
  try {
    for await (const row of rows({ seconds, seed })) {
      result.push(row);
      console.log(rowText(row));
    }
  } catch (error) {
    console.error(error);
    return { title, rows: result, failure: error };
  }
  return { title, rows: result };
}

/** Writes the page, formatted by `deno fmt`. */
async function writeReport(text: string): Promise<void> {
  await Deno.writeTextFile(REPORT, text);
  await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", fileURLToPath(REPORT)],
  }).output();
}

async function main(): Promise<void> {
  const { seconds, seed, suites, isReported, isHelp } = parseOptions();
  if (isHelp) return console.log(USAGE);
  console.log(`Seed ${seed}, ${seconds} seconds`);
  const whole = suites.reduce((sum, { share }) => sum + share, 0);
  const results: SuiteResult[] = [];
  for (const suite of suites) {
    const share = seconds * suite.share / whole;
    results.push(await runSuite(suite, share, seed));
  }
  if (isReported) {
    await writeReport(reportText(results, { seconds, seed }));
  }
  // Resources that a failed suite has left open must not keep the process alive.
  Deno.exit(results.some(hasFailed) ? 1 : 0);
}

await main();
