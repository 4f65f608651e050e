/** Runs rounds in which all subjects of a case take turns, and summarizes them. */

import {
  type Case,
  type Comparison,
  in01,
  type SubjectName,
  subjectsOf,
} from "./cases.ts";
import {
  Contender,
  roundCount,
  type Sample,
  type Task,
  tooFewFiles,
  Unavailable,
} from "./contender.ts";
import { messagesInBlock } from "./peers/subject.mjs";
import {
  messageOf,
  type Program,
  type ProgramName,
  programOf,
} from "./programs.ts";

/** A shorter warm-up would also measure the just-in-time compilers. */
const LEAST_WARM_UP_SECONDS = 0.3;

/**
 * With one round trip at a time, the final compilation happens only after many
 * messages.
 */
const LEAST_WARM_UP_MESSAGES = 30_000;

/** The maximum length of such a warm-up, in runs. */
const MOST_WARM_UP_RUNS = 8;

/** The first run of a warm-up has at most this many messages, or one block. */
const WARM_UP_MESSAGES = 1024;

/** In the warm-up, a run has at most this many times the messages of the one before. */
const WARM_UP_GROWTH = 8;

/** The amount of measuring. */
export interface MeasureOptions {
  rounds: number;
  /** How long a run should take, in seconds. */
  runSeconds: number;
}

/** The median of some values, and their range. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** The cost of a subject in all rounds. */
export interface SubjectResult {
  subject: SubjectName;
  nanoseconds: Spread;
  cpuNanoseconds: Spread;
  loadBusy?: Spread;
  bytes?: Spread;
  /** The ratios to the same operation in 0.1. */
  beside01?: { time: Spread; cpuTime: Spread; memory?: Spread };
  samples: Sample[];
}

/** A ratio, pair by pair from the same rounds. */
export interface ComparisonResult extends Comparison {
  ratio: Spread;
  /** The ratio of CPU time, which depends less on what else the machine does. */
  cpuRatio: Spread;
}

/** The result of a case. */
export interface CaseResult {
  name: string;
  title: string;
  unit: string;
  results: SubjectResult[];
  comparisons: ComparisonResult[];
  /** The reason why it could not take part. */
  skipped?: string;
  /** Subjects that could not take part, with the reasons. */
  missing: { subject: SubjectName; reason: string }[];
  /** Subjects that took part and failed: too slow, or with a wrong result. */
  failed: { subject: SubjectName; reason: string }[];
}

/** The median and the range of some values. */
export function spreadOf(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? NaN;
  const half = sorted.length / 2;
  return {
    median: (at(Math.ceil(half) - 1) + at(Math.floor(half))) / 2,
    least: at(0),
    most: at(sorted.length - 1),
  };
}

/** A subject and its state for further runs. */
interface Entrant extends AsyncDisposable {
  subject: SubjectName;
  run(): Promise<Sample>;
}

/** Measures one case: a warm-up, then rounds in which every subject has its turn. */
export async function measureCase(
  task: Case,
  programs: Map<ProgramName, Program>,
  options: MeasureOptions,
): Promise<CaseResult> {
  const { name, title, unit = "message" } = task;
  const result: CaseResult = {
    name,
    title,
    unit,
    results: [],
    comparisons: [],
    missing: [],
    failed: [],
  };
  const skipped = task.mode === "open" && task.count !== undefined &&
    await tooFewFiles(task.count);
  if (skipped) return { ...result, skipped };
  await using stack = new AsyncDisposableStack();

  let entrants: Entrant[] = [];
  for (const subject of subjectsOf(task)) {
    const program = programs.get(programOf(subject));
    if (program === undefined) continue; // The report names this reason once for all cases.
    try {
      entrants.push(stack.use(await enter(subject, task, program, options)));
    } catch (error) {
      const list = error instanceof Unavailable
        ? result.missing
        : result.failed;
      list.push({ subject, reason: messageOf(error) });
    }
  }

  const samples = new Map<SubjectName, Sample[]>(
    entrants.map(({ subject }) => [subject, []]),
  );
  for (let round = 0; round < options.rounds; round++) {
    for (const entrant of rotate(entrants, round)) {
      try {
        samples.get(entrant.subject)?.push(await entrant.run());
      } catch (error) {
        result.failed.push({
          subject: entrant.subject,
          reason: messageOf(error),
        });
        samples.delete(entrant.subject);
        entrants = entrants.filter((other) => other !== entrant);
      }
    }
  }
  for (const [subject, own] of samples) {
    const before = in01(subject);
    const others = before && samples.get(before);
    result.results.push({
      ...summarize(subject, own),
      ...(others && { beside01: ratiosOf(own, others) }),
    });
  }
  for (const comparison of task.comparisons) {
    const [own, others] = [
      samples.get(comparison.subject),
      samples.get(comparison.beside),
    ];
    if (own && others) {
      result.comparisons.push({
        ...comparison,
        ratio: ratioOf(own, others, FIELDS[comparison.metric ?? "time"]),
        cpuRatio: ratioOf(own, others, "cpuNanoseconds"),
      });
    }
  }
  return result;
}

/** The first subject of this round is the last of the next one. */
function rotate<Item>(items: Item[], by: number): Item[] {
  const first = by % Math.max(1, items.length);
  return [...items.slice(first), ...items.slice(0, first)];
}

async function enter(
  subject: SubjectName,
  task: Case,
  program: Program,
  options: MeasureOptions,
): Promise<Entrant> {
  const { mode, count } = task;
  if (mode === "open" && count !== undefined) {
    return {
      subject,
      // A process does not return memory, so each run has its own process.
      run: async () => {
        await using contender = await Contender.start(subject, task, program);
        return await contender.runOpen(count);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const contender = await Contender.start(subject, task, program);
  try {
    const ownCount = await warmUp(contender, task, options.runSeconds);
    return {
      subject,
      run: () => contender.run(ownCount),
      [Symbol.asyncDispose]: () => contender[Symbol.asyncDispose](),
    };
  } catch (error) {
    await contender[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Runs with increasing numbers of messages, until the code is warm and a run takes
 * about the intended time.
 */
async function warmUp(
  contender: Contender,
  task: Task,
  runSeconds: number,
): Promise<number> {
  const leastSeconds = Math.max(LEAST_WARM_UP_SECONDS, 2 * runSeconds);
  const mostSeconds = Math.max(leastSeconds, MOST_WARM_UP_RUNS * runSeconds);
  const first = Math.min(WARM_UP_MESSAGES, messagesInBlock(task.messageLength));
  let seconds = 0;
  let messages = 0;
  for (let count = roundCount(task, first);;) {
    const { nanoseconds } = await contender.run(count);
    seconds += nanoseconds * count / 1e9;
    messages += count;
    const isWarm = seconds >= mostSeconds ||
      seconds >= leastSeconds && messages >= LEAST_WARM_UP_MESSAGES;
    const wanted = runSeconds * 1e9 / nanoseconds;
    if (isWarm && wanted < 2 * count) return roundCount(task, wanted);
    count = roundCount(task, Math.min(wanted, WARM_UP_GROWTH * count));
  }
}

function summarize(subject: SubjectName, samples: Sample[]): SubjectResult {
  const values = (field: keyof Sample) =>
    samples.map((sample) => sample[field]).filter((value) =>
      value !== undefined
    );
  const [loadBusy, bytes] = [values("loadBusy"), values("bytes")];
  return {
    subject,
    nanoseconds: spreadOf(values("nanoseconds")),
    cpuNanoseconds: spreadOf(values("cpuNanoseconds")),
    ...(loadBusy.length > 0 && { loadBusy: spreadOf(loadBusy) }),
    ...(bytes.length > 0 && { bytes: spreadOf(bytes) }),
    samples,
  };
}

function ratiosOf(own: Sample[], others: Sample[]) {
  return {
    time: ratioOf(own, others, "nanoseconds"),
    cpuTime: ratioOf(own, others, "cpuNanoseconds"),
    ...(own.some(({ bytes }) => bytes !== undefined) && {
      memory: ratioOf(own, others, "bytes"),
    }),
  };
}

const FIELDS = { time: "nanoseconds", memory: "bytes" } as const;

function ratioOf(
  own: Sample[],
  others: Sample[],
  field: keyof Sample,
): Spread {
  return spreadOf(own.map((sample, round) => {
    return (others[round]?.[field] ?? NaN) / (sample[field] ?? NaN);
  }));
}
