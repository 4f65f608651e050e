/** The lines of the report on workloads through the fault proxy. */
import {
  FAULT_FRAMINGS,
  faultsAt,
  HARMLESS_FAULTS,
  type NamedFault,
  runThroughFault,
  stallsAt,
  type Tally,
  type Workload,
  WORKLOADS,
} from "./fault_workloads.ts";
import { OwnMemory } from "./own_memory.ts";
import type { ReportRow, SuiteOptions } from "./report_row.ts";

// After this many bytes all messages have passed, in every framing.
const LAST_PLACE = 200;

/** Runs a workload with each framing through each of some faults. */
async function runThroughFaults(
  workload: Workload,
  faults: readonly NamedFault[],
): Promise<Tally> {
  const tally = { runs: 0, sent: 0, delivered: 0 };
  for (const fault of faults) {
    await Promise.all(
      FAULT_FRAMINGS.map((framing) =>
        runThroughFault(workload, framing, fault, tally)
      ),
    );
  }
  return tally;
}

/** Runs the fault suite for about `seconds`; each fault occurs at least once. */
export async function* faultRows(
  { seconds }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  const deadline = Date.now() + seconds * 1000;
  const kinds = new Map<string, NamedFault[]>();
  const places = Array.from({ length: LAST_PLACE }, (_, place) => place);
  const faults = [
    ...HARMLESS_FAULTS,
    ...places.flatMap((place) => [...stallsAt(place), ...faultsAt(place)]),
  ];
  for (const fault of faults) {
    const kind = kindOf(fault);
    kinds.set(kind, [...kinds.get(kind) ?? [], fault]);
  }
  const pairs = WORKLOADS.flatMap((workload) =>
    [...kinds].map(([kind, faults]) => ({ workload, kind, faults }))
  );
  for (const [index, { workload, kind, faults }] of pairs.entries()) {
    using memory = new OwnMemory();
    const share = (deadline - Date.now()) / (pairs.length - index);
    const end = Date.now() + share;
    const total = { runs: 0, sent: 0, delivered: 0 };
    let rounds = 0;
    do {
      rounds++;
      const { runs, sent, delivered } = await runThroughFaults(
        workload,
        faults,
      );
      total.runs += runs;
      total.sent += sent;
      total.delivered += delivered;
    } while (Date.now() < end);
    const mayLose = faults.some(({ loses }) => loses);
    yield {
      workload: `${workload}, each framing`,
      fault: kind,
      operations: total.sent,
      // A run asserts that missing messages were not acknowledged.
      lost: mayLose ? 0 : total.sent - total.delivered,
      duplicated: 0,
      unsettled: 0,
      peakMemory: memory.peak,
      note: `${total.runs} runs${
        mayLose ? `; ${total.delivered} messages passed before the fault` : ""
      }`,
    };
  }
}

/** The fault without its position. */
function kindOf({ name }: NamedFault): string {
  return name.replace(/ at byte \d+$/, " at one byte after another");
}
