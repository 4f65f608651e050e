/** The lines of the report on peers that are healthy while the server is busy. */
import { assertEquals } from "@std/assert";
import {
  busyWhileConnecting,
  busyWhileOthersBeat,
  busyWhileReceiving,
  busyWhileSending,
  busyWithLinesThere,
  overloaded,
} from "./fairness.ts";
import type { Report, Setup } from "./fairness_server.ts";
import { type ReportRow, skippedRow, type SuiteOptions } from "./report_row.ts";

interface Case {
  readonly workload: string;
  readonly fault: string;
  readonly peers: number;
  /** The number of additional silent peers, which must be ended. */
  readonly silent?: number;
  readonly run: () => Promise<Report>;
}

const LONG_MESSAGE_BYTES = 200_000_000;

/** The cases; all times are in proportion to `limit`. */
function casesFor(limit: number, folder: string): Case[] {
  const { round } = Math;
  const over = round(limit * 1.1);
  const idle = { idleTimeout: limit };
  const both = { ...idle, messageTimeout: limit };
  const tcp = (timeouts: Setup["timeouts"]): Setup => ({
    door: "tcp",
    timeouts,
  });
  const beats = { interval: round(limit / 5), milliseconds: over, silent: 2 };
  return [
    ...[1, 129, 200, 500].map((peers): Case => ({
      workload: `a line in each socket, ${peers} connections`,
      fault: "the thread is busy",
      peers,
      run: () => busyWithLinesThere(peers, tcp(idle), over),
    })),
    {
      workload: "a line in each Unix socket, 500 connections",
      fault: "the thread is busy",
      peers: 500,
      run: () =>
        busyWithLinesThere(
          500,
          { door: { path: `${folder}/fair.sock` }, timeouts: idle },
          over,
        ),
    },
    {
      workload: "a line in each socket, 100 connections with TLS",
      fault: "the thread is busy",
      peers: 100,
      run: () => busyWithLinesThere(100, { door: "tls", timeouts: idle }, over),
    },
    {
      workload: "300 peers that beat, and 2 that are silent",
      fault: "the thread is busy",
      peers: 300,
      silent: 2,
      run: () => busyWhileOthersBeat(300, tcp(both), beats),
    },
    {
      workload: "300 peers that beat, and 2 that are silent",
      fault: "SIGSTOP, then SIGCONT",
      peers: 300,
      silent: 2,
      run: () =>
        busyWhileOthersBeat(300, tcp(both), { ...beats, isStopped: true }),
    },
    {
      workload:
        "400 peers that always send on a Unix socket, and 2 that are silent",
      fault: "too much work for the thread",
      peers: 400,
      silent: 2,
      run: () =>
        overloaded(400, {
          // Over TCP they fill 1.5 GB. The system then drops their packets, and sends
          // them again so late that the peers are silent.
          door: { path: `${folder}/flood.sock` },
          timeouts: { idleTimeout: 300, readBufferSize: 512 },
          work: 0.02,
        }, {
          milliseconds: Math.max(1000, limit),
          silent: 2,
        }),
    },
    {
      workload: "a message of 200 MB to a peer that reads",
      fault: "the thread is busy",
      peers: 1,
      run: () =>
        busyWhileSending(
          { ...tcp({ sendTimeout: limit }), sends: LONG_MESSAGE_BYTES },
          over,
        ),
    },
    {
      workload: "a message of 200 MB from a peer",
      fault: "the thread is busy",
      peers: 1,
      run: () =>
        busyWhileReceiving(tcp({ messageTimeout: limit }), {
          bytes: LONG_MESSAGE_BYTES,
          milliseconds: over,
        }),
    },
  ];
}

/** The lines of the report: only silent peers are ended. */
export async function* fairnessRows(
  { seconds }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  if (Deno.build.os === "windows") {
    yield skippedRow("peers of a busy server", "Windows has no SIGSTOP");
    return;
  }
  const limit = Math.min(5000, Math.max(400, seconds * 50));
  const folder = await Deno.makeTempDir();
  try {
    for (const each of casesFor(limit, folder)) {
      const { workload, fault, peers, silent = 0, run } = each;
      const { open, ended } = await run();
      assertEquals(
        { open, ended },
        { open: peers, ended: silent === 0 ? {} : { idleTimeout: silent } },
        `${workload}: ${fault}`,
      );
      yield row(workload, fault, peers + silent, `${silent} ended`);
    }
    const count = 500;
    const failures = await busyWhileConnecting({
      count,
      milliseconds: Math.round(limit * 1.1),
      connectTimeout: limit,
    });
    assertEquals(failures, 0, "connect()");
    yield row(
      "connect(), 500 concurrently",
      "the thread is busy",
      count,
      "0 ended",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function row(
  workload: string,
  fault: string,
  operations: number,
  note: string,
): ReportRow {
  return {
    workload,
    fault,
    operations,
    lost: 0,
    duplicated: 0,
    unsettled: 0,
    peakMemory: Deno.memoryUsage().rss,
    note: `${note}; memory is that of the peers`,
  };
}
