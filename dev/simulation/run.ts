/** Runs a program on two connections in virtual time, and checks it with the model. */
import { assert, assertEquals } from "@std/assert";
import { notePoll } from "../../connection/_testing.ts";
import { transportPair } from "../../testing.ts";
import { VirtualClock } from "./clock.ts";
import { End } from "./end.ts";
import { checkDelivery, checkOrder, checkSettled } from "./model.ts";
import { type Program, stepText } from "./programs.ts";

/** The counts of some runs. */
export interface Tally {
  /** The events of the last run with their times: the same for the same program. */
  trace: string[];
  runs: number;
  steps: number;
  sent: number;
  delivered: number;
  virtualMs: number;
}

/** An empty tally. */
export function newTally(): Tally {
  return { trace: [], runs: 0, steps: 0, sent: 0, delivered: 0, virtualMs: 0 };
}

// Longer than all timeouts, also with a peer that reads byte by byte.
const FINISH_MS = 60_000;

/** Runs a program, and asserts that its result is allowed. */
export async function runProgram(
  program: Program,
  tally: Tally,
): Promise<void> {
  notePoll();
  using clock = new VirtualClock();
  const { bufferSize, steps } = program;
  const [nearTransport, farTransport] = transportPair({ bufferSize });
  const trace: string[] = tally.trace = [];
  const near = new End("near", nearTransport, clock, program, trace);
  const far = new End("far", farTransport, clock, program, trace);
  const ends = [near, far] as const;
  try {
    for (const step of steps) {
      trace.push(stepText(step));
      if (step.kind === "settle") await clock.settle();
      else if (step.kind === "sleep") await clock.advance(step.size * 4);
      else if (step.kind === "busy") await beBusy(ends, clock, step.size * 4);
      else ends[step.end].run(step);
      checkOrder(near, far);
      checkOrder(far, near);
    }
    for (const { transport } of ends) transport.resume();
    for (const each of ends) each.finish();
    await clock.settle();
    const end = clock.now + FINISH_MS;
    while (!ends.every(({ isSettled }) => isSettled)) {
      if (!await clock.step(end)) break;
    }
    // If neither side reads, the queues wait until one side gives up.
    if (ends.every(({ isDeaf }) => isDeaf)) {
      near.connection.abort();
      await clock.settle();
      while (await clock.step(end + FINISH_MS)) {
        if (far.isSettled) break;
      }
    }
    for (const each of ends) checkSettled(each);
    checkDelivery(near, far);
    checkDelivery(far, near);
    const { receiveTimeout, idleTimeout, sendTimeout } = program;
    const mayFail = ends.some(({ mayFail }) => mayFail) ||
      (receiveTimeout ?? idleTimeout ?? sendTimeout) !== undefined;
    for (const { connection, transport, name } of ends) {
      assertEquals(connection.stats().bufferedAmount, 0, `queued at ${name}`);
      assert(transport.isClosed, `The transport of ${name} is open`);
      if (!mayFail) await connection.closed;
    }
    await clock.settle();
    assertEquals(clock.pending, 0, "Timers are left");
  } finally {
    for (const { connection } of ends) connection.abort();
    await clock.settle();
    while (await clock.step(clock.now + FINISH_MS));
    tally.virtualMs += clock.now - clock.start;
  }
  tally.runs++;
  tally.steps += steps.length;
  for (const each of ends) {
    tally.sent += each.accepted.length;
    tally.delivered += each.taken.length;
  }
}

// During the poll of the sockets that the module waits for before a timeout.
const TURNS_TO_SOCKETS = 30;

/**
 * Lets time pass in which this thread does not poll its sockets, although bytes have
 * arrived. Then the timers fire first, as in every event loop.
 */
async function beBusy(
  ends: readonly End[],
  clock: VirtualClock,
  milliseconds: number,
): Promise<void> {
  for (const each of ends) each.faulty.hold();
  await clock.settle();
  clock.pass(milliseconds);
  const goOn = (turn: number) => {
    if (turn < TURNS_TO_SOCKETS) setImmediate(() => goOn(turn + 1));
    else for (const each of ends) each.faulty.letGo();
  };
  goOn(0);
  await clock.fireDue();
}
