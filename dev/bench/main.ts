// deno-lint-ignore-file no-console

/**
 * Measures the module beside its peers, in the same run.
 *
 * Every subject is a process of its own, and so is the far side of its sockets,
 * which is the same for all. Linux only: CPU time and memory are read from
 * `/proc`, and the far side calls glibc.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { CASES } from "./cases.ts";
import { drawChart } from "./chart.ts";
import { type GrowthResult, GROWTHS, measureGrowth } from "./growth.ts";
import { type CaseResult, measureCase } from "./measure.ts";
import { messageOf, preparePrograms, programOf } from "./programs.ts";
import {
  caseText,
  type Environment,
  environmentText,
  growthText,
  LEGEND,
  reportText,
} from "./report.ts";

const NAMES = [...CASES, ...GROWTHS].map(({ name }) => name);

const USAGE = `Usage: deno task bench [options]

  --case NAME      measure only this case, or those whose names begin so; may be repeated
  --rounds N       rounds after the warm-up (5; with --quick 3)
  --quick          shorter runs: rough numbers in under two minutes
  --json FILE      write all samples
  --svg FILE       draw the ratios
  --markdown FILE  write the tables
  --help           show this

Cases: ${NAMES.join(", ")}`;

interface Options {
  names: string[];
  rounds: number;
  runSeconds: number;
  growthRuns: number;
  json?: string | undefined;
  svg?: string | undefined;
  markdown?: string | undefined;
  help: boolean;
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      case: { type: "string", multiple: true, default: [] },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      svg: { type: "string" },
      markdown: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const wanted = values.case;
  const names = wanted.length === 0
    ? NAMES
    : NAMES.filter((name) => wanted.some((start) => name.startsWith(start)));
  const unknown = wanted.find((start) =>
    !NAMES.some((name) => name.startsWith(start))
  );
  if (unknown !== undefined) {
    throw new TypeError(`There is no case "${unknown}"`);
  }
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new RangeError(
      `--rounds must be a positive integer: current value is ${values.rounds}`,
    );
  }
  return {
    ...values,
    names,
    rounds,
    runSeconds: values.quick ? 0.1 : 0.4,
    growthRuns: values.quick ? 1 : 3,
  };
}

function describeMachine(): Pick<
  Environment,
  "date" | "processor" | "processors" | "memoryBytes" | "system"
> {
  const processor = /^model name\s*:\s*(.*)$/m.exec(
    Deno.readTextFileSync("/proc/cpuinfo"),
  )?.[1];
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: processor ?? Deno.build.arch,
    processors: navigator.hardwareConcurrency,
    memoryBytes: Deno.systemMemoryInfo().total,
    system: `Linux ${Deno.osRelease()}`,
  };
}

/** A peer may be missing, the module may not. */
function hasFailed({ failed, missing }: CaseResult): boolean {
  return failed.length > 0 ||
    missing.some(({ subject }) => programOf(subject) === "framed");
}

async function measure(options: Options): Promise<void> {
  if (Deno.build.os !== "linux") {
    throw new Error(
      "Cannot measure: CPU time and memory are read from Linux's /proc",
    );
  }
  const cases = CASES.filter(({ name }) => options.names.includes(name));
  const growths = GROWTHS.filter(({ name }) => options.names.includes(name));

  console.error("Preparing the peers");
  const { programs, missing } = await preparePrograms([
    "framed",
    ...cases.flatMap(({ subjects }) => subjects.map(programOf)),
  ]);
  const environment: Environment = {
    ...describeMachine(),
    versions: [...new Set(programs.values().map(({ version }) => version))],
    missing: [...missing].map(([program, reason]) => ({ program, reason })),
    rounds: options.rounds,
    runSeconds: options.runSeconds,
  };
  console.log(`${environmentText(environment)}\n\n${LEGEND}`);

  const results: CaseResult[] = [];
  for (const task of cases) {
    const result = await measureCase(task, programs, options);
    results.push(result);
    console.log(`\n${caseText(result)}`);
  }
  const growth: GrowthResult[] = [];
  for (const quantity of growths) {
    const result = await measureGrowth(quantity, programs, options.growthRuns);
    growth.push(result);
    console.log(`\n${growthText(result)}`);
  }

  const report = { environment, cases: results, growth };
  if (options.json) {
    await Deno.writeTextFile(
      options.json,
      JSON.stringify(report, null, 2) + "\n",
    );
  }
  if (options.svg) await Deno.writeTextFile(options.svg, drawChart(results));
  if (options.markdown) {
    await Deno.writeTextFile(options.markdown, reportText(report));
  }
  if (results.some(hasFailed) || growth.some(({ failed }) => failed)) {
    Deno.exitCode = 1;
  }
}

try {
  const options = parseOptions();
  if (options.help) console.log(USAGE);
  else await measure(options);
} catch (error) {
  console.error(messageOf(error));
  Deno.exitCode = 1;
}
