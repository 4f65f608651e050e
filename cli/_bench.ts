/**
 * `bench`: how many requests a server answers, and how fast.
 *
 * @module
 */
import { type Framing, type Sendable, unframed } from "../framing.ts";
import { benchCode } from "./_bench_code.ts";
import { type BenchPlan, planBench } from "./_bench_plan.ts";
import type { Command } from "./_command.ts";
import { open } from "./_connection_flags.ts";
import { duration, size } from "./_format.ts";
import { Load, type LoadConnection } from "./_load.ts";
import { reasonOf } from "./_reason.ts";
import type { Shell } from "./_shell.ts";
import { placeName } from "./_values.ts";

/** The program that does the same. */
export function code(command: Command): Promise<string> {
  return benchCode(command, planBench(command));
}

/** Measures, and prints the result. */
export async function run(command: Command, shell: Shell): Promise<number> {
  const plan = planBench(command);
  const { interrupted } = shell;
  // Requests are encoded once, and go out as they are.
  const framing: Framing<unknown, Sendable> = {
    decoder: plan.chosen.own.decoder,
    encoder: unframed().encoder,
  };
  const connections = await connectAll(command, plan, framing, interrupted);
  const load = new Load(plan, connections);
  const stopProgress = shell.isErrorTerminal && !plan.isJson
    ? showProgress(load, plan, shell)
    : undefined;
  // Ctrl-C ends the run, and prints what was measured until then.
  await load.run(interrupted);
  stopProgress?.();
  const result = resultOf(plan, load);
  await shell.write(
    plan.isJson ? `${JSON.stringify(result)}\n` : `${textOf(result)}\n`,
  );
  const { errors } = load;
  if (errors.length > 0) {
    shell.note(
      `framed: ${errors.length} of ${plan.connections} connections failed: ${
        reasonOf(errors[0])
      }`,
    );
  } else if (load.answered === 0) shell.note("framed: No request was answered");
  return errors.length > 0 || load.answered === 0 ? 1 : 0;
}

async function connectAll(
  { flags }: Command,
  { place, connections }: BenchPlan,
  framing: Framing<unknown, Sendable>,
  interrupted: AbortSignal,
): Promise<LoadConnection[]> {
  // Ctrl-C ends connecting; later it ends only the sending.
  const connecting = new AbortController();
  const onAbort = () => connecting.abort(interrupted.reason);
  interrupted.addEventListener("abort", onAbort);
  const made: LoadConnection[] = [];
  try {
    while (made.length < connections) {
      made.push(await open(flags, place, { framing }, connecting.signal));
    }
    return made;
  } catch (error) {
    for (const connection of made) connection.abort();
    throw error;
  } finally {
    interrupted.removeEventListener("abort", onAbort);
  }
}

/** The result; times are in milliseconds. */
interface Result {
  readonly target: string;
  readonly connections: number;
  readonly pipeline: number;
  /** The requested rate in requests a second. */
  readonly rate: number | null;
  /** How long requests were sent. */
  readonly seconds: number;
  /** How many were answered, in this time or right after. */
  readonly requests: number;
  /** How many a second were answered in this time. */
  readonly requestsPerSecond: number;
  readonly unanswered: number;
  readonly failedConnections: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly latency: Readonly<Record<string, number>>;
}

const PERCENTILES = [50, 90, 99, 99.9];

function resultOf(plan: BenchPlan, load: Load): Result {
  const { latencies, elapsed, answered, answeredInTime } = load;
  const milliseconds = (nanoseconds: number) =>
    latencies.count === 0 ? 0 : Math.round(nanoseconds / 1000) / 1000;
  return {
    target: placeName(plan.place),
    connections: plan.connections,
    pipeline: plan.pipeline,
    rate: plan.rate ?? null,
    seconds: Math.round(elapsed) / 1000,
    requests: answered,
    requestsPerSecond: Math.round(
      answeredInTime * 1000 / Math.max(elapsed, 1),
    ),
    unanswered: load.unanswered,
    failedConnections: load.errors.length,
    bytesSent: load.bytesSent,
    bytesReceived: load.bytesReceived,
    latency: {
      min: milliseconds(latencies.min),
      mean: milliseconds(latencies.mean),
      ...Object.fromEntries(
        PERCENTILES.map((
          each,
        ) => [`p${each}`, milliseconds(latencies.percentile(each))]),
      ),
      max: milliseconds(latencies.max),
    },
  };
}

function textOf(result: Result): string {
  const { requests, seconds, requestsPerSecond, unanswered, latency } = result;
  const number = (value: number) => value.toLocaleString("en");
  return [
    `Requests  ${number(requests)} in ${seconds} s, ${
      number(requestsPerSecond)
    } a second${
      unanswered === 0 ? "" : `, and ${number(unanswered)} unanswered`
    }`,
    `Bytes     ${size(result.bytesSent)} sent, ${
      size(result.bytesReceived)
    } received`,
    ...requests === 0 ? [] : [
      `Latency   ${
        Object.entries(latency).map(([name, value]) =>
          `${name} ${duration(value)}`
        ).join("  ")
      }`,
    ],
  ].join("\n");
}

const PROGRESS_MS = 200;
const BAR_WIDTH = 30;

/** Shows a progress bar; returns a function that removes it. */
function showProgress(load: Load, plan: BenchPlan, shell: Shell): () => void {
  const draw = () => {
    const part = Math.max(0, Math.min(1, load.elapsed / plan.time));
    const filled = Math.round(part * BAR_WIDTH);
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
    const rate = Math.round(
      load.answeredInTime * 1000 / Math.max(1, load.elapsed),
    );
    shell.noteRaw(
      `\r[${bar}] ${Math.round(part * 100)} %  ${
        rate.toLocaleString("en")
      } a second\x1b[K`,
    );
  };
  const timer = setInterval(draw, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    shell.noteRaw("\r\x1b[K");
  };
}
