/** The results of the suites as text: lines for the terminal, and a page. */
import config from "../../deno.json" with { type: "json" };
import type { ReportRow } from "./report_row.ts";

/** The result of a suite. */
export interface SuiteResult {
  readonly title: string;
  readonly rows: readonly ReportRow[];
  /** Its error, if any. */
  readonly failure?: unknown;
}

/** The settings of the run. */
export interface RunOptions {
  readonly seconds: number;
  readonly seed: number;
}

/** Whether anything failed. */
export function hasFailed(result: SuiteResult): boolean {
  return "failure" in result ||
    result.rows.some(({ lost, duplicated, unsettled }) =>
      lost + duplicated + unsettled > 0
    );
}

/** A line for the terminal. */
export function rowText(row: ReportRow): string {
  const { workload, fault, operations, lost, duplicated, unsettled, note } =
    row;
  if (operations === 0) return skippedText(row);
  const counts =
    `${operations} operations, ${lost} lost, ${duplicated} duplicated, ${unsettled} unsettled`;
  return `- ${workload}; ${fault}: ${counts}${note && `; ${note}`}`;
}

function skippedText({ workload, fault, note }: ReportRow): string {
  return `- ${workload}${fault && `, ${fault}`}: ${note}`;
}

/** The page. */
export function reportText(
  results: readonly SuiteResult[],
  { seconds, seed }: RunOptions,
): string {
  const { deno, v8, typescript } = Deno.version;
  const { os, arch } = Deno.build;
  const date = new Date().toISOString().slice(0, 10);
  const megabytes = Math.round(Deno.systemMemoryInfo().total / 1e6);
  return [
    "# One run of all suites",
    INTRODUCTION,
    [
      `- ${date}, seed ${seed}, ${seconds} s`,
      `- ${config.name} ${config.version}, Deno ${deno}, V8 ${v8}, TypeScript ${typescript}`,
      `- ${os} ${Deno.osRelease()}, ${arch}, ${navigator.hardwareConcurrency} processors, ${
        megabytes.toLocaleString("en")
      } MB`,
    ].join("\n"),
    LEGEND,
    ...results.map(suiteText),
  ].join("\n\n") + "\n";
}

function suiteText(result: SuiteResult): string {
  const { title, rows, failure } = result;
  const run = rows.filter(({ operations }) => operations > 0);
  const skipped = rows.filter(({ operations }) => operations === 0);
  const lines = [
    ...skipped.map(skippedText),
    ...("failure" in result ? [`- Failed: ${firstLine(failure)}`] : []),
  ];
  return [
    `## ${title}`,
    ...(run.length === 0 ? [] : [table(run)]),
    ...(lines.length === 0 ? [] : [lines.join("\n")]),
  ].join("\n\n");
}

function firstLine(failure: unknown): string {
  return `${failure}`.split("\n", 1)[0] ?? "";
}

const HEADER = [
  "workload",
  "fault",
  "operations",
  "lost",
  "duplicated",
  "unsettled",
  "peak memory",
  "note",
];
const ALIGNED = ["", "", ":", ":", ":", ":", ":", ""];

function table(rows: readonly ReportRow[]): string {
  const cells = rows.map((row) => [
    row.workload,
    row.fault,
    ...[row.operations, row.lost, row.duplicated, row.unsettled].map((count) =>
      count.toLocaleString("en")
    ),
    `${Math.round(row.peakMemory / 1e6)} MB`,
    row.note,
  ]);
  const all = [HEADER, ...cells];
  const widths = HEADER.map((_, column) =>
    Math.max(3, ...all.map((row) => [...row[column] ?? ""].length))
  );
  const line = (row: readonly string[]) =>
    `| ${
      row.map((cell, column) => {
        const width = widths[column] ?? 0;
        return ALIGNED[column] === ":"
          ? cell.padStart(width)
          : cell.padEnd(width);
      }).join(" | ")
    } |`;
  const rule = widths.map((width, column) => {
    const end = ALIGNED[column] ?? "";
    return "-".repeat(width - end.length) + end;
  });
  return [HEADER, rule, ...cells].map(line).join("\n");
}

const INTRODUCTION =
  `\`deno task stress --report\` writes this page: all that one run of the suites of
this folder tried. What it means for a user is in docs/reliability.md.`;

const LEGEND =
  `Operations are messages, requests, programs or cases, as the line
says. Lost is what was acknowledged and did not arrive; duplicated, what arrived
twice or out of order; unsettled, a promise that did not settle. Each must be 0.
Peak memory is resident memory of the process that does the work: the server's
where it has one of its own, else that of the suite, with all that it notes down. A latency ratio is of the same
clients on the same server with the attack and without it: peers that send as fast
as they can have their share of the processor, as honest ones would, until they
are ended. Clients, attackers and
server share the processors with whatever else runs, so believe only ratios far
from 1.`;
