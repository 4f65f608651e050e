/**
 * Makes the same calls on two sockets and on two ends in memory: the results must be
 * equal. Linux only, because each system reports a reset differently.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Transport } from "../connection/transport.ts";
import type { PairedTransport } from "./paired_transport.ts";
import { transportPair } from "./transport_pair.ts";

// After this time, a call on a socket that has not settled fails the test.
const WATCHDOG_MS = 10_000;

// On a busy system a packet may arrive after the call that sent it has returned, in a
// few of some thousand programs.
const LATE_DELIVERY_MS = 50;
const MAX_LATE_PROGRAMS = 5;

const ignore = Deno.build.os !== "linux";

let loopbacks = 0;

/**
 * Two connected sockets. Each time another address is used, because a port stays in use
 * for a minute.
 */
async function sockets(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  const number = loopbacks++ % 50_000;
  const hostname = `127.2.${number % 250}.${1 + Math.floor(number / 250)}`;
  using listener = Deno.listen({ hostname, port: 0 });
  return await Promise.all([
    Deno.connect({ hostname, port: listener.addr.port }),
    listener.accept(),
  ]);
}

/** A number, `null` or an error's name. */
type Outcome = number | null | undefined | string;

async function outcomeOf(
  call: () => Promise<number | null | void>,
): Promise<Outcome> {
  try {
    return await call() ?? null;
  } catch (error) {
    assert(error instanceof Error);
    return error.name;
  }
}

/** Lets all promises settle that do not need the event loop. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 20; i++) await undefined;
}

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function withinWatchdog<T>(promise: Promise<T>): Promise<T> {
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error("The kernel has not settled it")),
    WATCHDOG_MS,
  );
  try {
    return await Promise.race([promise, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}

const NAMES = ["write", "read", "closeWrite", "close"] as const;

const CALLS: Record<
  typeof NAMES[number],
  (end: Transport) => Promise<number | null | void>
> = {
  write: (end: Transport) => end.write(new Uint8Array(3)),
  read: (end: Transport) => end.read(new Uint8Array(2)),
  closeWrite: (end: Transport) => end.closeWrite(),
  close: (end: Transport) => Promise.resolve(end.close()),
};

/** A call on one of the two ends. */
interface Step {
  readonly side: 0 | 1;
  readonly call: typeof NAMES[number];
}

/** Every program of `length` steps that starts with the first end. */
function* programs(length: number): Generator<Step[]> {
  if (length === 0) return yield [];
  for (const start of programs(length - 1)) {
    for (const side of length === 1 ? [0] as const : [0, 1] as const) {
      for (const call of NAMES) {
        yield [...start, { side, call }];
      }
    }
  }
}

function isPossible(end: PairedTransport, { call }: Step): boolean {
  // Deno allows a second read, and refuses a second close.
  return call === "read"
    ? !end.isReading
    : call === "close"
    ? !end.isClosed
    : true;
}

/** The results of a program, and which calls had settled after each step. */
interface Run {
  readonly steps: Step[];
  readonly outcomes: Outcome[];
  readonly settledAfter: number[][];
}

/** Runs a program in memory. At the end, both ends are closed. */
async function runInMemory(program: Step[]): Promise<Run> {
  const ends = transportPair();
  const steps: Step[] = [];
  const settledAfter: number[][] = [];
  const outcomes: Outcome[] = [];
  const calls: Promise<void>[] = [];
  let settled: number[] = [];
  const finish: Step[] = [
    { side: 0, call: "close" },
    { side: 1, call: "close" },
  ];
  for (const step of [...program, ...finish]) {
    const end = ends[step.side];
    if (!isPossible(end, step)) continue;
    const index = steps.push(step) - 1;
    calls.push(
      outcomeOf(() => CALLS[step.call](end)).then((outcome) => {
        outcomes[index] = outcome;
        settled.push(index);
      }),
    );
    await microtasks();
    settledAfter.push(settled);
    settled = [];
  }
  await Promise.all(calls);
  return { steps, outcomes, settledAfter };
}

/**
 * Runs the program on sockets. Waits for the calls that have settled in memory, and for
 * `pause` milliseconds after each call.
 */
async function runInKernel(
  { steps, settledAfter }: Run,
  pause?: number,
): Promise<Outcome[]> {
  const ends = await sockets();
  const calls: Promise<Outcome>[] = [];
  for (const [i, { side, call }] of steps.entries()) {
    calls.push(outcomeOf(() => CALLS[call](ends[side])));
    const settled = settledAfter[i] ?? [];
    await withinWatchdog(Promise.all(settled.map((index) => calls[index])));
    if (pause !== undefined) await sleep(pause);
  }
  return await Promise.all(calls);
}

for (const length of [1, 2, 3, 4]) {
  Deno.test({
    name:
      `transportPair() does what sockets do in every program of ${length} calls`,
    ignore,
    async fn() {
      let late = 0;
      for (const program of programs(length)) {
        const run = await runInMemory(program);
        const inMemory = describe(run.steps, run.outcomes);
        const inKernel = describe(run.steps, await runInKernel(run));
        if (inMemory === inKernel) continue;
        late++;
        assert(
          late <= MAX_LATE_PROGRAMS,
          `In memory:\n${inMemory}\n${inKernel}`,
        );
        const patiently = await runInKernel(run, LATE_DELIVERY_MS);
        assertEquals(inMemory, describe(run.steps, patiently));
      }
    },
  });
}

function describe(steps: Step[], outcomes: Outcome[]): string {
  return steps.map(({ side, call }, i) =>
    `${side === 0 ? "near" : "far"}.${call}(): ${outcomes[i]}`
  ).join("\n");
}

/** Writes until a write fails, and returns its outcome. */
async function fill(
  end: Transport,
): Promise<{ sent: number; outcome: Outcome }> {
  let sent = 0;
  const outcome = await outcomeOf(async () => {
    for (;;) sent += await end.write(new Uint8Array(1_000_000));
  });
  return { sent, outcome };
}

/** Reads to the end or an error, and returns that outcome. */
async function drain(
  end: Transport,
): Promise<{ received: number; outcome: Outcome }> {
  const buffer = new Uint8Array(1_000_000);
  let received = 0;
  const outcome = await outcomeOf(async () => {
    for (;;) {
      const length = await end.read(buffer);
      if (length === null) return null;
      received += length;
    }
  });
  return { received, outcome };
}

/** Waits until the kernel takes no more bytes from `fill()`. */
async function untilBlocked(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn();
}

/** Programs on two ends whose buffers differ in size. */
const SCENES: Record<
  string,
  (near: Transport, far: Transport) => Promise<unknown>
> = {
  async "a close with unread bytes loses what is in flight"(near, far) {
    await far.write(new Uint8Array(1));
    const filling = fill(near);
    await untilBlocked();
    near.close();
    const { sent, outcome } = await filling;
    const drained = await drain(far);
    return [
      outcome,
      drained.received > 0 && drained.received < sent,
      drained.outcome,
      await outcomeOf(() => far.read(new Uint8Array(1))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
    ];
  },
  async "a close without unread bytes loses nothing"(near, far) {
    const filling = fill(near);
    await untilBlocked();
    near.close();
    const { sent, outcome } = await filling;
    const drained = await drain(far);
    return [
      outcome,
      drained.received === sent,
      drained.outcome,
      await outcomeOf(() => far.write(new Uint8Array(1))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
    ];
  },
  async "a write to an end that is closed loses what is in flight"(near, far) {
    const filling = fill(near);
    await untilBlocked();
    near.close();
    const { sent } = await filling;
    const written = await outcomeOf(() => far.write(new Uint8Array(1)));
    const drained = await drain(far);
    return [
      written,
      drained.received > 0 && drained.received < sent,
      drained.outcome,
      await outcomeOf(() => far.read(new Uint8Array(1))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
    ];
  },
  async "a write that waits fails when the reader closes"(near, far) {
    const filling = fill(near);
    await untilBlocked();
    far.close();
    return [
      (await filling).outcome,
      await outcomeOf(() => near.read(new Uint8Array(1))),
      await outcomeOf(() => near.write(new Uint8Array(1))),
      await outcomeOf(() => near.closeWrite()),
    ];
  },
};

for (const [name, scene] of Object.entries(SCENES)) {
  Deno.test({
    name: `transportPair() does what sockets do: ${name}`,
    ignore,
    async fn() {
      const ends = transportPair();
      const inMemory = await scene(...ends);
      const conns = await sockets();
      try {
        assertEquals(inMemory, await withinWatchdog(scene(...conns)));
      } finally {
        for (const end of [...ends, ...conns]) closeAgain(end);
      }
    },
  });
}

/** Closes what may be closed already. */
function closeAgain(end: Transport): void {
  try {
    end.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** An end that can reset the connection; Deno's own sockets cannot. */
interface Resetting {
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  reset(): void;
}

const RESETS: Record<
  string,
  (near: Resetting, far: Transport) => Promise<Outcome[]>
> = {
  async "reads after it"(near, far) {
    await near.write(new Uint8Array(3));
    near.reset();
    await turn();
    const read = () => outcomeOf(() => far.read(new Uint8Array(2)));
    return [await read(), await read(), await read(), await read()];
  },
  async "a write after it, then reads"(near, far) {
    await near.write(new Uint8Array(3));
    near.reset();
    await turn();
    const write = () => outcomeOf(() => far.write(new Uint8Array(2)));
    const read = () => outcomeOf(() => far.read(new Uint8Array(2)));
    return [
      await write(),
      await write(),
      await read(),
      await read(),
      await read(),
    ];
  },
  async "closeWrite() after it, then reads"(near, far) {
    near.reset();
    await turn();
    return [
      await outcomeOf(() => far.closeWrite()),
      await outcomeOf(() => far.closeWrite()),
      await outcomeOf(() => far.read(new Uint8Array(1))),
      await outcomeOf(() => far.read(new Uint8Array(1))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
    ];
  },
  async "after the end of its writes"(near, far) {
    await near.write(new Uint8Array(3));
    await near.closeWrite();
    await turn();
    near.reset();
    await turn();
    return [
      await outcomeOf(() => far.read(new Uint8Array(9))),
      await outcomeOf(() => far.read(new Uint8Array(9))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
      await outcomeOf(() => far.closeWrite()),
    ];
  },
  async "during a read and a write"(near, far) {
    const reading = outcomeOf(() => far.read(new Uint8Array(1)));
    const filling = fill(far);
    await untilBlocked();
    near.reset();
    return [
      await reading,
      (await filling).outcome,
      await outcomeOf(() => far.read(new Uint8Array(1))),
      await outcomeOf(() => far.write(new Uint8Array(1))),
    ];
  },
};

for (const [name, scene] of Object.entries(RESETS)) {
  Deno.test({
    name: `PairedTransport.reset() does what a socket's does: ${name}`,
    ignore,
    async fn() {
      const [near, far] = transportPair();
      const inMemory = await scene(near, far);
      far.close();

      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const socket = net.connect({
        host: "127.0.0.1",
        port: listener.addr.port,
        allowHalfOpen: true,
      });
      socket.on("error", () => {});
      socket.pause();
      using conn = await listener.accept();
      await once(socket, "connect");
      const closed = once(socket, "close");
      const inKernel = await withinWatchdog(scene({
        write: (bytes) =>
          new Promise((resolve, reject) =>
            socket.write(
              bytes,
              (error) => error ? reject(error) : resolve(bytes.length),
            )
          ),
        closeWrite: () => new Promise((resolve) => socket.end(resolve)),
        reset: () => void socket.resetAndDestroy(),
      }, conn));
      await closed;
      assertEquals(inMemory, inKernel);
    },
  });
}
