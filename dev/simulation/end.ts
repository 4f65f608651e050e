/** One end of a connection, which runs the steps of a program and records what it does. */
import { assert } from "@std/assert";
import { overriding } from "../../connection/_testing.ts";
import { Connection } from "../../connection/connection.ts";
import type { Transport } from "../../connection/transport.ts";
import { asText, type Framing, lengthPrefixed, lines } from "../../framing.ts";
import type { PairedTransport } from "../../testing.ts";
import type { VirtualClock } from "./clock.ts";
import { type Begun, type Deeds, GivenUp, type Take } from "./model.ts";
import { FaultyTransport, Odd } from "./network.ts";
import type { Kind, Program, Step } from "./programs.ts";

const FRAMINGS: readonly Framing<string>[] = [
  lines({ trailing: "error" }),
  asText(lengthPrefixed()),
];

// An aborted request ends its connection, and so do bytes that reach an end that does
// not read.
const FAILING: readonly Kind[] = [
  "abort",
  "close",
  "closeRead",
  "end",
  "failRead",
  "failWrite",
  "question",
  "reset",
];

/** The times of the last events. */
class Moment {
  #last = 0;
  #before = 0;

  note(now: number): void {
    if (now === this.#last) return;
    this.#before = this.#last;
    this.#last = now;
  }

  /**
   * Before `now`, because both ends may time out in the same moment, one after the
   * other.
   */
  before(now: number): number {
    return this.#last === now ? this.#before : this.#last;
  }
}

/** One end, and the record of what it has done. */
export class End implements Deeds {
  connection: Connection<string, string>;
  readonly name: string;
  readonly #clock: VirtualClock;
  readonly #program: Program;
  readonly #log: (event: string) => void;
  readonly transport: PairedTransport;
  readonly accepted: string[] = [];
  readonly takes: Take[] = [];
  readonly begun: Begun[] = [];
  readonly #abortable: AbortController[] = [];
  /** Actions of this end after which messages may be missing. */
  hasBroken = false;
  /** Actions of this end that may end a connection with an error. */
  mayFail = false;
  wasClosed = false;
  wasReset = false;
  #sendingFraming: 0 | 1;
  #receivingFraming: 0 | 1;
  readonly faulty: FaultyTransport;
  #readAt = new Moment();
  #movedAt = new Moment();
  #isWatched: boolean;
  #unwatched: Connection<string, string>[] = [];
  #detaching: Promise<void> | undefined;
  hasStoppedReading = false;
  #hasClosedWrite = false;
  #beats = 0;

  constructor(
    name: string,
    transport: PairedTransport,
    clock: VirtualClock,
    program: Program,
    trace: string[],
  ) {
    this.name = name;
    this.#log = (event) =>
      void trace.push(`${clock.now - clock.start} ms, ${name}: ${event}`);
    this.transport = transport;
    this.#clock = clock;
    this.#program = program;
    this.#isWatched = program.isWatched;
    this.#sendingFraming = this.#receivingFraming = program.framing;
    this.faulty = new FaultyTransport(transport, {
      onRead: (length, buffer) => {
        this.#log(`read ${length} of ${buffer.length}`);
        this.#noteRead();
      },
      onWrite: (length, bytes) => {
        this.#log(`wrote ${length} of ${bytes.length}`);
        this.#movedAt.note(this.#clock.now);
      },
    }, program);
    this.connection = this.#connect(this.faulty);
    if (program.isSwitching) this.#begin("loop", this.#loop());
  }

  get isSettled(): boolean {
    return this.begun.every(({ result }) => result !== undefined);
  }

  /** Whether this end never reads again, however long the peer waits. */
  get isDeaf(): boolean {
    return this.hasStoppedReading || this.faulty.failsReads;
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
    const { heartbeat, ...options } = this.#program;
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
    const { signal } = connection; // aborted at an unknown moment, or not yet
    signal.addEventListener("abort", () => {
      const { reason } = signal;
      this.#begin("the timeout", Promise.try(() => this.#checkTimeout(reason)));
    });
    this.#begin(
      "closed",
      connection.closed.catch((error) => {
        this.hasBroken = true;
        throw error;
      }),
    );
  }

  #beat(): string {
    const beat = `${this.name} beat ${this.#beats++}`;
    this.accepted.push(beat);
    return beat;
  }

  /** Asserts that a timeout of reading is not reported too early. */
  #checkTimeout(error: unknown): void {
    if (!(error instanceof DOMException)) return;
    const { receiveTimeout, idleTimeout } = this.#program;
    const limits = [
      ["receiveTimeout", receiveTimeout, this.#readAt],
      ["idleTimeout", idleTimeout, this.#movedAt],
    ] as const;
    for (const [name, limit, since] of limits) {
      if (!error.message.includes(`within ${name}`)) continue;
      assert(limit !== undefined, `There is no ${name}`);
      const passed = this.#clock.now - since.before(this.#clock.now);
      assert(passed >= limit, `${name} after ${passed} of ${limit} ms`);
      const isUnseen = this.faulty.isHolding;
      assert(!isUnseen, `${name} though something had come`);
    }
  }

  #noteRead(): void {
    this.#readAt.note(this.#clock.now);
    this.#movedAt.note(this.#clock.now);
  }

  run({ kind, size }: Step): void {
    if (FAILING.includes(kind)) this.mayFail = true;
    const { connection, transport } = this;
    const isLoop = this.#program.isSwitching;
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
        return this.#begin("iterate", this.#iterate(this.#countOf(size)));
      case "batch":
        if (isLoop) return;
        return this.#begin("batch", this.#batches(1));
      case "abortOne":
        return this.#abortable.shift()?.abort(new GivenUp("Given up"));
      case "flush":
        return this.#begin("flush()", connection.flush());
      case "closeRead":
        if (this.#detaching !== undefined) return;
        this.hasBroken = this.hasStoppedReading = true;
        return connection.closeRead();
      case "closeWrite":
        this.#hasClosedWrite = true;
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
        // Bytes that arrive after closeRead() are dropped: the rest may start inside a
        // message.
        if (isLoop || this.hasStoppedReading) return;
        if (this.#detaching !== undefined) return;
        // The next owner may try to send later.
        if (this.#hasClosedWrite) this.mayFail = true;
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
        return this.faulty.giveNothing(1 + size % 3);
      case "end":
        this.hasBroken = true;
        // Refused while a write is under way.
        return void transport.closeWrite().catch(() => {});
      case "reset":
        this.hasBroken = this.wasReset = true;
        return transport.reset();
      case "failRead":
        this.hasBroken = true;
        return this.faulty.failReads(new Odd("Cannot read"));
      case "failWrite":
        this.hasBroken = true;
        return this.faulty.failWrites(new Odd("Cannot write"));
      case "settle":
      case "sleep":
      case "busy":
        return;
    }
  }

  /** Receives all messages, then ends. */
  finish(): void {
    this.#isWatched = true;
    for (const connection of this.#unwatched) this.#watch(connection);
    if (!this.#program.isSwitching) this.#begin("drain", this.#drain());
    this.#begin("closeWrite()", this.#closeWrite());
  }

  async #drain(): Promise<void> {
    const { connection } = this;
    await this.#drainConnection();
    await this.#untilDetached();
    if (this.connection !== connection) await this.#drain();
  }

  async #drainConnection(): Promise<void> {
    switch (this.#program.drain) {
      case "receive":
        for (;;) {
          const take = this.#take();
          const message = await this.connection.receive();
          if (message === undefined) return;
          take.messages.push(message);
        }
      case "iterate":
        return await this.#iterate(Infinity);
      case "batches":
        return await this.#batches(Infinity);
      case "readable": {
        const reader = this.connection.readable.getReader();
        for (;;) {
          const take = this.#take();
          const { value, done } = await reader.read();
          if (done) return reader.releaseLock();
          take.messages.push(value);
        }
      }
    }
  }

  async #closeWrite(): Promise<void> {
    await this.#untilDetached();
    await this.connection.closeWrite();
  }

  /** Waits until a connection was detached, or could not be. */
  async #untilDetached(): Promise<void> {
    await Promise.allSettled([this.#detaching]);
  }

  /**
   * The number of messages that a loop takes: other receivers get no turn during a
   * stream.
   */
  #countOf(size: number): number {
    return this.#program.drain === "readable" ? 1 : 1 + size % 5;
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

  async #batches(count: number): Promise<void> {
    const iterator = this.connection.batches()[Symbol.asyncIterator]();
    for (let i = 0; i < count; i++) {
      const take = this.#take();
      const { value, done } = await iterator.next();
      if (done) return;
      assert(value.length > 0, "An empty batch");
      take.messages.push(...value);
    }
    await iterator.return?.();
  }

  /**
   * Receives all messages, each in the framing that the previous one may have
   * announced.
   */
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

  /** Continues in another connection over the detached transport. */
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
