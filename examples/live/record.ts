/**
 * Records a run of the lesson, for the page without a server.
 *
 * ```sh
 * deno run -A examples/live/record.ts
 * ```
 *
 * It writes `recorded.json`; `static.ts` makes a page of it.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FramingAnswer, FramingName } from "./framings.ts";
import { Kernel } from "./kernel.ts";
import type { NagleTimes } from "./nagle.ts";
import type { PipeEnd, PipeSettings } from "./pipe.ts";
import type { Question } from "./questions.ts";
import type { RealReads } from "./reads.ts";
import type { Sample } from "./sample.ts";
import { type Hello, type Message, Session } from "./session.ts";
import type { Call, CallResult, SocketsState } from "./sockets.ts";

/** All data of the page without a server. */
export interface Recording {
  hello: Omit<Hello, "code">;
  /** Lesson 1: the sockets before any call, and each call with its result. */
  sockets: SocketsState;
  calls: { call: Call; result: CallResult; state: SocketsState }[];
  /** Lesson 2. */
  runs: Record<"await" | "noAwait" | "wait" | "drop", RecordedRun>;
  nagle: NagleTimes;
  /** Lesson 3: the real reads for each total length. */
  reads: (RealReads & { length: number })[];
}

/** A run of the pipe. */
export interface RecordedRun {
  samples: Sample[];
  end: PipeEnd;
}

/** Where a recording is kept. */
export const RECORDED = new URL("recorded.json", import.meta.url);

const CALLS: Call[] = [
  { name: "connect" }, // it is refused
  { name: "listen" },
  { name: "connect" },
  { name: "write", end: "client 1", text: "hello" },
  { name: "accept" },
  { name: "write", end: "client 1", text: "again" },
  { name: "read", end: "server 1", bytes: 1024 },
  { name: "closeWrite", end: "client 1" },
  { name: "read", end: "server 1", bytes: 1024 },
  { name: "write", end: "server 1", text: "goodbye" },
  { name: "read", end: "client 1", bytes: 1024 },
  { name: "close", end: "server 1" },
  { name: "close", end: "client 1" },
];

const SLOW = { bytes: 7, pause: 100, readBufferSize: 7 };
const QUICK = { bytes: 65536, pause: 0, readBufferSize: 65536 };
const SENDER = { await: true, slow: "wait", highWaterMark: 65536 } as const;
const MESSAGES = Array.from({ length: 10 }, (_, index) => `>>>${index + 1}<<<`);
const FRAMINGS: FramingName[] = ["delimiter", "length", "fixed"];

/** Sends questions to a session like the page, and receives its messages. */
class Recorder {
  readonly #session: Session;
  #asked = 0;
  #messages: Message[] = [];
  #ended = Promise.withResolvers<PipeEnd>();

  constructor(kernel: Kernel) {
    this.#session = new Session(kernel, (message) => {
      this.#messages.push(message);
      if (message.event === "end") this.#ended.resolve(message.end);
    });
  }

  async hello(): Promise<Omit<Hello, "code">> {
    await this.#session.greet();
    const message = this.#messages.find(({ event }) => event === "hello");
    if (message?.event !== "hello") throw new Error("There was no greeting");
    const { code: _, ...hello } = message.hello;
    return { ...hello, canLimitBuffers: false };
  }

  async ask(question: Question): Promise<unknown> {
    const id = ++this.#asked;
    await this.#session.answer(JSON.stringify({ id, question }));
    const answer = this.#messages.find((message) =>
      "id" in message && message.id === id
    );
    if (answer?.event === "answer") return answer.value;
    throw new Error(
      `Cannot record ${question.name}: ${JSON.stringify(answer)}`,
    );
  }

  async calls(): Promise<Pick<Recording, "calls" | "sockets">> {
    const sockets = await this.ask({ name: "reset" }) as SocketsState;
    const calls: Recording["calls"] = [];
    for (const call of CALLS) {
      const result = await this.ask({ name: "call", call }) as CallResult;
      await delay(100); // until a delayed acknowledgement has arrived too
      const state = await this.ask({ name: "sockets" }) as SocketsState;
      calls.push({ call, result, state });
    }
    await this.ask({ name: "reset" });
    return { sockets, calls };
  }

  /** Runs a pipe; `plan` controls it. */
  async run(
    settings: PipeSettings,
    plan: () => Promise<void>,
  ): Promise<RecordedRun> {
    this.#messages = [];
    this.#ended = Promise.withResolvers();
    await this.ask({ name: "start", settings });
    await plan();
    const end = await this.#ended.promise;
    const samples = this.#messages.flatMap((message) =>
      message.event === "sample" ? [message.sample] : []
    );
    return { samples, end };
  }

  async reads(): Promise<Recording["reads"]> {
    const answers = await this.ask({
      name: "frame",
      questions: FRAMINGS.map((framing) => ({
        framing,
        messages: MESSAGES,
        cuts: [],
        lost: [],
      })),
    }) as FramingAnswer[];
    const recorded: Recording["reads"] = [];
    for (const { bytes, owners } of answers) {
      const ends = owners.flatMap(({ message }, index) =>
        owners[index + 1]?.message === message ? [] : [index + 1]
      );
      const frames = { bytes, ends };
      const reads = await this.ask({ name: "read", frames }) as RealReads;
      recorded.push({ length: bytes.length, ...reads });
    }
    return recorded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
  }
}

/** Records all data of the page. */
async function record(): Promise<Recording> {
  await using recorder = new Recorder(await Kernel.open());
  const one = { sender: SENDER, receivers: [SLOW] };
  const both = { sender: SENDER, receivers: [QUICK, SLOW] };
  const wakeUp = async (receivers: { pause?: number }[]) => {
    await delay(3000);
    await recorder.ask({ name: "change", change: { sender: {}, receivers } });
    await delay(3000);
    await recorder.ask({ name: "drain" });
  };
  return {
    hello: await recorder.hello(),
    ...await recorder.calls(),
    runs: {
      await: await recorder.run(one, () => wakeUp([{ pause: 0 }])),
      noAwait: await recorder.run(
        { ...one, sender: { ...SENDER, await: false } },
        () => Promise.resolve(), // it ends by itself
      ),
      wait: await recorder.run(both, () => wakeUp([{}, { pause: 0 }])),
      drop: await recorder.run(
        { ...both, sender: { ...SENDER, slow: "drop" } },
        () => wakeUp([{}, { pause: 0 }]),
      ),
    },
    nagle: await recorder.ask({ name: "nagle" }) as NagleTimes,
    reads: await recorder.reads(),
  };
}

if (import.meta.main) {
  const json = JSON.stringify(
    await record(),
    (_, value) =>
      typeof value === "number" ? Math.round(value * 100) / 100 : value,
  );
  await Deno.writeTextFile(RECORDED, `${json}\n`);
}
