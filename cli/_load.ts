/**
 * Sends requests over some connections, and measures how fast they are answered.
 *
 * A latency counts from when its request was due. With a rate, that is a fixed time: a
 * request that has to wait because earlier ones are not answered is slow too. Without a
 * rate, a request is due when the one that it replaces is answered.
 *
 * @module
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { concat } from "@std/bytes/concat";
import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import type { BenchPlan } from "./_bench_plan.ts";

/** A connection that carries requests. */
export type LoadConnection = Connection<unknown, Sendable>;

const NS_PER_MS = 1_000_000;
const HIGHEST_NS = 3_600_000 * NS_PER_MS;
// A timer may be this late; the rest of the wait uses none.
const TIMER_SLACK_MS = 2;
/** How long to wait for answers once the time is over. */
const GRACE_MS = 1000;

/** A load, and its measurements so far. */
export class Load {
  readonly #plan: BenchPlan;
  readonly #requests: Requests;
  readonly #lanes: Lane[];
  readonly #histogram: RecordableHistogram = createHistogram({
    lowest: 1,
    highest: HIGHEST_NS,
    figures: 3,
  });
  readonly #errors: unknown[] = [];
  readonly #over = Promise.withResolvers<void>();
  #start = 0;
  #end = 0;
  #isSending = true;
  /** How many requests were due so far, with a rate. */
  #due = 0;
  #nextLane = 0;
  /** How many requests were answered, including after the time was over. */
  answered = 0;
  /** How many requests were answered while others were still sent. */
  answeredInTime = 0;

  constructor(plan: BenchPlan, connections: readonly LoadConnection[]) {
    this.#plan = plan;
    this.#requests = new Requests(plan.frames, plan.pipeline);
    this.#lanes = connections.map((connection) => new Lane(connection, plan));
  }

  /** Latencies in nanoseconds. */
  get latencies(): RecordableHistogram {
    return this.#histogram;
  }

  /** Why connections have ended early. */
  get errors(): readonly unknown[] {
    return this.#errors;
  }

  /** How many milliseconds requests have been sent for. */
  get elapsed(): number {
    return Math.min(performance.now(), this.#end) - this.#start;
  }

  /** How many requests were due but have no answer. */
  get unanswered(): number {
    const underWay = this.#lanes.reduce((sum, lane) => sum + lane.underWay, 0);
    return underWay + this.#backlog();
  }

  get bytesSent(): number {
    return this.#lanes.reduce(
      (sum, { connection }) => sum + connection.stats().bytesSent,
      0,
    );
  }

  get bytesReceived(): number {
    return this.#lanes.reduce(
      (sum, { connection }) => sum + connection.stats().bytesReceived,
      0,
    );
  }

  /**
   * Sends for the time of the plan, or until the signal; then waits for pending answers.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { time, rate } = this.#plan;
    this.#start = performance.now();
    this.#end = this.#start + time;
    const timer = setTimeout(() => this.#stopSending(), time);
    const onAbort = () => this.#stopSending();
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    const receiving = this.#lanes.map((lane) => this.#receive(lane));
    if (rate === undefined) {
      for (const lane of this.#lanes) {
        this.#send(lane, this.#plan.pipeline, this.#start);
      }
    } else this.#keepRate(rate);
    await this.#over.promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    for (const { connection } of this.#lanes) connection.abort(OVER);
    await Promise.all(receiving);
  }

  #stopSending(): void {
    if (!this.#isSending) return;
    this.#isSending = false;
    this.#end = Math.min(this.#end, performance.now());
    // The rest of the due requests is still sent, if there is time: now if there is room,
    // otherwise when an answer makes room.
    if (this.#plan.rate !== undefined) this.#sendDue(this.#end);
    const timer = setTimeout(() => this.#over.resolve(), GRACE_MS);
    this.#over.promise.then(() => clearTimeout(timer));
    this.#endIfAnswered();
  }

  #endIfAnswered(): void {
    const hasLanes = this.#lanes.some(({ isOpen }) => isOpen);
    if (!hasLanes || !this.#isSending && this.unanswered === 0) {
      this.#over.resolve();
    }
  }

  async #receive(lane: Lane): Promise<void> {
    const { answers } = this.#plan;
    let messages = 0;
    try {
      for await (const batch of lane.connection.batches()) {
        messages += batch.length;
        const count = Math.floor(messages / answers);
        messages -= count * answers;
        if (count > 0) this.#take(lane, count);
      }
      throw new Error("The peer has ended the connection");
    } catch (error) {
      lane.isOpen = false;
      if (error !== OVER) this.#errors.push(error);
      this.#endIfAnswered();
    }
  }

  #take(lane: Lane, count: number): void {
    const now = performance.now();
    if (count > lane.underWay) {
      throw new Error(
        "More answers came than requests were sent (--answers says how many answer one)",
      );
    }
    for (let index = 0; index < count; index++) {
      const latency = Math.round((now - lane.takeDue()) * NS_PER_MS);
      this.#histogram.record(Math.max(1, Math.min(HIGHEST_NS, latency)));
    }
    this.answered += count;
    if (this.#isSending) this.answeredInTime += count;
    if (this.#plan.rate !== undefined) this.#sendDue(now);
    else if (this.#isSending) this.#send(lane, count, now);
    if (!this.#isSending) this.#endIfAnswered();
  }

  #send(lane: Lane, count: number, due: number): void {
    for (let index = 0; index < count; index++) lane.addDue(due);
    // The receiver learns of a failure.
    lane.connection.send(this.#requests.take(count)).catch(() => {});
  }

  /** How many requests were due by now: the first at the start, and none at the end. */
  #dueBy(now: number): number {
    const { rate = 0 } = this.#plan;
    const requests = (time: number) => (time - this.#start) * rate / 1000;
    // Rounded: a sum of milliseconds may be slightly above the end.
    const all = Math.ceil(requests(this.#end) - 1e-6);
    return Math.min(all, Math.floor(requests(now)) + 1);
  }

  #backlog(): number {
    if (this.#plan.rate === undefined) return 0;
    return this.#dueBy(performance.now()) - this.#due;
  }

  /** Sends due requests on connections that have room. */
  #sendDue(now: number): void {
    const { rate = 1, pipeline } = this.#plan;
    for (const due = this.#dueBy(now); this.#due < due; this.#due++) {
      const lane = this.#laneWithRoom(pipeline);
      if (lane === undefined) return;
      this.#send(lane, 1, this.#start + this.#due * 1000 / rate);
    }
  }

  #laneWithRoom(pipeline: number): Lane | undefined {
    const lanes = this.#lanes;
    for (let tried = 0; tried < lanes.length; tried++) {
      const lane = lanes[this.#nextLane];
      this.#nextLane = (this.#nextLane + 1) % lanes.length;
      if (lane?.isOpen && lane.underWay < pipeline) return lane;
    }
    return undefined;
  }

  /** Runs whenever a request is due. */
  #keepRate(rate: number): void {
    const tick = () => {
      if (!this.#isSending) return;
      this.#sendDue(performance.now());
      const next = this.#start + this.#due * 1000 / rate - performance.now();
      if (next > TIMER_SLACK_MS) setTimeout(tick, next - TIMER_SLACK_MS);
      else setImmediate(tick);
    };
    tick();
  }
}

/** The reason for aborting connections when everything is measured. */
const OVER = new Error("The time is over");

/** One connection, and the due times of its pending requests. */
class Lane {
  readonly connection: LoadConnection;
  isOpen = true;
  // A ring, as long as the pipeline.
  readonly #due: Float64Array;
  #first = 0;
  underWay = 0;

  constructor(connection: LoadConnection, { pipeline }: BenchPlan) {
    this.connection = connection;
    this.#due = new Float64Array(pipeline);
  }

  addDue(due: number): void {
    this.#due[(this.#first + this.underWay++) % this.#due.length] = due;
  }

  takeDue(): number {
    const due = this.#due[this.#first] ?? 0;
    this.#first = (this.#first + 1) % this.#due.length;
    this.underWay--;
    return due;
  }
}

/** The bytes of requests, laid out so that consecutive ones are one range. */
class Requests {
  readonly #bytes: Bytes;
  readonly #offsets: readonly number[];
  readonly #count: number;
  #next = 0;

  constructor(frames: readonly Bytes[], pipeline: number) {
    this.#count = frames.length;
    const repeated = Array.from(
      { length: frames.length + pipeline },
      (_, index) => frames[index % frames.length] ?? new Uint8Array(0),
    );
    this.#bytes = concat(repeated);
    let at = 0;
    this.#offsets = [0, ...repeated.map(({ length }) => at += length)];
  }

  /** The next `count` requests. */
  take(count: number): Bytes {
    const from = this.#next;
    this.#next = (from + count) % this.#count;
    return this.#bytes.subarray(
      this.#offsets[from],
      this.#offsets[from + count],
    );
  }
}
