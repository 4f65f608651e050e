import { assertEquals } from "@std/assert";
import { ROWS } from "./endings.ts";
import { faults, MODES, runScope, sequences } from "./small_scope.ts";

// About two seconds; `deno task simulate --scope 5` runs all.
const MOST = 2;

Deno.test(`all programs of up to ${MOST} operations, with each fault at each point, end as the table says`, async () => {
  const { runs, rows } = await runScope({ most: MOST });
  const expected = sequences(MOST).reduce(
    (sum, { length }) => sum + MODES.length * [...faults(length)].length,
    0,
  );
  assertEquals(runs, expected);
  // Each row of the table was met.
  assertEquals([...rows.keys()].sort(), Object.keys(ROWS).sort());
});
