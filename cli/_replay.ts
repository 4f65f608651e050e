/**
 * `replay`: sends the messages of a recording again, and checks the answers.
 *
 * @module
 */
import { abortable } from "@std/async/abortable";
import { delay } from "@std/async/delay";
import { styleText } from "node:util";
import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import { untilPoll } from "../internal/event_loop.ts";
import type { Command } from "./_command.ts";
import { open } from "./_connection_flags.ts";
import { Display } from "./_display.ts";
import { type Origin, visible } from "./_format.ts";
import type { Step } from "./_recording.ts";
import { replayCode } from "./_replay_code.ts";
import { planReplay, type ReplayPlan } from "./_replay_plan.ts";
import type { Shell } from "./_shell.ts";
import { MAX_DURATION_MS } from "./_values.ts";

/** The program that does the same. */
export async function code(command: Command): Promise<string> {
  return await replayCode(command, await planReplay(command));
}

/** Replays all connections; returns 1 if `--diff` found a difference. */
export async function run(command: Command, shell: Shell): Promise<number> {
  const plan = await planReplay(command);
  const { connections } = plan.recording;
  const { interrupted } = shell;
  const start = Math.min(
    ...[...connections.values()].map(([first]) => first?.time ?? Infinity),
  );
  const display = new Display(shell, {
    format: plan.format,
    isAnnotated: true,
  });
  const replayed = [...connections].map(([number, steps]) =>
    new Replay(plan, shell, display, number, steps, start)
  );
  // A failed connection ends the others too.
  const controller = new AbortController();
  const signal = AbortSignal.any([interrupted, controller.signal]);
  await Promise.all(replayed.map(async (each) => {
    try {
      const replaying = each.run(
        (signal) => open(command.flags, plan.place, plan.chosen, signal),
        signal,
      );
      // An output that is not read must not delay Ctrl-C.
      await abortable(replaying, signal);
    } catch (error) {
      controller.abort(error);
      throw error;
    }
  }));
  const sum = (count: (each: Replay) => number) =>
    replayed.reduce((total, each) => total + count(each), 0);
  const [sent, answers, recorded] = [
    sum((each) => each.sent),
    sum((each) => each.received),
    sum((each) => each.recorded),
  ];
  const differences = sum((each) => each.differences);
  const verdict = plan.compares
    ? `: ${differences === 0 ? "none differs" : `${differences} differ`}`
    : "";
  shell.note(
    `Sent ${sent}, received ${answers} of ${recorded} recorded answers${verdict}`,
  );
  return plan.compares && differences > 0 ? 1 : 0;
}

/** One connection of a recording. */
class Replay {
  readonly #plan: ReplayPlan;
  readonly #shell: Shell;
  readonly #display: Display;
  readonly #number: number;
  readonly #steps: readonly Step[];
  readonly #start: number;
  /** The answers in the recording. */
  readonly #answers: readonly Uint8Array[];
  #changed = Promise.withResolvers<void>();
  #hasEnded = false;
  /** Whether an answer has arrived, and waits for the output. */
  #isShowing = false;
  sent = 0;
  received = 0;
  differences = 0;

  constructor(
    plan: ReplayPlan,
    shell: Shell,
    display: Display,
    number: number,
    steps: readonly Step[],
    start: number,
  ) {
    this.#plan = plan;
    this.#shell = shell;
    this.#display = display;
    this.#number = number;
    this.#steps = steps;
    this.#start = start;
    this.#answers = steps.flatMap(({ from, bytes }) =>
      from === "server" && bytes !== undefined ? [bytes] : []
    );
  }

  /** How many answers were recorded. */
  get recorded(): number {
    return this.#answers.length;
  }

  async run(
    connect: (signal: AbortSignal) => Promise<Connection<Bytes, Sendable>>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#waitUntil(this.#steps[0]?.time ?? 0, signal);
    await using connection = await connect(signal);
    const receiving = this.#receive(connection);
    receiving.catch(() => {}); // it is awaited below
    const sending = this.#send(connection, signal);
    const endsItself = await Promise.race([
      sending,
      receiving.then(() => sending),
    ]);
    // Only the recorded answers are left to come, and then the end.
    await this.#waitFor(this.recorded, signal);
    if (endsItself) await this.#waitFor(Infinity, signal);
    await connection.close();
    await receiving;
    for (let index = this.received; index < this.recorded; index++) {
      await this.#compare(index, undefined);
    }
  }

  /** Sends the client's messages; returns whether it closed its side. */
  async #send(
    connection: Connection<Bytes, Sendable>,
    signal: AbortSignal,
  ): Promise<boolean> {
    let answered = 0;
    for (const { time, from, bytes } of this.#steps) {
      if (from === "server") {
        if (bytes !== undefined) answered++;
        continue;
      }
      await this.#waitUntil(time, signal);
      await this.#waitFor(answered, signal);
      if (bytes === undefined) {
        await connection.closeWrite();
        return true;
      }
      await this.#show("client", bytes);
      this.sent++;
      await connection.send(bytes);
    }
    return false;
  }

  async #receive(connection: Connection<Bytes, Sendable>): Promise<void> {
    try {
      for await (const bytes of connection) {
        this.#isShowing = true;
        await this.#show("server", bytes);
        await this.#compare(this.received++, bytes);
        this.#isShowing = false;
        this.#changed.resolve();
      }
    } finally {
      this.#hasEnded = true;
      this.#changed.resolve();
    }
  }

  /** Waits for this many answers, as long as they keep coming. */
  async #waitFor(answers: number, signal: AbortSignal): Promise<void> {
    while (this.received < answers && !this.#hasEnded) {
      this.#changed = Promise.withResolvers();
      const controller = new AbortController();
      // After the process was stopped, an answer may be in the socket.
      const late = delay(this.#plan.wait, {
        signal: AbortSignal.any([signal, controller.signal]),
      }).then(() => untilPoll());
      const isLate = await Promise.race([
        this.#changed.promise.then(() => false),
        late.then(() => true, () => false),
      ]);
      controller.abort();
      signal.throwIfAborted();
      // An output that is read slowly says nothing about the server.
      if (isLate && !this.#isShowing) return;
    }
  }

  async #waitUntil(time: number, signal: AbortSignal): Promise<void> {
    const { speed } = this.#plan;
    const due = (time - this.#start) / speed;
    for (;;) {
      const left = due - this.#display.now();
      if (!(left > 0)) return;
      await delay(Math.min(left, MAX_DURATION_MS), { signal });
    }
  }

  async #show(from: Origin, bytes: Uint8Array): Promise<void> {
    const { compares, isQuiet } = this.#plan;
    if (compares || isQuiet) return;
    const time = this.#display.now();
    await this.#display.show({ time, connection: this.#number, from, bytes });
  }

  async #compare(index: number, actual: Uint8Array | undefined): Promise<void> {
    const expected = this.#answers[index];
    const isSame = expected !== undefined && actual !== undefined &&
      expected.toHex() === actual.toHex();
    if (isSame || !this.#plan.compares) return;
    this.differences++;
    const { format, isQuiet } = this.#plan;
    if (isQuiet) return;
    const shown = (bytes: Uint8Array) =>
      format === "hex" ? bytes.toHex() : visible(bytes);
    const hasColor = this.#shell.hasColor && this.#shell.isOutputTerminal;
    const paint = (style: "red" | "green", text: string) =>
      hasColor ? styleText(style, text, { validateStream: false }) : text;
    const lines = [
      `#${this.#number} answer ${index + 1}`,
      ...(expected === undefined ? [] : [paint("red", `- ${shown(expected)}`)]),
      ...(actual === undefined ? [] : [paint("green", `+ ${shown(actual)}`)]),
    ];
    await this.#shell.write(`${lines.join("\n")}\n`);
  }
}
