/** Faults that are put back into the module on purpose: the simulation finds each. */
import { assert, assertMatch } from "@std/assert";
import { type Patch, patchedCopy } from "./patched.ts";

// As many as simulation_test.ts tries.
const SEEDS = 1000;

interface Fault extends Patch {
  readonly name: string;
  /** What the simulation says of it. */
  readonly found: RegExp;
}

const FAULTS: readonly Fault[] = [
  {
    name: "a lost wake-up: who waits for room in the queue is not told of it",
    path: "connection/_writer.ts",
    changes: [["this.#room.resolve();", ""]],
    found: /did not settle/,
  },
  {
    name:
      "a double delivery: a message that was waited for is handed out again",
    path: "connection/_receivers.ts",
    changes: [
      ["readonly #taker: Taker<T>;", "readonly #taker: Taker<T>; #kept?: T;"],
      [
        "const value = this.#taker.next();",
        "const value = this.#kept ?? this.#taker.next(); this.#kept = undefined;",
      ],
      [
        "const value = this.#taker.take();",
        "const value = this.#kept = this.#taker.take();",
      ],
    ],
    found: /took .* in place of/,
  },
  {
    name: "a false timeout: what was received does not begin the time anew",
    path: "internal/countdown.ts",
    changes: [["this.#waited = 0;\n    this.#from = clock.from;", ""]],
    found: /Timeout after/,
  },
  {
    name: "a false timeout: time counts in which this thread came to no socket",
    path: "internal/countdown.ts",
    changes: [
      ["this.from += Math.min(passed, most);", "this.from += passed;"],
      ["await untilLook(() => this.#advance());", ""],
    ],
    found: /Timeout though something had come/,
  },
];

for (const fault of FAULTS) {
  Deno.test(`the simulation finds ${fault.name}`, async () => {
    await using copy = await patchedCopy(fault);
    const shrink: typeof import("./shrink.ts") = await import(
      copy.urlOf("dev/simulation/shrink.ts")
    );
    const run: typeof import("./run.ts") = await import(
      copy.urlOf("dev/simulation/run.ts")
    );
    const tally = run.newTally();
    let found: Error | undefined;
    for (let seed = 1; seed <= SEEDS && found === undefined; seed++) {
      found = await shrink.failureOf(() => shrink.runSeed(seed, tally));
    }
    assert(found !== undefined, `not found in ${SEEDS} programs`);
    assertMatch(found.message, fault.found);
    assertMatch(found.message, /--seed \d+\nFewest steps: /);
  });
}

type Row = readonly [received: string, unread: string, queued: string];
