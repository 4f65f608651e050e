/**
 * Measures how the module's time and memory grow with the amount of work.
 *
 * Each quantity is doubled four times. Time for each unit should stay the same,
 * and so should the memory at its peak.
 */

import type { SubjectName } from "./cases.ts";
import { Contender, type Sample, type Task, tooFewFiles } from "./contender.ts";
import { spreadOf } from "./measure.ts";
import {
  messageOf,
  type Program,
  type ProgramName,
  programOf,
} from "./programs.ts";

const FACTORS = [1, 2, 4, 8, 16];

/** Every step warms up for the same time, otherwise the smallest would be the slowest. */
const WARM_UP_MS = 300;

const LARGE_MESSAGE_LENGTH = 2 ** 20;
const SEGMENT_LENGTH = 1460;

/** A quantity that is multiplied by `factor`. */
export interface Growth {
  name: string;
  title: string;
  subject: SubjectName;
  /** The unit of the time. */
  unit: string;
  step(factor: number): Step;
}

/** Returns the task, the number of messages, and the unit of the time. */
export interface Step {
  task: Task;
  count: number;
  units: number;
}

/** The cost of a step. */
export interface StepResult {
  units: number;
  nanoseconds: number;
  cpuNanoseconds: number;
  peakResidentBytes: number;
  /** Memory for each connection, if connections are kept. */
  bytes?: number;
}

/** Time and memory for each doubling of a quantity. */
export interface GrowthResult {
  name: string;
  title: string;
  unit: string;
  steps: StepResult[];
  /** The reason for missing steps. */
  failed?: string;
  /** The reason if this step and later ones were not run. */
  skipped?: string;
}

function receiving(messageLength: number, firstCount: number): Growth["step"] {
  return (factor) => {
    const count = firstCount * factor;
    return { task: { mode: "source", messageLength }, count, units: count };
  };
}

/** All quantities, in the order of the report. */
export const GROWTHS: Growth[] = [
  {
    name: "growth-messages",
    title: "More messages of 64 bytes received, iterating",
    subject: "framed/receive-iterating",
    unit: "message",
    step: receiving(64, 200_000),
  },
  {
    name: "growth-bytes",
    title: "More bytes received, in messages of 64 KiB, batches()",
    subject: "framed/receive-batches",
    unit: "message",
    step: receiving(2 ** 16, 1_000),
  },
  {
    name: "growth-sends",
    title: "More messages of 64 bytes sent, each awaited",
    subject: "framed/send-awaited",
    unit: "message",
    step: (factor) => {
      const count = 200_000 * factor;
      return { task: { mode: "sink", messageLength: 64 }, count, units: count };
    },
  },
  {
    name: "growth-chunks",
    title: "More chunks for each message of 1 MiB, decoded in memory",
    subject: "framed/decode-lines",
    unit: "chunk",
    step: (factor) => {
      const chunkLength = 2 ** 12 / factor;
      const task = {
        mode: "memory",
        messageLength: LARGE_MESSAGE_LENGTH,
        chunkLength,
      } as const;
      return {
        task,
        count: 64,
        units: 64 * LARGE_MESSAGE_LENGTH / chunkLength,
      };
    },
  },
  {
    name: "growth-length",
    title:
      "Longer messages from 1 MiB, in chunks of 1460 bytes, decoded in memory",
    subject: "framed/decode-lines",
    unit: "chunk",
    step: (factor) => {
      const messageLength = LARGE_MESSAGE_LENGTH * factor;
      const task = {
        mode: "memory",
        messageLength,
        chunkLength: SEGMENT_LENGTH,
      } as const;
      const count = 64 / factor;
      return { task, count, units: count * messageLength / SEGMENT_LENGTH };
    },
  },
  {
    name: "growth-connections",
    title: "More connections, opened, used once and idle",
    subject: "framed/echo-iterating",
    unit: "connection",
    step: (factor) => {
      const count = 625 * factor;
      return { task: { mode: "open", messageLength: 64 }, count, units: count };
    },
  },
];

/** Measures the module while a quantity is doubled four times. */
export async function measureGrowth(
  { name, title, subject, unit, step }: Growth,
  programs: Map<ProgramName, Program>,
  runs: number,
): Promise<GrowthResult> {
  const result: GrowthResult = { name, title, unit, steps: [] };
  const program = programs.get(programOf(subject));
  if (program === undefined) return { ...result, failed: "cannot be started" };
  try {
    for (const factor of FACTORS) {
      const next = step(factor);
      const skipped = next.task.mode === "open" &&
        await tooFewFiles(next.count);
      if (skipped) return { ...result, skipped };
      result.steps.push(await measureStep(subject, program, runs, next));
    }
    return result;
  } catch (error) {
    return { ...result, failed: messageOf(error) };
  }
}

async function measureStep(
  subject: SubjectName,
  program: Program,
  runs: number,
  { task, count, units }: Step,
): Promise<StepResult> {
  await using contender = await Contender.start(subject, task, program);
  if (task.mode === "open") {
    const sample = await contender.runOpen(count);
    const { peakResidentBytes } = contender;
    return { units, peakResidentBytes, ...sample };
  }
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end;) {
    await contender.run(count);
  }
  const samples: Sample[] = [];
  for (let run = 0; run < runs; run++) samples.push(await contender.run(count));
  const medianOf = (field: "nanoseconds" | "cpuNanoseconds") =>
    spreadOf(samples.map((sample) => sample[field])).median * count / units;
  return {
    units,
    nanoseconds: medianOf("nanoseconds"),
    cpuNanoseconds: medianOf("cpuNanoseconds"),
    peakResidentBytes: contender.peakResidentBytes,
  };
}
