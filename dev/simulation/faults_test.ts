/** Puts faults into the module on purpose, and asserts that the simulation finds each. */
import { assert, assertMatch, assertRejects } from "@std/assert";
import { type Patch, patchedCopy } from "./patched.ts";

// The same number as in simulation_test.ts.
const SEEDS = 1000;
// The same number as in service_test.ts.
const SERVICE_SEEDS = 60;

interface Fault extends Patch {
  readonly name: string;
  /** The message of the simulation. */
  readonly found: RegExp;
}

const FAULTS: readonly Fault[] = [
  {
    name:
      "a lost wake-up: a sender that waits for room in the queue is not resumed",
    path: "connection/_writer.ts",
    changes: [["this.#room.resolve();", ""]],
    found: /did not settle/,
  },
  {
    name: "a double delivery: a message is given to a second receiver",
    path: "connection/_receivers.ts",
    changes: [
      ["readonly #taker: Taker<T>;", "readonly #taker: Taker<T>; #kept?: T;"],
      [
        "const value = this.#taker.next();",
        "const value = this.#kept ?? this.#taker.next(); this.#kept = undefined;",
      ],
      [
        "return waiter.promise;",
        "return waiter.promise.then((result) => (this.#kept = result.value, result));",
      ],
    ],
    found: /took .* in place of/,
  },
  {
    name: "a false timeout: received bytes do not restart the time",
    path: "internal/countdown.ts",
    changes: [[
      "reset(): void {\n    this.#waited = 0;\n    this.#begin();",
      "reset(): void {",
    ]],
    found: /Timeout after/,
  },
  {
    name:
      "a false timeout: time counts in which this thread did not poll its sockets",
    path: "internal/countdown.ts",
    changes: [
      ["this.now += Math.min(passed, most);", "this.now += passed;"],
      ["await untilPoll(() => this.#advance());", ""],
    ],
    found: /Timeout though something had come/,
  },
];

const FAULTS_OF_SERVICES: readonly Fault[] = [
  {
    name: "a double delivery: a broadcast is queued twice",
    path: "connection/broadcast.ts",
    changes: [[
      "writer.queueShared(frame);",
      "writer.queueShared(frame); writer.queueShared(frame);",
    ]],
    found: /received an old broadcast/,
  },
];

for (const fault of FAULTS) {
  Deno.test(`the simulation finds ${fault.name}`, async () => {
    await using copy = await patchedCopy(fault);
    const { runSeed }: typeof import("./shrink.ts") = await import(
      copy.urlOf("dev/simulation/shrink.ts")
    );
    const { newTally }: typeof import("./run.ts") = await import(
      copy.urlOf("dev/simulation/run.ts")
    );
    await assertFound(fault, SEEDS, (seed) => runSeed(seed, newTally()));
  });
}

for (const fault of FAULTS_OF_SERVICES) {
  Deno.test(`the simulation finds ${fault.name}`, async () => {
    await using copy = await patchedCopy(fault);
    const { newServiceTally, runServiceSeed }: typeof import("./service.ts") =
      await import(copy.urlOf("dev/simulation/service.ts"));
    await assertFound(
      fault,
      SERVICE_SEEDS,
      (seed) => runServiceSeed(seed, newServiceTally()),
    );
  });
}

/** Asserts that a run with one of the first seeds fails with the expected message. */
async function assertFound(
  fault: Fault,
  seeds: number,
  run: (seed: number) => Promise<void>,
): Promise<void> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await run(seed);
    } catch (error) {
      assert(error instanceof Error);
      assertMatch(error.message, fault.found);
      assertMatch(error.message, /Repeat it: .* \d+\nFewest /);
      return;
    }
  }
  throw new Error(`Not found in ${seeds} runs`);
}

/**
 * Cells of the table of endings, with a wrong value. The other cells need more
 * operations, or cannot be wrong: messages are decoded when they are received, so all
 * messages before a malformed one were received. Draining at `close()` needs more bytes
 * than this scope has; connection/ending_table_test.ts tests it.
 */
const CELLS = [
  ["peerGone", "received", "delivered", "dropped"],
  ["failed", "received", "delivered", "dropped"],
  ["failed", "unread", "dropped", "delivered"],
  ["failed", "queued", "dropped", "sent"],
  ["aborted", "unread", "dropped", "delivered"],
  ["aborted", "queued", "dropped", "sent"],
] as const;

for (const [row, column, cell, other] of CELLS) {
  Deno.test(`all programs of two operations find that "${column}" of the ending "${row}" is "${other}"`, async () => {
    const path = "connection/_ending.ts";
    const source = await Deno.readTextFile(
      new URL(`../../${path}`, import.meta.url),
    );
    const start = source.indexOf(`  ${row}: {`);
    const before = source.slice(start, source.indexOf("}", start));
    const after = before.replace(
      `${column}: "${cell}"`,
      `${column}: "${other}"`,
    );
    await using copy = await patchedCopy({ path, changes: [[before, after]] });
    const { runScope }: typeof import("./small_scope.ts") = await import(
      copy.urlOf("dev/simulation/small_scope.ts")
    );
    const error = await assertRejects(() => runScope({ most: 2 }), Error);
    assertMatch(error.message, /(near|far)/);
  });
}
