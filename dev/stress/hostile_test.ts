import { assert, assertEquals } from "@std/assert";
import {
  besideSilent,
  GoodClients,
  HOSTILE_CASES,
  notEnded,
  Target,
} from "./hostile.ts";

// Long enough that only a peer that is never ended reaches this limit.
const STUCK_MS = 20_000;
const MAX_GROWTH_BYTES = 300_000_000;

Deno.test("serve() ends every hostile peer with its error and answers good clients", async () => {
  await using target = await Target.start(100);
  const before = (await target.figures()).memory;
  const doors = [...new Set(HOSTILE_CASES.map(({ door }) => door))];
  const clients = await Promise.all(
    doors.flatMap((door) => Array.from({ length: 3 }, () => target.join(door))),
  );
  await using good = new GoodClients(clients);
  await using _attackers = await target.attack(
    HOSTILE_CASES.map((each) => ({ ...each, connections: 2 })),
    (index) => HOSTILE_CASES[index]?.door ?? "lines",
  );

  const deadline = Date.now() + STUCK_MS;
  let figures = await target.figures();
  while (notEnded(figures).length > 0 && Date.now() < deadline) {
    figures = await target.figures();
  }

  assertEquals(notEnded(figures), []);
  const { asked, ...bad } = good.tally;
  assert(asked > 0);
  assertEquals(bad, { lost: 0, wrong: 0, unsettled: 0 });
  assert(figures.memory - before < MAX_GROWTH_BYTES);
});

for (const door of ["small", "smallTls"] as const) {
  Deno.test(`serve() with maxConnections lets good clients in after silent ones (${door})`, async () => {
    const { operations, lost, unsettled } = await besideSilent(door, 10, 16);

    assert(operations > 0);
    assertEquals([lost, unsettled], [0, 0]);
  });
}
