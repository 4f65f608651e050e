/**
 * Not random programs but all of a small scope: each sequence of a few operations on both
 * ends, with each single fault at each point of it, held against the table of endings.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { noteLook } from "../../connection/_testing.ts";
import { Connection } from "../../connection/connection.ts";
import { type Framing, FramingError, lines } from "../../framing.ts";
import { type PairedTransport, transportPair } from "../../testing.ts";
import { VirtualClock } from "./clock.ts";
import {
  type Cause,
  checkArrival,
  checkEnding,
  type Ended,
  type Outcome,
  type Progress,
} from "./endings.ts";
import {
  type Begun,
  checkOrder,
  checkSettled,
  type Deeds,
  type Take,
} from "./model.ts";
import { FaultyTransport, Odd } from "./network.ts";

const OPERATIONS = [
  "send",
  "receive",
  "closeWrite",
  "closeRead",
  "close",
  "abort",
] as const;

const FAULTS_OF_AN_END = [
  "reset",
  "end",
  "stall",
  "failRead",
  "failWrite",
  "corrupt",
] as const;

const FAULTS_OF_BOTH = ["cut", "vanish"] as const;

/** One operation of a program. */
export interface Operation {
  readonly kind: typeof OPERATIONS[number];
  readonly end: 0 | 1;
}

/** What goes wrong, once. */
export interface Fault {
  readonly kind:
    | typeof FAULTS_OF_AN_END[number]
    | typeof FAULTS_OF_BOTH[number];
  readonly end: 0 | 1;
  /** Before which operation. */
  readonly point: number;
}

/** A program of the small scope. */
export interface SmallProgram {
  readonly operations: readonly Operation[];
  readonly fault: Fault | undefined;
  /** Whether all comes to rest between two operations, which else are of one turn. */
  readonly isSlow: boolean;
  /** Whether the ends are watched, for which they read ahead. */
  readonly isWatched: boolean;
}

/** What was counted in some runs. */
export interface ScopeTally {
  /** Sequences of operations, and runs of them under all faults. */
  programs: number;
  runs: number;
  /** How often each row of the table held for an end. */
  readonly rows: Map<Cause, number>;
}

/**
 * All sequences of up to `most` operations, the shorter ones first. Those that differ
 * only by which end is which are given once; so are those that an operation makes no
 * other by being done twice.
 */
export function* sequences(most: number): Generator<readonly Operation[]> {
  for (let length = 0; length <= most; length++) yield* longer([], length);
}

function* longer(
  operations: readonly Operation[],
  length: number,
): Generator<readonly Operation[]> {
  if (operations.length === length) return yield operations;
  const ends: readonly (0 | 1)[] = operations.length === 0 ? [0] : [0, 1];
  for (const end of ends) {
    const before = operations.filter((each) => each.end === end)
      .map(({ kind }) => kind);
    const aborted = before.indexOf("abort");
    // What is done after an abort is only refused: once is enough.
    if (aborted !== -1 && before.length > aborted + 1) continue;
    for (const kind of OPERATIONS) {
      const isDoneOnce = kind !== "send" && kind !== "receive";
      if (isDoneOnce && before.includes(kind)) continue;
      yield* longer([...operations, { kind, end }], length);
    }
  }
}

/** No fault, and each single one at each point of so many operations. */
export function* faults(length: number): Generator<Fault | undefined> {
  yield undefined;
  for (let point = 0; point <= length; point++) {
    for (const end of [0, 1] as const) {
      for (const kind of FAULTS_OF_AN_END) yield { kind, end, point };
    }
    for (const kind of FAULTS_OF_BOTH) yield { kind, end: 0, point };
  }
}

/** Both ways of time, and of reading. */
export const MODES: readonly Pick<SmallProgram, "isSlow" | "isWatched">[] = [
  { isSlow: true, isWatched: false },
  { isSlow: true, isWatched: true },
  { isSlow: false, isWatched: false },
  { isSlow: false, isWatched: true },
];

/** What of the small scope is run. */
export interface ScopeOptions {
  /** Sequences of at least and at most so many operations. */
  readonly least?: number | undefined;
  readonly most: number;
  readonly modes?: typeof MODES | undefined;
  /** Is told after each sequence; `false` ends the run. */
  readonly onSequence?: ((tally: ScopeTally) => boolean | void) | undefined;
}

/**
 * Runs all programs of the small scope, the shorter ones first.
 *
 * @throws {Error} With the first program of which something comes that may not.
 */
export async function runScope(
  { least = 0, most, modes = MODES, onSequence }: ScopeOptions,
): Promise<ScopeTally> {
  const tally: ScopeTally = { programs: 0, runs: 0, rows: new Map() };
  using clock = new VirtualClock();
  for (const operations of sequences(most)) {
    if (operations.length < least) continue;
    for (const fault of faults(operations.length)) {
      for (const mode of modes) {
        const program = { operations, fault, ...mode };
        try {
          await runSmall(program, clock, tally);
        } catch (error) {
          const message = error instanceof Error ? error.message : error;
          throw new Error(`${programText(program)}: ${message}`, {
            cause: error,
          });
        }
      }
    }
    tally.programs++;
    if (onSequence?.(tally) === false) break;
  }
  return tally;
}

/** How a program is printed. */
export function programText(
  { operations, fault, ...rest }: SmallProgram,
): string {
  const steps = operations.map(({ kind, end }) => `${kind}(${end})`);
  if (fault !== undefined) {
    const { kind, end, point } = fault;
    steps.splice(point, 0, `${kind.toUpperCase()}(${end})`);
  }
  const words = Object.entries(rest).map(([name, value]) =>
    `${name}: ${value}`
  );
  return `${steps.join(" ") || "nothing"} {${words.join(", ")}}`;
}

// Faults with which the network still carries all that it is given.
const CARRIED: readonly Fault["kind"][] = [
  "cut",
  "stall",
  "failWrite",
  "corrupt",
];

// A message is read ahead whole, of the next one a half has arrived or is on its way,
// and the other half is queued.
const MESSAGE_BYTES = 8;
const BUFFER_BYTES = 4;
// A multiple of 128 is counted exactly by the clock of the module.
const IDLE_MS = 256;
// Between two operations: longer than timers of nothing.
const REST_MS = 2;
const FINISH_MS = 60_000;
const BETWEEN_RUNS_MS = 1_000_000;

/** Runs one program, and asserts all that the table and the model say. */
export async function runSmall(
  program: SmallProgram,
  clock: VirtualClock,
  tally: ScopeTally,
): Promise<void> {
  noteLook();
  clock.pass(BETWEEN_RUNS_MS);
  const { operations, fault, isSlow, isWatched } = program;
  const [nearTransport, farTransport] = transportPair({
    bufferSize: BUFFER_BYTES,
  });
  const near = new Witness("near", nearTransport, clock, isWatched);
  const far = new Witness("far", farTransport, clock, isWatched);
  const ends = [near, far] as const;
  const run = (kind: Fault["kind"], end: 0 | 1) => {
    if (kind === "cut" || kind === "vanish") {
      for (const each of ends) each.suffer(kind);
    } else ends[end].suffer(kind);
  };
  try {
    for (const [point, { kind, end }] of operations.entries()) {
      if (fault?.point === point) {
        run(fault.kind, fault.end);
        if (isSlow) await clock.advance(REST_MS);
      }
      ends[end].run(kind);
      if (isSlow) await clock.advance(REST_MS);
    }
    if (fault?.point === operations.length) run(fault.kind, fault.end);
    await clock.advance(REST_MS);
    if (fault?.kind === "stall") ends[fault.end].transport.resume();
    for (const each of ends) each.finish();
    await clock.settle();
    const end = clock.now + FINISH_MS;
    while (!ends.every(({ isSettled }) => isSettled)) {
      if (!await clock.step(end)) break;
    }
    for (const each of ends) checkSettled(each);
    checkOrder(near, far);
    checkOrder(far, near);
    for (const { connection, transport, name } of ends) {
      assertEquals(connection.stats().bufferedAmount, 0, `queued at ${name}`);
      assert(transport.isClosed, `The transport of ${name} is open`);
    }
    const outcomes = [await near.outcome(), await far.outcome()] as const;
    for (const cause of outcomes.flatMap(checkEnding)) {
      tally.rows.set(cause, (tally.rows.get(cause) ?? 0) + 1);
    }
    if (fault === undefined || CARRIED.includes(fault.kind)) {
      const [from, to] = outcomes;
      checkArrival(from, to);
      checkArrival(to, from);
    }
    await clock.settle();
    assertEquals(clock.pending, 0, "Timers are left");
  } finally {
    for (const { connection } of ends) connection.abort();
    await clock.settle();
    while (await clock.step(clock.now + FINISH_MS));
  }
  tally.runs++;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

const text = lines({ trailing: "error", fatal: true });

/** One end, which notes what the table is about. */
class Witness implements Deeds {
  readonly name: string;
  readonly transport: PairedTransport;
  readonly connection: Connection<string, string>;
  readonly accepted: string[] = [];
  readonly takes: Take[] = [];
  readonly begun: Begun[] = [];
  hasBroken = false;
  wasClosed = false;
  wasReset = false;
  readonly #clock: VirtualClock;
  readonly #faulty: FaultyTransport;
  readonly #endings: Mutable<Ended>[] = [];
  readonly #signal: AbortSignal | undefined;
  /** Calls of a transport that was released. */
  readonly #lateCalls: string[] = [];
  #stoppedReading: Progress | undefined;
  #released: Progress | undefined;
  #hasEnded = false;
  #isToBeDamaged = false;
  #damagedAt: number | undefined;
  #read = 0;
  #written = 0;
  #reads = 0;
  #writes = 0;
  #ends = 0;
  #movedAt: number;

  constructor(
    name: string,
    transport: PairedTransport,
    clock: VirtualClock,
    isWatched: boolean,
  ) {
    this.name = name;
    this.transport = transport;
    this.#clock = clock;
    this.#movedAt = clock.now;
    this.#faulty = new FaultyTransport(transport, {
      onCall: (call) => this.#noteCall(call),
      onRead: (length) => this.#noteRead(length),
      onWrite: (length) => {
        this.#written += length;
        this.#movedAt = clock.now;
      },
      onReadError: (error) => {
        if (this.#isReading) this.#end("a timeout, any other error", error);
      },
      onWriteError: (error) => this.#noteWriteError(error),
      onCloseWriteError: (error) => {
        // What closes takes no notice of it: there is nothing left to save.
        const isFirst = this.#ends === 1 && this.#endings.length === 0;
        if (isFirst) this.#noteWriteError(error);
      },
    });
    this.connection = new Connection(this.#faulty, {
      framing: this.#framing(),
      readBufferSize: MESSAGE_BYTES,
      highWaterMark: 1,
      idleTimeout: IDLE_MS,
    });
    if (isWatched) this.#signal = this.connection.signal;
  }

  get isSettled(): boolean {
    return this.begun.every(({ result }) => result !== undefined);
  }

  run(kind: Operation["kind"]): void {
    const { connection } = this;
    switch (kind) {
      case "send":
        return this.#send();
      case "receive":
        return this.#receive();
      case "closeWrite":
        this.#hasEnded = true;
        return this.#begin("closeWrite()", connection.closeWrite());
      case "closeRead":
        if (this.#isReading) this.#stoppedReading = this.#progress;
        this.hasBroken = true;
        return connection.closeRead();
      case "close":
        this.wasClosed = this.#hasEnded = true;
        if (this.#endings.length === 0) this.#end("close()");
        return this.#begin("close()", connection.close());
      case "abort": {
        this.hasBroken = this.#hasEnded = true;
        const error = new DOMException("Enough", "AbortError");
        this.#end("abort()", error);
        return connection.abort(error);
      }
    }
  }

  suffer(kind: Fault["kind"]): void {
    switch (kind) {
      case "reset":
        this.hasBroken = this.wasReset = true;
        return this.transport.reset();
      case "end":
        this.hasBroken = true;
        // Refused while a write is under way.
        return void this.transport.closeWrite().catch(() => {});
      case "stall":
      case "vanish":
        return this.transport.stall();
      case "cut":
        this.transport.maxRead = 1;
        return;
      case "failRead":
        this.hasBroken = true;
        return this.#faulty.failReads(new Odd("Cannot read"));
      case "failWrite": {
        this.hasBroken = true;
        const error = new Error("The peer is gone");
        error.name = "BrokenPipe";
        return this.#faulty.failWrites(error);
      }
      case "corrupt":
        this.hasBroken = this.#isToBeDamaged = true;
        return this.#faulty.corruptNext();
    }
  }

  /** Takes all messages that come, and ends. */
  finish(): void {
    this.#begin(
      "closed",
      this.connection.closed.catch((error) => {
        if (isTimeout(error)) this.#noteTimeout(error);
        throw error;
      }),
    );
    this.#begin("drain", this.#drain());
    this.#hasEnded = true;
    this.#begin("closeWrite()", this.connection.closeWrite());
  }

  async outcome(): Promise<Outcome> {
    const [closed] = await Promise.allSettled([this.connection.closed]);
    assert(this.#released !== undefined, `${this.name} was not released`);
    assertEquals(this.#lateCalls, [], `calls of ${this.name} after its close`);
    return {
      name: this.name,
      messageLength: MESSAGE_BYTES,
      endings: this.#endings,
      stoppedReading: this.#stoppedReading,
      damagedAt: this.#damagedAt,
      released: this.#released,
      last: this.#progress,
      closed,
      signal: this.#signal,
    };
  }

  get #progress(): Progress {
    return {
      time: this.#clock.now,
      read: this.#read,
      takenIn: this.connection.stats().bytesReceived,
      received: this.takes.reduce((sum, take) => sum + take.messages.length, 0),
      accepted: this.accepted.length,
      written: this.#written,
      reads: this.#reads,
      writes: this.#writes,
      ends: this.#ends,
    };
  }

  /** Whether an error of reading is one of the connection. */
  get #isReading(): boolean {
    return this.#stoppedReading === undefined && !this.#isEnding;
  }

  /** Whether what has ended this has come to the connection. */
  get #isEnding(): boolean {
    return this.#endings.length > 0 && this.connection.hasEnded;
  }

  /** Notes what ends the connection, unless its transport was released before. */
  #end(cause: Cause, error?: unknown): void {
    if (this.#released !== undefined) return;
    this.#endings.push({ cause, error, at: this.#progress });
  }

  #noteCall(call: "read" | "write" | "closeWrite" | "close"): void {
    if (call === "close") {
      this.#released ??= this.#progress;
      return;
    }
    if (this.#released !== undefined) this.#lateCalls.push(call);
    if (call === "read") this.#reads++;
    else if (call === "write") this.#writes++;
    else this.#ends++;
    // What an error ends is only what begins after it has come to the connection.
    if (this.#isEnding) return;
    for (const ended of this.#endings) ended.at = this.#progress;
  }

  #noteRead(length: number | null): void {
    this.#movedAt = this.#clock.now;
    if (length === null || length === 0) return;
    if (this.#isToBeDamaged) {
      this.#isToBeDamaged = false;
      this.#damagedAt = this.#read;
    }
    this.#read += length;
  }

  #noteWriteError(error: unknown): void {
    const isGone = error instanceof Error &&
      (error.name === "BrokenPipe" || error.name === "ConnectionReset");
    this.#end(
      isGone
        ? "a write failed, the peer is gone"
        : "a timeout, any other error",
      error,
    );
  }

  #noteTimeout(error: DOMException): void {
    const passed = this.#clock.now - this.#movedAt;
    assert(passed >= IDLE_MS, `${this.name} timed out after ${passed} ms`);
    this.#endings.push({
      cause: "a timeout, any other error",
      error,
      at: this.#released ?? this.#progress,
    });
  }

  /** Text, and notes when a decoder fails. */
  #framing(): Framing<string> {
    return {
      encoder: () => text.encoder(),
      decoder: () => {
        const decoder = text.decoder();
        return {
          get pending() {
            return decoder.pending === true;
          },
          decode: (input, ended) => {
            try {
              return decoder.decode(input, ended);
            } catch (error) {
              if (error instanceof FramingError && this.#isReading) {
                this.#end("FramingError", error);
              }
              throw error;
            }
          },
        };
      },
    };
  }

  #send(): void {
    const message = `${this.name[0]}${this.accepted.length}`.padEnd(
      MESSAGE_BYTES - 1,
    );
    const before = this.connection.stats().messagesSent;
    const sending = this.connection.send(message);
    const isAccepted = this.connection.stats().messagesSent > before;
    if (isAccepted) this.accepted.push(message);
    if (this.#hasEnded) assert(!isAccepted, `${this.name} sent after its end`);
    const told = isAccepted ? sending : sending.then(() => {
      throw new Error("send() was told as done though nothing was let in");
    });
    this.#begin("send()", told);
  }

  #receive(): void {
    const take = this.#take();
    this.#begin(
      "receive()",
      this.connection.receive().then((message) => {
        if (message !== undefined) take.messages.push(message);
      }),
    );
  }

  async #drain(): Promise<void> {
    const take = this.#take();
    for await (const message of this.connection) take.messages.push(message);
  }

  #take(): Take {
    const take: Take = { messages: [], isSwallowing: false };
    this.takes.push(take);
    return take;
  }

  #begin(what: string, promise: Promise<unknown>): void {
    const begun: Begun = { what: `${what} of ${this.name}`, result: undefined };
    this.begun.push(begun);
    promise.then(
      (value) => begun.result = { status: "fulfilled", value },
      (reason) => begun.result = { status: "rejected", reason },
    );
  }
}

function isTimeout(error: unknown): error is DOMException {
  return error instanceof DOMException && error.name === "TimeoutError";
}
