import { assert, assertEquals } from "@std/assert";
import {
  FAULT_FRAMINGS,
  faultsAt,
  HARMLESS_FAULTS,
  type NamedFault,
  runThroughFault,
  type Tally,
  WORKLOADS,
} from "./fault_workloads.ts";

async function runAll(faults: readonly NamedFault[]): Promise<Tally> {
  const tally = { runs: 0, sent: 0, delivered: 0 };
  for (const fault of faults) {
    for (const workload of WORKLOADS) {
      await Promise.all(
        FAULT_FRAMINGS.map((framing) =>
          runThroughFault(workload, framing, fault, tally)
        ),
      );
    }
  }
  return tally;
}

Deno.test("every workload over every framing survives delays, cuts and stalls", async () => {
  const { runs, sent, delivered } = await runAll(HARMLESS_FAULTS);

  assert(runs > 0);
  assertEquals(delivered, sent);
});

Deno.test("every workload over every framing settles when its connection is cut short", async () => {
  const { sent, delivered } = await runAll([0, 1, 17, 64].flatMap(faultsAt));

  assert(delivered < sent, "The faults cut nothing short");
});
