/** Random programs of operations on both ends of a connection, and what may come of them. */
import { assert, assertEquals } from "@std/assert";
import fc from "npm:fast-check@4.10.2";
import { loopback, sockets } from "../../connection/_testing.ts";
import { Connection } from "../../connection/connection.ts";
import { asText, type Framing, lengthPrefixed, lines } from "../../framing.ts";
import { FaultProxy } from "./fault_proxy.ts";
import { settlement } from "./settling.ts";

/** What one end does, or the network between them. */
export type Operation =
  | { readonly kind: "send" | "request"; end: 0 | 1; size: number }
  | { readonly kind: "sendNow"; end: 0 | 1; size: number; count: number }
  | { readonly kind: "iterate"; end: 0 | 1; count: number }
  | { readonly kind: EndKind; end: 0 | 1 }
  | { readonly kind: "stall" | "resume" | "reset" | "turn" };

type EndKind =
  | "receive"
  | "batch"
  | "abortOne"
  | "flush"
  | "closeRead"
  | "closeWrite"
  | "close"
  | "abort";

/** A program, and how its connections are set up. */
export interface Program {
  readonly framing: "lines" | "lengthPrefixed";
  readonly highWaterMark: number;
  readonly readBufferSize: number;
  readonly drain: "receive" | "iterate" | "batches" | "readable";
  readonly isRelayed: boolean;
  readonly operations: readonly Operation[];
}

const end = fc.constantFrom<(0 | 1)[]>(0, 1);
const size = fc.oneof(
  { weight: 9, arbitrary: fc.nat(40) },
  { weight: 2, arbitrary: fc.nat(3000) },
  { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 900_000 }) },
);

function atEnd(kind: EndKind): fc.Arbitrary<Operation> {
  return end.map((end) => ({ kind, end }));
}

function sized(kind: "send" | "request"): fc.Arbitrary<Operation> {
  return fc.record({ kind: fc.constant(kind), end, size });
}

function alone(kind: "stall" | "resume" | "reset" | "turn") {
  return fc.constant<Operation>({ kind });
}

const operation = fc.oneof<fc.MaybeWeightedArbitrary<Operation>[]>(
  { weight: 10, arbitrary: sized("send") },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("sendNow" as const),
      end,
      size,
      count: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 6, arbitrary: sized("request") },
  { weight: 10, arbitrary: atEnd("receive") },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("iterate" as const),
      end,
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 4, arbitrary: atEnd("batch") },
  { weight: 6, arbitrary: atEnd("abortOne") },
  { weight: 3, arbitrary: atEnd("flush") },
  { weight: 1, arbitrary: atEnd("closeRead") },
  { weight: 2, arbitrary: atEnd("closeWrite") },
  { weight: 2, arbitrary: atEnd("close") },
  { weight: 1, arbitrary: atEnd("abort") },
  { weight: 3, arbitrary: alone("stall") },
  { weight: 3, arbitrary: alone("resume") },
  { weight: 1, arbitrary: alone("reset") },
  { weight: 10, arbitrary: alone("turn") },
);

// `node:net`, of which the relay is made, drops bytes that the system does not take
// immediately if their receiver has half-closed (Deno 2.9.6). It takes megabytes.
const MAX_RELAYED_BYTES = 20_000;

/** Any program. */
export const program: fc.Arbitrary<Program> = fc.record({
  framing: fc.constantFrom("lines", "lengthPrefixed"),
  highWaterMark: fc.constantFrom(1, 100, 65_536),
  readBufferSize: fc.constantFrom(1, 16, 1024, 65_536),
  drain: fc.constantFrom("receive", "iterate", "batches", "readable"),
  isRelayed: fc.boolean(),
  operations: fc.array(operation, { maxLength: 30, size: "max" }),
}).map((program) => {
  const { drain, isRelayed, operations, readBufferSize } = program;
  const isLarge = operations.some((each) => "size" in each && each.size > 300);
  const most = isRelayed ? MAX_RELAYED_BYTES : Infinity;
  return {
    ...program,
    // A byte a read is enough for messages of some length.
    readBufferSize: isLarge ? Math.max(readBufferSize, 1024) : readBufferSize,
    // A stream is one take, so no loop may come in between.
    operations: operations.map((each) => {
      if ("size" in each) return { ...each, size: Math.min(each.size, most) };
      return each.kind === "iterate" && drain === "readable"
        ? { ...each, count: 1 }
        : each;
    }),
  };
});

/** What was counted in some programs. */
export interface ModelTally {
  programs: number;
  operations: number;
  sent: number;
  delivered: number;
}

/** One call that takes messages, in the order of calling. */
interface Take {
  readonly messages: string[];
  /** Given up, though its place in the queue was kept. */
  isSwallowing: boolean;
}

/** Runs a program, and asserts that what comes of it is allowed. */
export async function runProgram(
  program: Program,
  tally: ModelTally,
): Promise<void> {
  await using network = await connectEnds(program);
  const { ends } = network;
  for (const operation of program.operations) {
    switch (operation.kind) {
      case "stall":
        network.proxy?.stall();
        break;
      case "resume":
        network.proxy?.resume();
        break;
      case "reset":
        if (network.proxy === undefined) break;
        network.isReset = true;
        network.proxy.reset();
        break;
      case "turn":
        await turn();
        break;
      default:
        ends[operation.end].run(operation);
        // Whatever can be done without the other end is done.
        if (operation.kind === "send") await turn();
    }
  }
  network.proxy?.resume();
  const [near, far] = ends;
  near.finish(program.drain);
  far.finish(program.drain);
  const results = await Promise.all([near.settle(), far.settle()]);
  checkErrors(results.flat());
  for (const [from, to] of [[near, far], [far, near]] as const) {
    // What is in the relay may come to an end that has closed, and be answered
    // by a reset.
    const mayCome = from.wasClosed &&
      (program.isRelayed || from.peerSentAtClose < to.accepted.length);
    checkDelivery(from, to, network.isReset || mayCome);
  }
  const isClean = !network.isReset &&
    ends.every(({ wasAborted, wasClosed, hasStoppedReading }) =>
      !wasAborted && !wasClosed && !hasStoppedReading
    );
  for (const { connection } of ends) {
    const closed = await settlement(connection.closed, "closed");
    if (!isClean) continue;
    assertEquals(
      closed.status,
      "fulfilled",
      "A good end was told as a bad one",
    );
    assertEquals(connection.stats().bufferedAmount, 0);
  }
  tally.programs++;
  tally.operations += program.operations.length;
  for (const each of ends) {
    tally.sent += each.accepted.length;
    tally.delivered += each.takes.flatMap(({ messages }) => messages).length;
  }
}

async function connectEnds(program: Program) {
  const { highWaterMark, readBufferSize, isRelayed } = program;
  const framing: Framing<string> = program.framing === "lines"
    ? lines({ trailing: "error" })
    : asText(lengthPrefixed());
  let conns;
  let proxy: FaultProxy | undefined;
  if (isRelayed) {
    using listener = Deno.listen({ hostname: loopback(), port: 0 });
    proxy = await FaultProxy.listen(listener.addr);
    const { hostname, port } = proxy;
    conns = await Promise.all([
      Deno.connect({ hostname, port }),
      listener.accept(),
    ]);
  } else {
    conns = await sockets();
  }
  const options = { framing, highWaterMark, readBufferSize };
  const [near, far] = conns;
  const ends = [
    new End(new Connection(near, options), "near"),
    new End(new Connection(far, options), "far"),
  ] as const;
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  return {
    ends,
    proxy,
    isReset: false,
    async [Symbol.asyncDispose]() {
      for (const { connection } of ends) {
        connection.abort();
        await connection.closed.catch(() => {});
      }
      await proxy?.[Symbol.asyncDispose]();
    },
  };
}

/** One end, and what it has done. */
class End {
  readonly connection: Connection<string, string>;
  readonly #name: string;
  /** The messages that were let in, in order. */
  readonly accepted: string[] = [];
  /** The calls that take messages, in order. */
  readonly takes: Take[] = [];
  readonly #pending: { what: string; promise: Promise<unknown> }[] = [];
  readonly #abortable: AbortController[] = [];
  /** The other end; set once both are there. */
  peer: End | undefined;
  /** How many messages of the peer the kernel had when this end was closed, if it had all. */
  peerSentAtClose = 0;
  wasClosed = false;
  wasAborted = false;
  hasStoppedReading = false;
  #hasEnded = false;

  constructor(connection: Connection<string, string>, name: string) {
    this.connection = connection;
    this.#name = name;
  }

  get taken(): string[] {
    return this.takes.flatMap(({ messages }) => messages);
  }

  run(operation: Extract<Operation, { end: 0 | 1 }>): void {
    const { connection } = this;
    switch (operation.kind) {
      case "send":
        return this.#send(operation.size);
      case "sendNow":
        for (let i = 0; i < operation.count; i++) this.#send(operation.size);
        return;
      case "request":
        return this.#request(operation.size);
      case "receive":
        return this.#receive();
      case "iterate":
        return this.#note("iterate", this.#iterate(operation.count));
      case "batch":
        return this.#note("batch", this.#batches(1));
      case "abortOne":
        return this.#abortable.shift()?.abort(new GivenUp());
      case "flush":
        return this.#note("flush()", connection.flush());
      case "closeRead":
        this.hasStoppedReading = true;
        return connection.closeRead();
      case "closeWrite":
        this.#hasEnded = true;
        return this.#note("closeWrite()", connection.closeWrite());
      case "close":
        if (!this.wasClosed) this.peerSentAtClose = this.#peerSent();
        this.wasClosed = true;
        this.#hasEnded = true;
        return this.#note("close()", connection.close());
      case "abort":
        this.wasAborted = true;
        this.#hasEnded = true;
        return connection.abort();
    }
  }

  #peerSent(): number {
    if (this.peer === undefined) return 0;
    const { connection, accepted } = this.peer;
    return connection.stats().bufferedAmount === 0 ? accepted.length : 0;
  }

  /** Takes all messages that come, and ends. */
  finish(drain: Program["drain"]): void {
    this.#note("drain", this.#drain(drain));
    this.#note("closeWrite()", this.connection.closeWrite());
  }

  /** Waits for everything that was begun. */
  async settle(): Promise<PromiseSettledResult<unknown>[]> {
    const results = [];
    for (const { what, promise } of this.#pending) {
      results.push(
        await settlement(promise, `${what} at the ${this.#name} end`),
      );
    }
    return results;
  }

  #note(what: string, promise: Promise<unknown>): void {
    promise.catch(() => {});
    this.#pending.push({ what, promise });
  }

  /** Begins something that lets a message in, or does not. */
  #sending(size: number, begin: (message: string) => Promise<unknown>) {
    const { connection } = this;
    const before = connection.stats().messagesSent;
    const message = `${this.#name}${before}:${"x".repeat(size)}`;
    const promise = begin(message);
    const isAccepted = connection.stats().messagesSent > before;
    if (isAccepted) this.accepted.push(message);
    assert(!(isAccepted && this.#hasEnded), "Let a message in after the end");
    return { promise, isAccepted };
  }

  #send(size: number): void {
    const { promise, isAccepted } = this.#sending(
      size,
      (message) => this.connection.send(message),
    );
    this.#note(
      "send()",
      isAccepted ? promise : promise.then(() => {
        throw new Error("send() settled well though no message was let in");
      }),
    );
  }

  #request(size: number): void {
    const controller = new AbortController();
    const { signal } = controller;
    const take = this.#take();
    const { promise, isAccepted } = this.#sending(
      size,
      (message) =>
        this.connection.request(message, { signal, onAbort: "skip" }),
    );
    if (isAccepted) this.#abortable.push(controller);
    this.#note(
      "request()",
      promise.then((answer) => take.messages.push(String(answer)), (error) => {
        if (error instanceof GivenUp) take.isSwallowing = true;
        throw error;
      }),
    );
  }

  #receive(): void {
    const controller = new AbortController();
    const { signal } = controller;
    this.#abortable.push(controller);
    const take = this.#take();
    const receiving = this.connection.receive({ signal });
    this.#note(
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

  async #drain(drain: Program["drain"]): Promise<void> {
    switch (drain) {
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
        const take = this.#take();
        for await (const message of this.connection.readable) {
          take.messages.push(message);
        }
      }
    }
  }

  #take(): Take {
    const take: Take = { messages: [], isSwallowing: false };
    this.takes.push(take);
    return take;
  }
}

/** Why a wait was given up. */
class GivenUp extends Error {}

/** Asserts that `to` took what `from` sent: in order, once, and all if it must. */
function checkDelivery(from: End, to: End, mayLose: boolean): void {
  const { accepted } = from;
  const { takes } = to;
  const last = takes.findLastIndex(({ messages }) => messages.length > 0);
  let next = 0;
  for (const [index, { messages, isSwallowing }] of takes.entries()) {
    for (const message of messages) {
      if (message === accepted[next]) next++;
      else {
        throw new Error(
          `Took ${brief(message)} in place of ${brief(accepted[next])}: sent ${
            accepted.map(brief)
          }, taken ${to.taken.map(brief)}`,
        );
      }
    }
    if (isSwallowing && index < last) next++;
  }
  const isLost = mayLose || from.wasAborted || to.wasAborted || to.wasClosed ||
    to.hasStoppedReading ||
    // No end is told apart from a bad one then.
    (from.hasStoppedReading && to.accepted.length > from.taken.length);
  if (isLost) return;
  const swallowed = takes.filter(({ isSwallowing }) => isSwallowing).length;
  const missing = accepted.length - next;
  const swallowedLast =
    takes.filter(({ isSwallowing }, index) => isSwallowing && index > last)
      .length;
  assert(
    missing <= swallowedLast,
    `Lost ${missing} of ${accepted.length} messages, ${swallowed} swallowed`,
  );
}

function brief(message: string | undefined): string {
  return message === undefined ? "nothing" : message.slice(0, 10);
}

/** By name, as the system's errors have no class in every runtime. */
const KNOWN_ERRORS = [
  "AbortError",
  "BrokenPipe",
  "ConnectionAborted",
  "ConnectionReset",
  "FramingError",
  "InvalidStateError",
  "NotConnected",
  "UnexpectedEof",
];

/** Asserts that each failure is one that is documented. */
function checkErrors(results: PromiseSettledResult<unknown>[]): void {
  for (const result of results) {
    if (result.status === "fulfilled") continue;
    const { reason } = result;
    const isKnown = reason instanceof GivenUp ||
      (reason instanceof Error && KNOWN_ERRORS.includes(reason.name));
    if (!isKnown) throw reason;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
