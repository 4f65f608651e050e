import { assertEquals } from "@std/assert";
import { ROWS } from "./endings.ts";
import { VirtualClock } from "./clock.ts";
import {
  faults,
  MODES,
  sequences,
  type SmallProgram,
} from "./small_programs.ts";
import { runScope, runSmall } from "./small_scope.ts";

// Takes about two seconds; `deno task simulate --scope 5` runs all.
const MOST = 2;

Deno.test(`all programs of up to ${MOST} operations, with each fault at each point, end as the table of endings says`, async () => {
  const { runs, rows } = await runScope({ most: MOST });
  const expected = sequences(MOST).reduce(
    (sum, { length }) => sum + MODES.length * [...faults(length)].length,
    0,
  );
  assertEquals(runs, expected);
  // Each row of the table occurred.
  assertEquals([...rows.keys()].sort(), Object.keys(ROWS).sort());
});

// Longer programs that failed in the past.
const KEPT: Readonly<Record<string, SmallProgram>> = {
  "a malformed message and a failed write in one turn: nothing is read after the close":
    {
      operations: [
        { kind: "send", end: 0 },
        { kind: "close", end: 0 },
        { kind: "closeRead", end: 0 },
        { kind: "send", end: 1 },
      ],
      fault: { kind: "corrupt", end: 1, point: 0 },
      isSlow: true,
      isWatched: false,
    },
  "closeRead() after close() does not keep the peer from receiving the rest": {
    operations: [
      { kind: "send", end: 0 },
      { kind: "send", end: 0 },
      { kind: "send", end: 1 },
      { kind: "close", end: 1 },
      { kind: "closeRead", end: 1 },
    ],
    fault: { kind: "stall", end: 0, point: 1 },
    isSlow: true,
    isWatched: false,
  },
};

for (const [name, program] of Object.entries(KEPT)) {
  Deno.test(name, async () => {
    using clock = new VirtualClock();
    await runSmall(program, clock, { programs: 0, runs: 0, rows: new Map() });
  });
}
