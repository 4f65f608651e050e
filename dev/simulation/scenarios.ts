/** Scenarios of a server and its clients: one seed makes their events. */
import { seededRandom } from "../../internal/random.ts";
import { oneOf } from "./programs.ts";

const KINDS = [
  ["ask", 12],
  ["upload", 6],
  ["broadcast", 8],
  ["sleep", 10],
  ["settle", 4],
  ["partition", 2],
  ["heal", 3],
  ["vanish", 2],
  ["reset", 2],
  ["kick", 1],
  ["hangUp", 1],
  ["failAccept", 1],
] as const satisfies readonly (readonly [string, number])[];

/** One event. */
export interface Event {
  readonly kind: typeof KINDS[number][0];
  /** The index of the client. */
  readonly client: number;
  /** Bytes or milliseconds, depending on the kind. */
  readonly size: number;
}

/** A scenario and its options. */
export interface Scenario {
  readonly seed: number;
  readonly clients: number;
  readonly bufferSize: number;
  readonly highWaterMark: number;
  /** What a broadcast does with slow clients. */
  readonly slow: "wait" | "drop" | "disconnect";
  readonly maxConnections: number | undefined;
  readonly events: readonly Event[];
}

/** Makes a scenario from a seed. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed);
  const whole = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
  return {
    seed,
    clients: 1 + random(4),
    bufferSize: oneOf(random, 7, 64, 1000, 65_536),
    highWaterMark: oneOf(random, 1, 100, 65_536),
    slow: oneOf(random, "wait", "drop", "disconnect"),
    maxConnections: oneOf(random, undefined, undefined, 1, 2),
    events: Array.from({ length: 1 + random(40) }, (): Event => {
      let place = random(whole);
      const [kind] = KINDS.find(([, weight]) => (place -= weight) < 0) ??
        KINDS[0];
      const size = random(8) === 0 ? random(2000) : random(60);
      return { kind, client: random(4), size };
    }),
  };
}
