import { assert } from "@std/assert";
import {
  assertAllArrived,
  assertAllEnded,
  ENDED_BY_LIMIT,
  findRefusals,
  openImpaired,
  runOver,
} from "./netem.ts";
import { NetworkLink } from "./netem_link.ts";

const refusals = await findRefusals();
if (refusals.impairment !== undefined) {
  // deno-lint-ignore no-console -- a test that is left out must not go unseen
  console.log(`Skipped the tests with network faults: ${refusals.impairment}`);
}

Deno.test({
  name:
    "every workload holds where packets are lost, late, doubled, corrupted and reordered",
  ignore: refusals.impairment !== undefined,
  async fn() {
    const impairment = {
      delay: 1,
      loss: 1,
      duplicate: 5,
      corrupt: 1,
      reorder: 10,
    };
    const { netem } = refusals;
    await using link = await openImpaired(impairment, { seed: 1, netem });

    const run = await runOver(link, { seconds: 0, messages: 8 });

    assertAllArrived(run);
    assert(run.result.arrived > 500);
    assert(run.counters.retransmitted > 0);
  },
});

Deno.test({
  name:
    "every connection ends by its timeouts when the link goes down for good",
  ignore: refusals.namespaces !== undefined,
  async fn() {
    await using link = await NetworkLink.open();

    const run = await runOver(link, {
      seconds: 0,
      messages: 8,
      limits: { idleTimeout: 1000, sendTimeout: 700 },
      isCut: true,
      disturb: () => link.setUp(false),
    });

    assertAllEnded(run, ENDED_BY_LIMIT);
    assert(run.result.arrived > 0);
  },
});
