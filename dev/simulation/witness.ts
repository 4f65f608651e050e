/**
 * One end of a program of the small scope, which records the facts that the table is
 * about.
 */
import { assert, assertEquals } from "@std/assert";
import { Connection } from "../../connection/connection.ts";
import { type Framing, FramingError, lines } from "../../framing.ts";
import type { PairedTransport } from "../../testing.ts";
import type { VirtualClock } from "./clock.ts";
import type { Cause, Ended, Outcome, Progress } from "./endings.ts";
import type { Begun, Deeds, Take } from "./model.ts";
import { FaultyTransport, Odd } from "./network.ts";
import type { Fault, Operation } from "./small_programs.ts";

// One whole message is read ahead, half of the next one has arrived or is in flight,
// and the other half is queued.
const MESSAGE_BYTES = 8;
/** The buffer of a transport between two of them. */
export const BUFFER_BYTES = 4;
// The module's clock counts a multiple of 128 exactly.
const IDLE_MS = 256;

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

const text = lines({ trailing: "error", fatal: true });

/** One end, which records the facts that the table is about. */
export class Witness implements Deeds {
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
        // A closing connection ignores it: nothing is left to save.
        const isFirst = this.#ends === 1 && this.#endings.length === 0;
        if (isFirst) this.#noteWriteError(error);
      },
    }, { canReset: true });
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

  /** Receives all messages, then ends. */
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

  /** Whether an error of reading is the connection's own. */
  get #isReading(): boolean {
    return this.#stoppedReading === undefined && !this.#isEnding;
  }

  /** Whether the event that ended this end has reached the connection. */
  get #isEnding(): boolean {
    return this.#endings.length > 0 && this.connection.hasEnded;
  }

  /** Records what ends the connection, unless its transport was already released. */
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
    // An error ends only calls that start after it has reached the connection.
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

  /** Text; records when a decoder fails. */
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
