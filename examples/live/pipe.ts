/**
 * The pipe of lesson 2: a sender and its receivers, each in a thread, with the kernel
 * between them. It is sampled repeatedly, while all threads pause.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { Actor } from "./actor.ts";
import type { Kernel } from "./kernel.ts";
import type { ReceivedCount, ReceiverSettings } from "./receiver.ts";
import { isEmpty, laneSample, type Sample } from "./sample.ts";
import type { SenderSettings, SentCount } from "./sender.ts";

/** The settings of the page. */
export interface PipeSettings {
  sender: Omit<SenderSettings, "hasMore" | "receivers">;
  /** One, or two for a broadcast. */
  receivers: ReceiverSettings[];
  /** Limits of the kernel's buffers, in bytes; `undefined` leaves them alone. */
  buffers?: { send?: number; receive?: number } | undefined;
  /**
   * A longer queue, in bytes, ends the run before it harms the machine.
   *
   * @default {67_108_864}
   */
  maxQueue?: number | undefined;
}

/** What the page may change while the pipe runs. */
export interface PipeChange {
  sender?: Partial<SenderSettings>;
  receivers?: Partial<ReceiverSettings>[];
}

/** Why a run has ended. */
export type PipeEnd = "stopped" | "drained" | "queue" | "time" | "failed";

/** Receives the samples and the end. */
export interface PipeListener {
  onSample(sample: Sample): void;
  onEnd(end: PipeEnd, reason?: string): void;
}

const LOOK_PAUSE_MS = 100;
const DEFAULT_MAX_QUEUE_BYTES = 64 * 1024 * 1024;
const MAX_RUN_MS = 3 * 60 * 1000;

/** A running pipe. */
export class Pipe implements AsyncDisposable {
  readonly #kernel: Kernel;
  readonly #listener: PipeListener;
  readonly #gate = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  readonly #sender: Actor<SenderSettings, SentCount[]>;
  readonly #receivers: Actor<ReceiverSettings, ReceivedCount>[];
  readonly #over = new AbortController();
  readonly #maxQueue: number;
  #end: PipeEnd | undefined;
  #isDraining = false;
  #looking: Promise<void> | undefined;
  #limits: AsyncDisposable | undefined;
  #restored: Promise<void> | undefined;

  private constructor(
    kernel: Kernel,
    { receivers, maxQueue = DEFAULT_MAX_QUEUE_BYTES }: PipeSettings,
    listener: PipeListener,
  ) {
    this.#kernel = kernel;
    this.#listener = listener;
    this.#maxQueue = maxQueue;
    const fail = (reason: string) => this.#finish("failed", reason);
    const thread = { type: "module" } as const;
    this.#sender = new Actor(
      new Worker(new URL("./sender.ts", import.meta.url), thread),
      fail,
    );
    this.#receivers = receivers.map(() =>
      new Actor(
        new Worker(new URL("./receiver.ts", import.meta.url), thread),
        fail,
      )
    );
  }

  /** Starts the threads; resolves when all are connected. */
  static async start(
    kernel: Kernel,
    settings: PipeSettings,
    listener: PipeListener,
  ): Promise<Pipe> {
    const pipe = new Pipe(kernel, settings, listener);
    try {
      await pipe.#begin(settings);
    } catch (error) {
      await pipe.stop();
      throw error;
    }
    return pipe;
  }

  async #begin({ sender, receivers, buffers }: PipeSettings): Promise<void> {
    if (buffers !== undefined) {
      this.#limits = await this.#kernel.limitBuffers(buffers);
    }
    const gate = this.#gate;
    const port = await this.#sender.begin({
      settings: { ...sender, hasMore: true, receivers: receivers.length },
      port: 0,
      gate,
    });
    const ports = await Promise.all(
      this.#receivers.map((receiver, index) => {
        const settings = receivers[index];
        if (settings === undefined) throw new Error("A receiver is too many");
        return receiver.begin({ settings, port, gate });
      }),
    );
    this.#looking = this.#lookOn(port, ports);
  }

  /** Changes settings. */
  change({ sender, receivers = [] }: PipeChange): void {
    if (sender !== undefined) this.#sender.set(sender);
    for (const [index, settings] of receivers.entries()) {
      this.#receivers[index]?.set(settings);
    }
  }

  /** Makes no more messages, and takes the rest without pauses. */
  drain(): void {
    this.#isDraining = true;
    this.#sender.set({ hasMore: false });
    for (const receiver of this.#receivers) receiver.set({ pause: 0 });
  }

  /** Ends the threads, and closes their sockets. */
  async stop(): Promise<void> {
    this.#finish("stopped");
    await this.#looking;
    await this.#restored;
    await this.#restoreLimits(); // set by a start that failed meanwhile
  }

  async #restoreLimits(): Promise<void> {
    const limits = this.#limits;
    this.#limits = undefined;
    await limits?.[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #finish(end: PipeEnd, reason?: string): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#over.abort();
    this.#sender.end();
    for (const receiver of this.#receivers) receiver.end();
    this.#restored = this.#restoreLimits();
    this.#restored.catch(() => {}); // `stop` reports the end
    this.#listener.onEnd(end, reason);
  }

  async #lookOn(port: number, ports: number[]): Promise<void> {
    const startedAt = performance.now();
    const { signal } = this.#over;
    try {
      for (let round = 1;; round++) {
        const sample = await this.#look(round, port, ports, startedAt);
        signal.throwIfAborted();
        // At first the sender may not have accepted all receivers.
        if (sample.lanes.length === ports.length) {
          this.#listener.onSample(sample);
          const end = this.#endAfter(sample);
          if (end !== undefined) return this.#finish(end);
        }
        await delay(LOOK_PAUSE_MS, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) this.#finish("failed", String(error));
    }
  }

  /** Takes one sample, while all threads pause. */
  async #look(
    round: number,
    port: number,
    ports: number[],
    startedAt: number,
  ): Promise<Sample> {
    const gate = new Int32Array(this.#gate);
    Atomics.store(gate, 0, round);
    try {
      const [sender, receivers] = await Promise.all([
        this.#sender.look(round),
        Promise.all(this.#receivers.map((receiver) => receiver.look(round))),
      ]);
      const stillSince = performance.now();
      const sockets = await this.#kernel.sockets(port);
      return {
        time: stillSince - startedAt,
        still: performance.now() - stillSince,
        senderAt: sender.place,
        lanes: receivers.flatMap(({ place, count }, index) => {
          const port = ports[index];
          const sent = sender.count.find((sent) => sent.port === port);
          if (sent === undefined) return [];
          return laneSample({
            sent,
            received: count,
            receiverAt: place,
            near: sockets.find(({ remotePort }) => remotePort === port),
            far: sockets.find(({ localPort }) => localPort === port),
          });
        }),
      };
    } finally {
      Atomics.store(gate, 0, 0);
      Atomics.notify(gate, 0);
    }
  }

  #endAfter({ time, lanes }: Sample): PipeEnd | undefined {
    if (lanes.some(({ queued }) => queued > this.#maxQueue)) return "queue";
    if (this.#isDraining && lanes.every(isEmpty)) return "drained";
    return time > MAX_RUN_MS ? "time" : undefined;
  }
}
