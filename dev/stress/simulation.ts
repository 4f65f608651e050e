// deno-lint-ignore-file no-console -- a program that reports

/**
 * Whole connections in a world of one process: a transport in memory with faults, a
 * clock that is virtual, and a program of operations on both ends. One number makes all
 * of it, so it repeats a run exactly.
 *
 * `deno run -A dev/stress/simulation.ts --seed N` runs one and prints what it does.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { parseArgs } from "node:util";
import { noteLook, overriding } from "../../connection/_testing.ts";
import { Connection } from "../../connection/connection.ts";
import type { Transport } from "../../connection/transport.ts";
import { asText, type Framing, lengthPrefixed, lines } from "../../framing.ts";
import { type PairedTransport, transportPair } from "../../testing.ts";
import { VirtualTime } from "./virtual_time.ts";

const FRAMINGS: readonly Framing<string>[] = [
  lines({ trailing: "error" }),
  asText(lengthPrefixed()),
];

const KINDS = [
  ["send", 12],
  ["sendSome", 6],
  ["request", 4],
  ["question", 2],
  ["receive", 10],
  ["iterate", 5],
  ["batch", 4],
  ["abortOne", 5],
  ["flush", 3],
  ["closeRead", 1],
  ["closeWrite", 2],
  ["close", 1],
  ["abort", 1],
  ["reframe", 2],
  ["detach", 2],
  ["settle", 10],
  ["sleep", 6],
  ["busy", 3],
  ["stall", 3],
  ["resume", 4],
  ["deliver", 5],
  ["cut", 3],
  ["zeroRead", 2],
  ["end", 1],
  ["reset", 1],
  ["failRead", 1],
  ["failWrite", 1],
] as const satisfies readonly (readonly [string, number])[];

type Kind = typeof KINDS[number][0];

/** One operation, of an end or of what carries its bytes. */
export interface Step {
  readonly kind: Kind;
  readonly end: 0 | 1;
  /** Bytes, milliseconds or how many, by the kind. */
  readonly size: number;
}

/** What one number makes. */
export interface Scenario {
  readonly seed: number;
  readonly framing: 0 | 1;
  readonly bufferSize: number;
  readonly readBufferSize: number;
  readonly highWaterMark: number;
  readonly receiveTimeout: number | undefined;
  readonly idleTimeout: number | undefined;
  readonly sendTimeout: number | undefined;
  readonly heartbeat: number | undefined;
  /** Whether the ends are watched from the start, for which they read ahead. */
  readonly isWatched: boolean;
  /** Whether the ends switch framings; each is then received by one loop. */
  readonly isSwitching: boolean;
  readonly steps: readonly Step[];
}

/** What was counted in some runs. */
export interface SimulationTally {
  /** What happened in the last run, and when: the same for the same scenario. */
  trace: string[];
  runs: number;
  steps: number;
  sent: number;
  delivered: number;
  virtualMs: number;
}

/** A tally of nothing. */
export function newTally(): SimulationTally {
  return { trace: [], runs: 0, steps: 0, sent: 0, delivered: 0, virtualMs: 0 };
}

type Random = (limit: number) => number;

/** Numbers that are well mixed, from 0 to below a limit (splitmix32). */
function randomOf(seed: number): Random {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % limit;
  };
}

function oneOf<T>(random: Random, first: T, ...others: readonly T[]): T {
  return [first, ...others][random(others.length + 1)] ?? first;
}

/** Makes a scenario of a number. */
export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed);
  const isSwitching = random(4) === 0;
  const whole = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
  const steps = Array.from({ length: 1 + random(40) }, (): Step => {
    let place = random(whole);
    const [kind] = KINDS.find(([, weight]) => (place -= weight) < 0) ??
      KINDS[0];
    const size = random(8) === 0 ? random(3000) : random(60);
    return { kind, end: random(2) === 0 ? 0 : 1, size };
  });
  // Multiples of 128 are counted exactly by the clock of the module.
  return {
    seed,
    framing: random(2) === 0 ? 0 : 1,
    bufferSize: oneOf(random, 2, 7, 64, 1000, 65_536),
    readBufferSize: oneOf(random, 1, 16, 1024, 65_536),
    highWaterMark: oneOf(random, 1, 100, 65_536),
    receiveTimeout: oneOf(random, undefined, undefined, 256, 1280),
    idleTimeout: oneOf(random, undefined, undefined, 256, 1280),
    sendTimeout: oneOf(random, undefined, undefined, 256, 1280),
    heartbeat: oneOf(random, undefined, undefined, 64, 512),
    isWatched: random(2) === 0,
    isSwitching,
    steps,
  };
}

/** Something that was begun, and how it ended. */
interface Begun {
  readonly what: string;
  result: PromiseSettledResult<unknown> | undefined;
}

/** One call that takes messages, in the order of calling. */
interface Take {
  readonly messages: string[];
  /** Given up, though its place was kept. */
  isSwallowing: boolean;
}

/** Why a wait was given up. */
class GivenUp extends Error {
  override name = "GivenUp";
}

/** A fault that no peer makes. */
class Odd extends Error {
  override name = "Odd";
}

const KNOWN_ERRORS: readonly string[] = [
  "AbortError",
  "BrokenPipe",
  "ConnectionReset",
  "FramingError",
  "GivenUp",
  "InvalidStateError",
  "Odd",
  "TimeoutError",
  "UnexpectedEof",
];

// Of a transport that was not closed by its connection.
const CLOSED_BY_OTHERS: readonly string[] = ["BadResource", "Interrupted"];

/** When something was last. */
class Moment {
  #last = 0;
  #before = 0;

  note(now: number): void {
    if (now === this.#last) return;
    this.#before = this.#last;
    this.#last = now;
  }

  /** Before `now`, as both ends may time out in the same moment, one after the other. */
  before(now: number): number {
    return this.#last === now ? this.#before : this.#last;
  }
}

/** One end, and what it has done. */
class End {
  connection: Connection<string, string>;
  readonly name: string;
  readonly #time: VirtualTime;
  readonly #scenario: Scenario;
  readonly #log: (event: string) => void;
  readonly transport: PairedTransport;
  readonly accepted: string[] = [];
  readonly takes: Take[] = [];
  readonly begun: Begun[] = [];
  readonly #abortable: AbortController[] = [];
  /** What was done here after which messages may be missing. */
  hasBroken = false;
  wasClosed = false;
  wasReset = false;
  #sendingFraming: 0 | 1;
  #receivingFraming: 0 | 1;
  readonly #fault = { read: false, write: false, zeroReads: 0 };
  #readAt = new Moment();
  #movedAt = new Moment();
  #isWatched: boolean;
  #unwatched: Connection<string, string>[] = [];
  #detaching: Promise<void> | undefined;
  hasStoppedReading = false;
  #beats = 0;

  constructor(
    name: string,
    transport: PairedTransport,
    time: VirtualTime,
    scenario: Scenario,
    trace: string[],
  ) {
    this.name = name;
    this.#log = (event) =>
      void trace.push(`${time.now - time.start} ms, ${name}: ${event}`);
    this.transport = transport;
    this.#time = time;
    this.#scenario = scenario;
    this.#isWatched = scenario.isWatched;
    this.#sendingFraming = this.#receivingFraming = scenario.framing;
    this.connection = this.#connect(overriding<Transport>(transport, {
      read: (buffer) => this.#read(buffer),
      write: (bytes) => this.#write(bytes),
    }));
    if (scenario.isSwitching) this.#begin("loop", this.#loop());
  }

  get isSettled(): boolean {
    return this.begun.every(({ result }) => result !== undefined);
  }

  get taken(): string[] {
    return this.takes.flatMap(({ messages }) => messages);
  }

  get #framing(): Framing<string> {
    const { decoder } = framingOf(this.#receivingFraming);
    const { encoder } = framingOf(this.#sendingFraming);
    return { decoder, encoder };
  }

  #connect(transport: Transport): Connection<string, string> {
    const { heartbeat, ...options } = this.#scenario;
    this.#noteRead();
    const { readBufferSize, highWaterMark } = options;
    const { receiveTimeout, idleTimeout, sendTimeout } = options;
    const connection = new Connection(transport, {
      framing: this.#framing,
      readBufferSize,
      highWaterMark,
      receiveTimeout,
      idleTimeout,
      sendTimeout,
      heartbeat: heartbeat === undefined
        ? undefined
        : { interval: heartbeat, message: () => this.#beat() },
    });
    if (this.#isWatched) this.#watch(connection);
    else this.#unwatched.push(connection);
    return connection;
  }

  #watch(connection: Connection<string, string>): void {
    const { hasEnded } = connection; // at a moment that is not known
    this.#begin(
      "closed",
      connection.closed.catch((error) => {
        this.hasBroken = true;
        if (!hasEnded) this.#checkTimeout(error);
        throw error;
      }),
    );
  }

  #beat(): string {
    const beat = `${this.name} beat ${this.#beats++}`;
    this.accepted.push(beat);
    return beat;
  }

  /** Asserts that a timeout of reading is not told too soon. */
  #checkTimeout(error: unknown): void {
    if (!(error instanceof DOMException)) return;
    const { receiveTimeout, idleTimeout } = this.#scenario;
    const limits = [
      ["receiveTimeout", receiveTimeout, this.#readAt],
      ["idleTimeout", idleTimeout, this.#movedAt],
    ] as const;
    for (const [name, limit, since] of limits) {
      if (!error.message.includes(`within ${name}`)) continue;
      assert(limit !== undefined, `There is no ${name}`);
      const passed = this.#time.now - since.before(this.#time.now);
      assert(passed >= limit, `${name} after ${passed} of ${limit} ms`);
    }
  }

  async #read(buffer: Uint8Array): Promise<number | null> {
    if (this.#fault.read) throw new Odd("Cannot read");
    if (this.#fault.zeroReads > 0) {
      this.#fault.zeroReads--;
      this.#noteRead();
      return 0; // is not the end
    }
    const length = await this.transport.read(buffer);
    this.#log(`read ${length} of ${buffer.length}`);
    this.#noteRead();
    return length;
  }

  async #write(bytes: Uint8Array): Promise<number> {
    if (this.#fault.write) throw new Odd("Cannot write");
    const length = await this.transport.write(bytes);
    this.#log(`wrote ${length} of ${bytes.length}`);
    this.#movedAt.note(this.#time.now);
    return length;
  }

  #noteRead(): void {
    this.#readAt.note(this.#time.now);
    this.#movedAt.note(this.#time.now);
  }

  run({ kind, size }: Step): void {
    const { connection, transport } = this;
    const isLoop = this.#scenario.isSwitching;
    switch (kind) {
      case "send":
        return this.#send(size);
      case "sendSome":
        for (let i = 0; i < 2 + size % 7; i++) this.#send(size % 30);
        return;
      case "request":
      case "question":
        return isLoop ? undefined : this.#request(size, kind === "request");
      case "receive":
        return isLoop ? undefined : this.#receive();
      case "iterate":
        if (isLoop) return;
        return this.#begin("iterate", this.#iterate(1 + size % 5));
      case "batch":
        if (isLoop) return;
        return this.#begin("batch", this.#batch());
      case "abortOne":
        return this.#abortable.shift()?.abort(new GivenUp("Given up"));
      case "flush":
        return this.#begin("flush()", connection.flush());
      case "closeRead":
        if (this.#detaching !== undefined) return;
        this.hasBroken = this.hasStoppedReading = true;
        return connection.closeRead();
      case "closeWrite":
        return this.#begin("closeWrite()", connection.closeWrite());
      case "close":
        this.wasClosed = true;
        return this.#begin("close()", connection.close());
      case "abort":
        this.hasBroken = true;
        return connection.abort();
      case "reframe":
        return isLoop ? this.#reframe() : undefined;
      case "detach":
        // What arrives after closeRead() is dropped: the rest begins anywhere.
        if (isLoop || this.hasStoppedReading) return;
        if (this.#detaching !== undefined) return;
        this.#detaching = this.#detach();
        return this.#begin("detach()", this.#detaching);
      case "stall":
        return transport.stall();
      case "resume":
        return transport.resume();
      case "deliver":
        return transport.deliver(1 + size);
      case "cut":
        transport.maxRead = 1 + size % 9;
        return;
      case "zeroRead":
        this.#fault.zeroReads += 1 + size % 3;
        return;
      case "end":
        this.hasBroken = true;
        // Refused while a write is under way.
        return void transport.closeWrite().catch(() => {});
      case "reset":
        this.hasBroken = this.wasReset = true;
        return transport.reset();
      case "failRead":
        this.#fault.read = this.hasBroken = true;
        return;
      case "failWrite":
        this.#fault.write = this.hasBroken = true;
        return;
      case "settle":
      case "sleep":
      case "busy":
        return; // of the world
    }
  }

  /** Takes all messages that come, and ends. */
  finish(): void {
    this.#isWatched = true;
    for (const connection of this.#unwatched) this.#watch(connection);
    if (!this.#scenario.isSwitching) this.#begin("drain", this.#drain());
    this.#begin("closeWrite()", this.#closeWrite());
  }

  async #drain(): Promise<void> {
    const { connection } = this;
    await this.#iterate(Infinity);
    await this.#untilDetached();
    if (this.connection !== connection) await this.#drain();
  }

  async #closeWrite(): Promise<void> {
    await this.#untilDetached();
    await this.connection.closeWrite();
  }

  /** Waits until a connection that is to be detached was, or could not be. */
  async #untilDetached(): Promise<void> {
    await Promise.allSettled([this.#detaching]);
  }

  #begin(what: string, promise: Promise<unknown>): void {
    const begun: Begun = { what: `${what} of ${this.name}`, result: undefined };
    this.begun.push(begun);
    promise.then(
      (value) => {
        begun.result = { status: "fulfilled", value };
        this.#log(`${what} is done`);
      },
      (reason) => {
        begun.result = { status: "rejected", reason };
        this.#log(`${what} failed: ${reason}`);
      },
    );
  }

  #sending(message: string, begin: () => Promise<unknown>) {
    const before = this.connection.stats().messagesSent;
    const promise = begin();
    const isAccepted = this.connection.stats().messagesSent > before;
    if (isAccepted) this.accepted.push(message);
    return { promise, isAccepted };
  }

  #nextMessage(size: number): string {
    return `${this.name} ${this.accepted.length} ${"x".repeat(size)}`;
  }

  #send(size: number): void {
    const message = this.#nextMessage(size);
    const { promise, isAccepted } = this.#sending(
      message,
      () => this.connection.send(message),
    );
    const told = isAccepted ? promise : promise.then(() => {
      throw new Error("send() was told as done though nothing was let in");
    });
    this.#begin("send()", told);
  }

  #request(size: number, mayGoOn: boolean): void {
    const controller = new AbortController();
    const { signal } = controller;
    const message = this.#nextMessage(size);
    const take = this.#take();
    const onAbort = mayGoOn ? "skip" : "disconnect";
    const { promise, isAccepted } = this.#sending(
      message,
      () => this.connection.request(message, { signal, onAbort }),
    );
    if (isAccepted) this.#abortable.push(controller);
    this.#begin(
      "request()",
      promise.then((answer) => take.messages.push(String(answer)), (error) => {
        if (error instanceof GivenUp) take.isSwallowing = mayGoOn;
        throw error;
      }),
    );
  }

  #receive(): void {
    const controller = new AbortController();
    this.#abortable.push(controller);
    const take = this.#take();
    const receiving = this.connection.receive({ signal: controller.signal });
    this.#begin(
      "receive()",
      receiving.then((message) => {
        if (message !== undefined) take.messages.push(message);
      }),
    );
  }

  async #iterate(count: number): Promise<void> {
    const iterator = this.connection[Symbol.asyncIterator]();
    for (let i = 0; i < count; i++) {
      const take = this.#take();
      const { value, done } = await iterator.next();
      if (done) return;
      take.messages.push(value);
    }
    await iterator.return?.();
  }

  async #batch(): Promise<void> {
    const iterator = this.connection.batches()[Symbol.asyncIterator]();
    const take = this.#take();
    const { value, done } = await iterator.next();
    if (done) return;
    assert(value.length > 0, "An empty batch");
    take.messages.push(...value);
    await iterator.return?.();
  }

  /** Receives all, each in the framing that the one before may have told. */
  async #loop(): Promise<void> {
    const take = this.#take();
    for await (const message of this.connection) {
      take.messages.push(message);
      if (!message.startsWith("reframe")) continue;
      this.#receivingFraming = this.#receivingFraming === 0 ? 1 : 0;
      this.connection.reframe(this.#framing);
    }
  }

  #reframe(): void {
    const message = `reframe ${this.accepted.length}`;
    const { promise, isAccepted } = this.#sending(
      message,
      () => this.connection.send(message),
    );
    this.#begin("send()", promise);
    if (!isAccepted) return;
    this.#sendingFraming = this.#sendingFraming === 0 ? 1 : 0;
    this.connection.reframe(this.#framing);
  }

  /** Goes on in another connection over what is handed over. */
  async #detach(): Promise<void> {
    const { transport, unread } = await this.connection.detach();
    let rest = unread;
    this.connection = this.#connect(overriding<Transport>(transport, {
      async read(buffer) {
        if (rest.length === 0) return await transport.read(buffer);
        const piece = rest.subarray(0, buffer.length);
        buffer.set(piece);
        rest = rest.subarray(piece.length);
        return piece.length;
      },
    }));
  }

  #take(): Take {
    const take: Take = { messages: [], isSwallowing: false };
    this.takes.push(take);
    return take;
  }
}

function framingOf(index: 0 | 1): Framing<string> {
  const framing = FRAMINGS[index];
  assert(framing !== undefined);
  return {
    decoder: () => framing.decoder(),
    encoder: () => framing.encoder(),
  };
}

// Longer than all timeouts, and a peer that reads a byte at a time.
const FINISH_MS = 60_000;

/** Runs a scenario, and asserts that what comes of it is allowed. */
export async function simulate(
  scenario: Scenario,
  tally: SimulationTally,
): Promise<void> {
  noteLook();
  using time = new VirtualTime();
  const { bufferSize, steps } = scenario;
  const [nearTransport, farTransport] = transportPair({ bufferSize });
  const trace: string[] = tally.trace = [];
  const near = new End("near", nearTransport, time, scenario, trace);
  const far = new End("far", farTransport, time, scenario, trace);
  const ends = [near, far] as const;
  try {
    for (const step of steps) {
      trace.push(stepText(step));
      if (step.kind === "settle") await time.settle();
      else if (step.kind === "sleep") await time.advance(step.size * 4);
      else if (step.kind === "busy") time.pass(step.size * 4);
      else ends[step.end].run(step);
      checkOrder(near, far);
      checkOrder(far, near);
    }
    for (const { transport } of ends) transport.resume();
    for (const each of ends) each.finish();
    await time.settle();
    const end = time.now + FINISH_MS;
    while (!ends.every(({ isSettled }) => isSettled)) {
      if (!await time.step(end)) break;
    }
    // With nothing read on either side, what is queued waits until one gives up.
    if (ends.every(({ hasStoppedReading }) => hasStoppedReading)) {
      near.connection.abort();
      await time.settle();
      while (await time.step(end + FINISH_MS)) {
        if (far.isSettled) break;
      }
    }
    for (const each of ends) checkSettled(each);
    checkDelivery(near, far);
    checkDelivery(far, near);
    for (const { connection, transport, name } of ends) {
      assertEquals(connection.stats().bufferedAmount, 0, `queued at ${name}`);
      assert(transport.isClosed, `The transport of ${name} is open`);
    }
    await time.settle();
    assertEquals(time.pending, 0, "Timers are left");
  } finally {
    for (const { connection } of ends) connection.abort();
    await time.settle();
    while (await time.step(time.now + FINISH_MS));
    tally.virtualMs += time.now - time.start;
  }
  tally.runs++;
  tally.steps += steps.length;
  for (const each of ends) {
    tally.sent += each.accepted.length;
    tally.delivered += each.taken.length;
  }
}

/** Asserts that `to` took what `from` sent, in order and once. Gives how many are missing. */
function checkOrder(from: End, to: End): number {
  let next = 0;
  let swallowed = 0;
  for (const { messages, isSwallowing } of to.takes) {
    for (const message of messages) {
      const place = from.accepted.indexOf(message, next);
      const isNext = place >= next && place <= next + swallowed;
      assert(
        isNext,
        `${to.name} took ${brief(message)} in place of ${
          brief(from.accepted[next])
        }`,
      );
      next = place + 1;
      swallowed = 0;
    }
    if (isSwallowing) swallowed++;
  }
  return from.accepted.length - next - swallowed;
}

function checkDelivery(from: End, to: End): void {
  const missing = checkOrder(from, to);
  if (from.hasBroken || to.hasBroken || to.wasClosed) return;
  // Who closes does not read what then comes, by which the connection is reset.
  if (from.wasClosed && to.accepted.length > 0) return;
  assert(
    missing <= 0,
    `${missing} of ${from.accepted.length} messages of ${from.name} were lost`,
  );
}

function checkSettled({ begun, wasReset }: End): void {
  for (const { what, result } of begun) {
    assert(result !== undefined, `${what} did not settle`);
    if (result.status === "fulfilled") continue;
    const { reason } = result;
    const isKnown = reason instanceof Error &&
      (KNOWN_ERRORS.includes(reason.name) ||
        wasReset && CLOSED_BY_OTHERS.includes(reason.name));
    if (!isKnown) {
      throw new Error(`${what} failed: ${reason}`, { cause: reason });
    }
  }
}

function brief(message: string | undefined): string {
  return message === undefined ? "nothing" : `"${message.slice(0, 20)}"`;
}

/** Runs what a number makes; a failure tells how to repeat it, and its fewest steps. */
export async function simulateSeed(
  seed: number,
  tally: SimulationTally,
): Promise<void> {
  const scenario = scenarioOf(seed);
  const failure = await failureOf(scenario, tally);
  if (failure === undefined) return;
  const { steps } = await shrink(scenario);
  throw new Error(
    `${failure.message}
Repeat it: deno run -A dev/stress/simulation.ts --seed ${seed}
Fewest steps: ${steps.map(stepText).join(" ")}`,
    { cause: failure },
  );
}

function stepText({ kind, end, size }: Step): string {
  return `${kind}(${end}, ${size})`;
}

async function failureOf(
  scenario: Scenario,
  tally = newTally(),
): Promise<Error | undefined> {
  try {
    await simulate(scenario, tally);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Drops steps one at a time, for as long as it still fails. */
async function shrink(scenario: Scenario): Promise<Scenario> {
  let least = scenario;
  for (let place = least.steps.length - 1; place >= 0; place--) {
    const steps = least.steps.toSpliced(place, 1);
    const smaller = { ...least, steps };
    if (await failureOf(smaller) !== undefined) least = smaller;
  }
  return least;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seed: { type: "string" } } });
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(
      `--seed must be a whole number: current value is ${values.seed}`,
    );
  }
  const { steps: _, ...settings } = scenarioOf(seed);
  console.log(settings);
  const tally = newTally();
  const failure = await failureOf(scenarioOf(seed), tally);
  console.log(tally.trace.join("\n"));
  if (failure !== undefined) await simulateSeed(seed, tally);
}

if (import.meta.main) await main();
