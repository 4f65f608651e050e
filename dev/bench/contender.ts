/** Starts a subject, and runs, times and checks it. */

import { fileURLToPath } from "node:url";
import { type Case, describe, type Mode, type SubjectName } from "./cases.ts";
import { Child } from "./child.ts";
import { expectedBytes, isExpected } from "./expected.ts";
import { messagesInBlock } from "./peers/subject.mjs";
import type { Program } from "./programs.ts";

const DEFAULT_CHUNK_LENGTH = 2 ** 16;
const PIPELINED_CONNECTIONS = 64;
const BROADCAST_RECEIVERS = 1000;
const BROADCAST_IN_FLIGHT = 32;

/** How many connections are opened and closed again before memory is read. */
const OPEN_WARM_UP = 256;

/** Files that a process may need in addition to the counted connections. */
const SPARE_FILES = 100;

/** How long an idle process is left alone before its memory is read. */
const SETTLE_MS = 250;

/** The task of a subject. */
export type Task = Pick<
  Case,
  | "mode"
  | "messageLength"
  | "chunkLength"
  | "kind"
  | "framing"
  | "transport"
  | "processors"
>;

/** The cost of one run, for each message or connection. */
export interface Sample {
  nanoseconds: number;
  cpuNanoseconds: number;
  /** How busy the far side was, from 0 to 1; absent in memory. */
  loadBusy?: number;
  /** Memory for each connection, if connections are opened and kept. */
  bytes?: number;
}

const LOAD = fileURLToPath(new URL("./load.ts", import.meta.url));

/** A number of messages near `count` that this task can be asked for. */
export function roundCount(task: Task, count: number): number {
  const steps: Partial<Record<Mode, number>> = {
    memory: messagesInBlock(task.messageLength),
    pipelined: PIPELINED_CONNECTIONS,
    broadcast: BROADCAST_RECEIVERS,
    "broadcast-pipelined": BROADCAST_RECEIVERS * BROADCAST_IN_FLIGHT,
  };
  const step = steps[task.mode] ?? 1;
  return Math.max(1, Math.round(count / step)) * step;
}

/** The reason if this machine cannot open that many connections. */
export async function tooFewFiles(count: number): Promise<string | undefined> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", "ulimit -Hn"],
  }).output();
  const limit = new TextDecoder().decode(stdout).trim();
  if (limit === "unlimited" || Number(limit) >= count + SPARE_FILES) return;
  return `${count} connections need ${
    count + SPARE_FILES
  } open files, and this machine allows ${limit}`;
}

/** Thrown with the reason if a subject cannot run on this machine. */
export class Unavailable extends Error {}

/** The command, pinned to a processor if one is given. */
function onProcessor(
  processor: number | undefined,
  command: string[],
): string[] {
  return processor === undefined
    ? command
    : ["taskset", "--cpu-list", String(processor), ...command];
}

/** A running subject with its own far side. */
export class Contender implements AsyncDisposable {
  readonly #name: SubjectName;
  readonly #task: Task;
  readonly #subject: Child;
  readonly #load: Child | undefined;
  /** The port of the subject, or 0 if it is a client. */
  #subjectPort = 0;
  #loadPort = 0;

  private constructor(name: SubjectName, task: Task, program: Program) {
    const operation = name.slice(name.indexOf("/") + 1);
    const {
      mode,
      messageLength,
      chunkLength = DEFAULT_CHUNK_LENGTH,
      kind = "letters",
      framing = "lines",
      transport = "tcp",
      processors,
    } = task;
    const ownWords = [operation, `${messageLength}`, `${chunkLength}`, kind];
    this.#name = name;
    this.#task = task;
    this.#subject = new Child(
      onProcessor(processors && 0, [...program.command, ...ownWords]),
      program.env,
    );
    if (mode !== "memory") {
      const flags = ["run", "--quiet", "--allow-ffi"];
      const words = [`${messageLength}`, kind, framing, transport];
      const command = [Deno.execPath(), ...flags, LOAD, ...words];
      const processor = processors && (processors === "own" ? 1 : 0);
      this.#load = new Child(onProcessor(processor, command));
    }
  }

  /** Starts a subject; throws if it reports that it cannot run. */
  static async start(
    name: SubjectName,
    task: Task,
    program: Program,
  ): Promise<Contender> {
    const contender = new Contender(name, task, program);
    try {
      const greeting = await contender.#subject.read();
      const unavailable = /^unavailable (.*)/.exec(greeting)?.[1];
      if (unavailable !== undefined) throw new Unavailable(unavailable);
      contender.#subjectPort = Number(greeting);
      contender.#loadPort = Number(await contender.#load?.read() ?? 0);
      return contender;
    } catch (error) {
      await contender[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The peak memory of the subject so far. */
  get peakResidentBytes(): number {
    return this.#subject.usage().peakResidentBytes;
  }

  /** One run, timed and checked. */
  async run(count: number): Promise<Sample> {
    const before = this.#subject.usage().cpuNanoseconds;
    const loadBefore = this.#load?.usage().cpuNanoseconds ?? 0;
    const start = performance.now();
    const [loadBytes, tally] = await Promise.all([
      this.#askLoad(count),
      this.#askSubject(count),
    ]);
    const nanoseconds = (performance.now() - start) * 1e6;
    const cpuNanoseconds = this.#subject.usage().cpuNanoseconds - before;
    this.#check(count, tally, loadBytes);
    return {
      nanoseconds: nanoseconds / count,
      cpuNanoseconds: cpuNanoseconds / count,
      ...(this.#load && {
        loadBusy: (this.#load.usage().cpuNanoseconds - loadBefore) /
          nanoseconds,
      }),
    };
  }

  /** One run that opens connections, with the memory that each of them holds. */
  async runOpen(count: number): Promise<Sample> {
    await this.run(OPEN_WARM_UP);
    await this.#load?.ask("release 0 0");
    const before = this.#subject.usage().residentBytes;
    const sample = await this.run(count);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const bytes = (this.#subject.usage().residentBytes - before) / count;
    return { ...sample, bytes };
  }

  /** The load alone drives a server. */
  async #askSubject(count: number): Promise<string | undefined> {
    if (this.#subjectPort !== 0) return undefined;
    return await this.#subject.ask(`${this.#loadPort} ${count}`);
  }

  async #askLoad(count: number): Promise<number | undefined> {
    if (this.#load === undefined) return undefined;
    return Number(
      await this.#load.ask(`${this.#task.mode} ${this.#subjectPort} ${count}`),
    );
  }

  #check(
    count: number,
    tally: string | undefined,
    loadBytes: number | undefined,
  ): void {
    const bytes = expectedBytes(this.#task, count);
    if (loadBytes !== undefined && loadBytes !== bytes) {
      throw new Error(
        `${this.#name}: ${loadBytes} bytes passed instead of ${bytes}`,
      );
    }
    if (tally === undefined || this.#task.mode === "sink") return;
    const isRight = describe(this.#name).isFloor
      ? tally.split(" ")[1] === String(bytes)
      : isExpected(this.#task, count, tally);
    if (!isRight) {
      throw new Error(
        `${this.#name}: wrong result for ${count} messages: ${tally}`,
      );
    }
  }

  /** Ends both processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      this.#subject[Symbol.asyncDispose](),
      this.#load?.[Symbol.asyncDispose](),
    ]);
  }
}
