/** The lines of the report on framings. */
import { seededRandom } from "../../framing/_testing.ts";
import { checkMemory, CHUNK_LENGTHS } from "./framing_memory.ts";
import { FRAMING_PROPERTIES } from "./framing_properties.ts";
import { OwnMemory } from "./own_memory.ts";
import { tryFor } from "./property_run.ts";
import type { ReportRow, SuiteOptions } from "./report_row.ts";

/** Runs the framing suite for about `seconds`. */
export async function* framingRows(
  { seconds, seed }: SuiteOptions,
): AsyncGenerator<ReportRow> {
  const good = { lost: 0, duplicated: 0, unsettled: 0, note: "" };
  {
    using memory = new OwnMemory();
    const random = seededRandom(seed);
    const lengths = Array.from({ length: 3 }, () => 1000 + random(200_000));
    yield {
      ...good,
      workload: "no decoder keeps more than maxLength and one chunk",
      fault: "messages that never end",
      operations: checkMemory([...CHUNK_LENGTHS, ...lengths]),
      peakMemory: memory.peak,
      note: "operations are measurements of the held memory",
    };
  }
  const share = seconds / FRAMING_PROPERTIES.length;
  for (const { name, property } of FRAMING_PROPERTIES) {
    using memory = new OwnMemory();
    const operations = await tryFor(property, { seconds: share, seed });
    yield {
      ...good,
      workload: name,
      fault: "any framing, messages, bytes and cuts",
      operations,
      peakMemory: memory.peak,
    };
  }
}
