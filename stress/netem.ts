/** The workloads over a network that loses, delays and reorders packets. */
import type { ReportRow } from "./report_row.ts";

/** The full sizes of this suite, for about `seconds`. */
export async function* networkRows(
  _options: { seconds: number; seed: number },
): AsyncGenerator<ReportRow> {
}
