import { assert } from "@std/assert";
import fc from "npm:fast-check@4.10.2";
import { type Program, program, runProgram } from "./connection_model.ts";

const seed = Date.now() % 2 ** 31;

Deno.test(`any program on both ends keeps order, loses nothing and settles (seed ${seed})`, async () => {
  const tally = { programs: 0, operations: 0, sent: 0, delivered: 0 };
  await fc.assert(
    fc.asyncProperty(program, (program) => runProgram(program, tally)),
    { seed, numRuns: 400 },
  );
  assert(tally.delivered > 0);
});

// Programs that failed once, as they were shrunk.
const KEPT: Readonly<Record<string, Program>> = {
  "close() and closeWrite() together wait for a peer that is still sending": {
    framing: "lines",
    highWaterMark: 1,
    readBufferSize: 1024,
    drain: "receive",
    isRelayed: false,
    operations: [
      { kind: "send", end: 1, size: 123_898 },
      { kind: "sendNow", end: 1, size: 677, count: 6 },
      { kind: "send", end: 0, size: 195_531 },
      { kind: "send", end: 0, size: 13 },
      { kind: "close", end: 1 },
    ],
  },
};

for (const [name, program] of Object.entries(KEPT)) {
  Deno.test(name, async () => {
    const tally = { programs: 0, operations: 0, sent: 0, delivered: 0 };
    await runProgram(program, tally);
  });
}
