// deno-lint-ignore-file no-console

/**
 * Measures the module and its peers in the same run.
 *
 * Every subject runs in its own process, and so does the far side of its sockets, which
 * is the same for all. Linux only: CPU time and memory are read from `/proc`, and the
 * far side calls glibc.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { CASES, subjectsOf } from "./cases.ts";
import { drawChart } from "./chart.ts";
import { type GrowthResult, GROWTHS, measureGrowth } from "./growth.ts";
import { type CaseResult, measureCase } from "./measure.ts";
import {
  messageOf,
  preparePrograms,
  PROGRAM_NAMES,
  type ProgramName,
  programOf,
} from "./programs.ts";
import {
  caseText,
  type Environment,
  environmentText,
  growthText,
  LEGEND,
  reportText,
} from "./report.ts";

const NAMES = [...CASES, ...GROWTHS].map(({ name }) => name);
const PEERS = PROGRAM_NAMES.filter((name) => name !== "framed");

const USAGE = `Usage: deno task bench [options]

  --only NAMES     only these cases, and those whose names begin so, with commas between
  --peers NAMES    beside these peers only, with commas between
  --rounds N       rounds after the warm-up (5; with --quick 3)
  --quick          shorter runs: rough numbers in a few minutes
  --json FILE      write all samples
  --svg FILE       draw the ratios
  --markdown FILE  write the tables
  --help           show this

What changed since 0.1, where messages are received and echoed:

  deno task bench --only receive,echo --peers 0.1

Cases: ${NAMES.join(", ")}

Peers: ${PEERS.join(", ")}`;

interface Options {
  names: string[];
  peers: ProgramName[];
  rounds: number;
  runSeconds: number;
  growthRuns: number;
  json?: string | undefined;
  svg?: string | undefined;
  markdown?: string | undefined;
  help: boolean;
}

/** The names of `all` in a comma-separated list, or all without a list. */
function choose<Name extends string>(
  all: Name[],
  list: string | undefined,
  matches: (name: Name, wanted: string) => boolean,
): Name[] {
  const wanted = list?.split(",");
  const unknown = wanted?.find((word) =>
    !all.some((name) => matches(name, word))
  );
  if (unknown !== undefined) {
    throw new TypeError(`There is no "${unknown}": ${all.join(", ")}`);
  }
  return all.filter((name) =>
    wanted?.some((word) => matches(name, word)) ?? true
  );
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      svg: { type: "string" },
      markdown: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new RangeError(
      `--rounds must be a positive integer: current value is ${values.rounds}`,
    );
  }
  return {
    ...values,
    names: choose(NAMES, values.only, (name, start) => name.startsWith(start)),
    peers: choose(PEERS, values.peers, (name, word) => name === word),
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

/** A peer may be missing, but not the module. */
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
  const takesPart = (name: ProgramName) =>
    name === "framed" || options.peers.includes(name);
  const growths = GROWTHS.filter(({ name }) => options.names.includes(name));

  console.error("Preparing the peers");
  await using stack = new AsyncDisposableStack();
  const { programs, missing } = await preparePrograms([
    "framed",
    ...cases.flatMap(subjectsOf).map(programOf).filter(takesPart),
  ], stack);
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
