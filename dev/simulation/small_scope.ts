/**
 * Runs all programs of a small scope instead of random ones: each sequence of a few
 * operations on both ends, with each single fault at each point, checked with the table
 * of endings.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { notePoll } from "../../connection/_testing.ts";
import { transportPair } from "../../testing.ts";
import { VirtualClock } from "./clock.ts";
import { type Cause, checkArrival, checkEnding } from "./endings.ts";
import { checkOrder, checkSettled } from "./model.ts";
import {
  type Fault,
  faults,
  MODES,
  programText,
  sequences,
  type SmallProgram,
} from "./small_programs.ts";
import { BUFFER_BYTES, Witness } from "./witness.ts";

/** The counts of some runs. */
export interface ScopeTally {
  /** Sequences of operations, and runs of them under all faults. */
  programs: number;
  runs: number;
  /** How often each row of the table applied to an end. */
  readonly rows: Map<Cause, number>;
}

/** The part of the small scope to run. */
export interface ScopeOptions {
  /** The minimum and maximum number of operations. */
  readonly least?: number | undefined;
  readonly most: number;
  readonly modes?: typeof MODES | undefined;
  /** Called after each sequence; `false` ends the run. */
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

// Faults with which the network still delivers everything.
const CARRIED: readonly Fault["kind"][] = [
  "cut",
  "stall",
  "failWrite",
  "corrupt",
];

// Between two operations: longer than timers of 0 ms.
const REST_MS = 2;
const FINISH_MS = 60_000;
const BETWEEN_RUNS_MS = 1_000_000;

/** Runs one program, and asserts the rules of the table and the model. */
export async function runSmall(
  program: SmallProgram,
  clock: VirtualClock,
  tally: ScopeTally,
): Promise<void> {
  notePoll();
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
