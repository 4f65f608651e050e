/** The lines of the report on loads. */
import { assert, assertEquals } from "@std/assert";
import {
  type LoadResult,
  openMany,
  readSlowly,
  runOutOfDescriptors,
  storm,
} from "./load.ts";
import { median } from "./median.ts";
import { type ReportRow, skippedRow, type SuiteOptions } from "./report_row.ts";
import { type Sample, slope, soak } from "./soak.ts";

// The seconds that the full sizes take on a slow machine; a shorter run has
// proportionally smaller sizes.
const FULL_SECONDS = 720;
const SOAK_SHARE = 5 / 6;
// In addition to its connections a process has some open files, and closing ones.
const SPARE_DESCRIPTORS = 500;
// More than the heap varies between two measurements; 50,000 connections that leak 100
// bytes each exceed it.
const HEAP_NOISE_BYTES = 4_000_000;

/** Runs the load suite for about `seconds`: ten minutes of soak at full size. */
export async function* loadRows(
  { seconds }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  if (Deno.build.os !== "linux") {
    yield skippedRow(
      "load",
      "only Linux tells descriptors and memory in /proc",
    );
    return;
  }
  const scale = Math.min(1, seconds / FULL_SECONDS);
  const atScale = (full: number, least: number) =>
    Math.max(least, Math.round(full * scale));
  {
    const wanted = atScale(10_000, 100);
    const limit = await maxDescriptors();
    const connections = Math.min(wanted, limit - SPARE_DESCRIPTORS);
    const load = await openMany({ connections, rounds: 5 });
    assertEquals(load.during.connections, connections);
    const each = (load.during.heap - load.before.heap) / connections;
    yield row(
      `request, ${formatted(connections)} open connections`,
      "none",
      load,
      `${kilobytes(each)} a connection in the heap${
        connections < wanted
          ? `; not ${
            formatted(wanted)
          }, as a process may hold ${limit} descriptors here`
          : ""
      }`,
    );
  }
  for (const closer of ["client", "server"] as const) {
    const connections = atScale(50_000, 500);
    const load = await storm({ connections, closer });
    const speed = load.tally.asked / load.milliseconds * 1000;
    yield row(
      `storm of ${
        formatted(connections)
      }: connect, one request, close, 100 concurrently; the ${closer} closes first`,
      "none",
      load,
      `${formatted(Math.round(speed))} connections a second`,
    );
  }
  {
    const connections = atScale(1000, 300);
    const load = await runOutOfDescriptors({
      maxDescriptors: 256,
      connections,
    });
    assert(load.after.shortages > 0, "There were descriptors enough");
    yield row(
      `one request each, ${formatted(connections)} concurrent connections`,
      "the server may hold 256 descriptors",
      load,
      `${load.after.shortages} times without a descriptor`,
    );
  }
  {
    const fast = atScale(1000, 100);
    const load = await readSlowly({ fast, blocks: 10, rounds: 10 });
    const ratio = median(load.beside) / median(load.without);
    yield row(
      `request and broadcast, ${formatted(fast)} fast readers`,
      "a reader that takes 64 KiB each 100 ms of an endless flood, in every other block of rounds",
      load,
      `a round takes ${ratio.toFixed(2)} times as long beside it (median ${
        median(load.beside).toFixed(0)
      } ms and ${
        median(load.without).toFixed(0)
      } ms); ${load.leftOut} messages were not queued for it`,
    );
  }
  {
    const soakSeconds = Math.round(seconds * SOAK_SHARE);
    const load = await soak({ seconds: soakSeconds, sampleSeconds: 5 });
    yield row(
      `mixed: requests, pipelines, broadcasts, half-closes and 1 MiB messages over TCP, TLS and Unix sockets for ${
        formatted(soakSeconds)
      } s`,
      "clients that break off within a message, handlers that throw, messages above maxLength, aborted requests",
      load,
      soakNote(load.samples),
    );
  }
}

/** The growth of the memory, without the first fifth of the run. */
function soakNote(samples: readonly Sample[]): string {
  const steady = samples.slice(Math.ceil(samples.length / 5));
  const last = steady.at(-1);
  if (last === undefined || steady.length < 3) return "too short for a slope";
  const perMinute = (value: (sample: Sample) => number) =>
    kilobytes(slope(steady, value) * 60);
  return `memory grows by ${
    perMinute(({ heap }) => heap)
  } a minute in the heap of the server, ${
    perMinute(({ ownHeap }) => ownHeap)
  } in that of the clients, ${
    perMinute(({ resident }) => resident)
  } in the server's process (${steady.length} samples, the first fifth left out)`;
}

function row(
  workload: string,
  fault: string,
  { tally, before, after }: LoadResult,
  note: string,
): ReportRow {
  for (const [failure, count] of tally.failures) {
    // deno-lint-ignore no-console -- a program that reports
    console.error(`${workload}: ${count} times ${failure}`);
  }
  assertEquals(
    after.descriptors,
    before.descriptors,
    `Descriptors did not come back: ${workload}`,
  );
  const growth = after.heap - before.heap;
  assert(
    growth < HEAP_NOISE_BYTES,
    `Memory did not come back: ${megabytes(growth)} more, ${workload}`,
  );
  return {
    workload,
    fault,
    operations: tally.asked,
    lost: tally.asked - tally.answered - tally.unsettled,
    duplicated: tally.wrong,
    unsettled: tally.unsettled,
    peakMemory: after.peakResident,
    note:
      `${note}; before and after: ${before.descriptors} and ${after.descriptors} descriptors, heap ${
        megabytes(before.heap)
      } and ${megabytes(after.heap)}, process ${
        megabytes(before.resident)
      } and ${megabytes(after.resident)}`,
  };
}

/** The descriptor limit of a process here. */
async function maxDescriptors(): Promise<number> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", "ulimit -Hn"],
  }).output();
  const limit = Number(new TextDecoder().decode(stdout));
  return Number.isNaN(limit) ? Infinity : limit; // "unlimited"
}

function formatted(number: number): string {
  return number.toLocaleString("en");
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1e3).toFixed(1)} kB`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
