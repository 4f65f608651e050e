/** What the suites found, as text: lines for the terminal, and a page. */
import config from "../../deno.json" with { type: "json" };
import type { ReportRow } from "./report_row.ts";

/** What became of a suite. */
export interface SuiteResult {
  readonly title: string;
  readonly rows: readonly ReportRow[];
  /** What it threw, if it did. */
  readonly failure?: unknown;
}

/** How the suites were run. */
export interface RunOptions {
  readonly seconds: number;
  readonly seed: number;
}

/** Whether anything was not as it must be. */
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
    "# Reliability",
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
    FOUND,
    NOT_TRIED,
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

const INTRODUCTION = `A library for sockets is trusted for what it does on bad
days. Here such days are made, on purpose and in numbers. \`deno task stress\`
runs all of it, and \`deno task stress --report\` writes this page. Short forms
of the same run in \`deno task test\`.`;

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

const FOUND = `## What was found

Each has a test that fails without its fix.

- \`close()\` beside \`closeWrite()\`, for a peer that was still sending: the
  connection was reset, and what the peer had not read yet was lost (found by a
  random program).
- A half-close that a peer does not take, as over TLS before the handshake, held
  a connection open whatever the timeouts (found by a silent peer).
- Peers that were gone before they were accepted made a server pause, 100 ms for
  each (found by resets at byte 0).
- Connections that could read or write without end held up all others: 150 ms
  beside 20 peers that sent and never read (which found it), 1.8 s beside 20 that
  took all the short lines they were sent. Now they pause; 2 to 10 ms.`;

const NOT_TRIED = `## What was not tried

- Anything but this machine: no real network, no other kernel, no other hardware.
  CI is set up to run the short forms
  on macOS and Windows, without load; they have not been run there.
- Packets that are lost, late, doubled or damaged, and links that go down: the
  kernel's part of TCP hides them from a program, except for the time that they take.
  0.1 was run over such links, and nothing was found.
- A run of days, or more connections than the table says: both need more ports and
  more memory than one machine of this size has.
- Resets by the module's own side: Deno cannot ask the system for one.
- The relay's faults at each byte of a TLS connection: its workloads are in the
  clear. Hostile peers and the soak use TLS.
- A relay between large messages and a receiver that has half-closed: Deno's
  \`node:net\`, of which the relay is made, drops bytes then. Without the relay it
  was tried.
- Memory that runs out, a full disk, a clock that jumps, a process that is stopped
  and goes on.
- Deliberate attacks on TLS itself, and on the kernel: floods of SYN or of
  fragments never reach the module.
- Other versions of Deno than the one above.`;
