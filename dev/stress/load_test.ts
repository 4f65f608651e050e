import { assert, assertEquals } from "@std/assert";
import {
  type LoadResult,
  openMany,
  readSlowly,
  runOutOfDescriptors,
  storm,
} from "./load.ts";
import { soak } from "./soak.ts";

const ignore = Deno.build.os !== "linux"; // only Linux has /proc

/** Asserts that every request was answered, and that the server has released everything. */
function assertGood({ tally, before, after }: LoadResult): void {
  const { asked, answered, wrong, unsettled, failures } = tally;
  assert(asked > 0);
  assertEquals(
    { answered, wrong, unsettled, failures: [...failures] },
    { answered: asked, wrong: 0, unsettled: 0, failures: [] },
  );
  assertEquals(after.connections, 0);
  assertEquals(after.descriptors, before.descriptors);
}

Deno.test({
  name: "serve() answers on many concurrent connections",
  ignore,
  async fn() {
    const load = await openMany({ connections: 200, rounds: 2 });

    assertEquals(load.during.connections, 200);
    assertGood(load);
  },
});

for (const closer of ["client", "server"] as const) {
  Deno.test({
    name: `serve() releases all descriptors when the ${closer} closes first`,
    ignore,
    async fn() {
      assertGood(await storm({ connections: 500, closer }));
    },
  });
}

Deno.test({
  name: "serve() continues when descriptors are free again",
  ignore,
  async fn() {
    const load = await runOutOfDescriptors({
      maxDescriptors: 60,
      connections: 100,
    });

    assert(load.after.shortages > 0, "There were descriptors enough");
    assertGood(load);
  },
});

Deno.test({
  name: "serve() answers many fast readers beside a slow one",
  ignore,
  async fn() {
    const load = await readSlowly({ fast: 50, blocks: 1, rounds: 3 });

    assert(load.leftOut > 0, "The slow one was not slow");
    assertGood(load);
  },
});

Deno.test({
  name:
    "serve() and connect() keep working through mixed work and failed connections",
  ignore,
  async fn() {
    const load = await soak({ seconds: 1, sampleSeconds: 1 });

    assert(load.after.errors > load.before.errors, "Nothing ended badly");
    assertGood(load);
  },
});
