/** Results as padded Markdown, for the terminal and for a file. */

import { type Comparison, describe } from "./cases.ts";
import type { GrowthResult } from "./growth.ts";
import type { CaseResult, ComparisonResult, Spread } from "./measure.ts";
import { type ProgramName, programOf } from "./programs.ts";

/** The machine, the time and the versions of a measurement. */
export interface Environment {
  date: string;
  processor: string;
  processors: number;
  memoryBytes: number;
  system: string;
  versions: string[];
  /** Programs that could not take part, with the reasons. */
  missing: { program: ProgramName; reason: string }[];
  rounds: number;
  runSeconds: number;
}

/** All results. */
export interface Report {
  environment: Environment;
  cases: CaseResult[];
  growth: GrowthResult[];
}

const BUSY_LOAD = 0.9;

function formatTime(nanoseconds: number): string {
  if (nanoseconds < 999.5) return `${nanoseconds.toPrecision(3)} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toPrecision(3)} µs`;
  return `${(nanoseconds / 1e6).toPrecision(3)} ms`;
}

function formatBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}

function formatRate(nanoseconds: number): string {
  return formatCount(Number((1e9 / nanoseconds).toPrecision(3)));
}

/** The maximum distance of the range from the median. */
function formatDeviation({ median, least, most }: Spread): string {
  return `±${
    (Math.max(most - median, median - least) / median * 100).toFixed(0)
  }%`;
}

/** A ratio with two decimals: `1.62×`. */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(2)}×`;
}

/** A ratio with its range: `1.02× (0.97× to 1.05×)`; empty if there is none. */
function formatSpread(ratio: Spread | undefined): string {
  if (ratio === undefined) return "";
  const [median, least, most] = [ratio.median, ratio.least, ratio.most]
    .map(formatRatio);
  return `${median} (${least} to ${most})`;
}

function table(rows: string[][]): string {
  const [header = [], ...body] = rows;
  const widths = header.map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0))
  );
  const line = (cells: string[]) =>
    `| ${
      cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")
    } |`;
  return [header, widths.map((width) => "-".repeat(width)), ...body].map(line)
    .join("\n");
}

/** The title of a comparison: `batches() beside Node: net`. */
export function comparisonTitle(comparison: Comparison): string {
  const { subject, beside, metric } = comparison;
  const own = describe(subject).label.replace("@framed/tcp: ", "");
  const other = programOf(beside) === "0.1" ? "0.1" : describe(beside).label;
  const title = `${own} beside ${other}`;
  return metric === "memory" ? `${title}, memory` : title;
}

/** Whether a goal is reached, by the digits shown. */
export function isReached(ratio: number, reach: number): boolean {
  return Number(ratio.toFixed(2)) >= Number(reach.toFixed(2));
}

function formatGoal({ ratio, reach }: ComparisonResult): string {
  if (reach === undefined) return "";
  const verdict = isReached(ratio.median, reach) ? "reached" : "not reached";
  return `${formatRatio(reach)} ${verdict}`;
}

/** One case: a table of its subjects and a table of the ratios. */
export function caseText(result: CaseResult): string {
  const { title, unit, results, comparisons, missing, failed, skipped } =
    result;
  const hasLoad = results.some(({ loadBusy }) => loadBusy);
  const hasMemory = results.some(({ bytes }) => bytes);
  const has01 = results.some(({ beside01 }) => beside01);
  const subjects = table([
    [
      "",
      `time a ${unit}`,
      "",
      `${unit}s a second`,
      "CPU time",
      ...(hasLoad ? ["far side busy"] : []),
      ...(hasMemory ? ["memory", ""] : []),
      ...(has01 ? ["beside 0.1", "of CPU time"] : []),
      ...(has01 && hasMemory ? ["of memory"] : []),
    ],
    ...results.map((
      { subject, nanoseconds, cpuNanoseconds, loadBusy, bytes, beside01 },
    ) => [
      describe(subject).label,
      formatTime(nanoseconds.median),
      formatDeviation(nanoseconds),
      formatRate(nanoseconds.median),
      formatTime(cpuNanoseconds.median),
      ...(loadBusy ? [`${(loadBusy.median * 100).toFixed(0)}%`] : []),
      ...(bytes ? [formatBytes(bytes.median), formatDeviation(bytes)] : []),
      ...(has01 ? [formatSpread(beside01?.time)] : []),
      ...(has01 ? [beside01 ? formatRatio(beside01.cpuTime.median) : ""] : []),
      ...(has01 && hasMemory ? [formatSpread(beside01?.memory)] : []),
    ]),
  ]);
  const ratios = table([
    [
      "ratio",
      "median",
      "least to most",
      "to reach",
      "limit",
      "of CPU time",
    ],
    ...comparisons.map((comparison) => [
      comparisonTitle(comparison),
      formatRatio(comparison.ratio.median),
      `${formatRatio(comparison.ratio.least)} to ${
        formatRatio(comparison.ratio.most)
      }`,
      formatGoal(comparison),
      comparison.limit === undefined ? "" : formatRatio(comparison.limit),
      comparison.metric === "memory"
        ? ""
        : formatRatio(comparison.cpuRatio.median),
    ]),
  ]);
  const busy = results.filter(({ nanoseconds, cpuNanoseconds, loadBusy }) =>
    loadBusy && loadBusy.median > BUSY_LOAD &&
    cpuNanoseconds.median < nanoseconds.median * BUSY_LOAD
  );
  const notes = [
    ...(skipped ? [`- skipped, ${skipped}`] : []),
    ...missing.map(({ subject, reason }) =>
      `- ${describe(subject).label}: not compared, ${reason}`
    ),
    ...failed.map(({ subject, reason }) =>
      `- ${describe(subject).label}: failed, ${reason}`
    ),
    ...busy.map(({ subject }) =>
      `- ${describe(subject).label}: the far side was the limit`
    ),
  ].join("\n");
  return [
    `## ${title}`,
    results.length > 0 && subjects,
    comparisons.length > 0 && ratios,
    notes,
  ].filter(Boolean).join("\n\n");
}

/** The table of one doubled quantity. */
export function growthText(result: GrowthResult): string {
  const { title, unit, steps, failed, skipped } = result;
  const [first] = steps;
  const hasBytes = steps.some(({ bytes }) => bytes !== undefined);
  const toFirst = (value: number, ofFirst: number | undefined) =>
    formatRatio(value / (ofFirst ?? NaN));
  const rows = steps.map((step) => [
    formatCount(step.units),
    formatTime(step.nanoseconds),
    toFirst(step.nanoseconds, first?.nanoseconds),
    formatTime(step.cpuNanoseconds),
    toFirst(step.cpuNanoseconds, first?.cpuNanoseconds),
    formatBytes(step.peakResidentBytes),
    ...(step.bytes === undefined ? [] : [formatBytes(step.bytes)]),
  ]);
  const header = [
    `${unit}s`,
    `time a ${unit}`,
    "to the first",
    "CPU time",
    "to the first",
    "process at its peak",
  ];
  return [
    `## ${title}`,
    table([[...header, ...(hasBytes ? [`memory a ${unit}`] : [])], ...rows]),
    skipped && `- skipped, ${skipped}`,
    failed && `- failed, ${failed}`,
  ].filter(Boolean).join("\n\n");
}

/** The machine, the time and the versions of a measurement. */
export function environmentText(environment: Environment): string {
  const {
    date,
    processor,
    processors,
    memoryBytes,
    system,
    versions,
    missing,
  } = environment;
  const { rounds, runSeconds } = environment;
  return [
    `- ${date}, ${system}`,
    `- ${processor}, ${processors} processors, ${formatBytes(memoryBytes)}`,
    ...versions.map((version) => `- ${version}`),
    `- ${rounds} rounds after a warm-up, ${runSeconds} s a run, all subjects in turn in each round`,
    ...missing.map(({ program, reason }) =>
      `- Cannot take part: ${program} (${reason})`
    ),
  ].join("\n");
}

/** The notes on how to read the tables. */
export const LEGEND =
  `Times are medians; ± is the farthest round. CPU time is that of the subject's
process, user and system, all threads together. A ratio is the other's time (or
memory) divided by the module's in the same round, so above 1 the module is
better; its median is that of the rounds. _Beside 0.1_ is the ratio to the same in
version 0.1, which takes its turn in the same rounds. _To reach_ is the goal set for a
ratio, _limit_ what seems possible at best; _of CPU time_ is the same ratio of
CPU times.`;

/** The complete report. */
export function reportText({ environment, cases, growth }: Report): string {
  return [
    "# Performance",
    environmentText(environment),
    LEGEND,
    ...cases.map(caseText),
    ...growth.map(growthText),
  ].join("\n\n") + "\n";
}
