import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { concat } from "@std/bytes";
import { loopback, Peer } from "../../connection/_testing.ts";
import { type Fault, FaultProxy } from "./fault_proxy.ts";
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

/** Sends `data` through a relay with `fault`, and returns what arrives. */
async function relay(
  fault: Fault,
  data: Uint8Array,
): Promise<{ received: Uint8Array; error: unknown }> {
  using listener = Deno.listen({ hostname: loopback(), port: 0 });
  await using proxy = await FaultProxy.listen({
    ...listener.addr,
    toServer: fault,
  });
  const { hostname, port } = proxy;
  const [near, far] = await Promise.all([
    Deno.connect({ hostname, port }),
    listener.accept(),
  ]);
  using sender = new Peer(near);
  using receiver = new Peer(far);
  const sending = sender.write(data).then(() => near.closeWrite())
    .catch(() => {}); // it may be reset
  proxy.stalled.then(() => proxy.resume());
  let received = new Uint8Array(0);
  let error: unknown;
  try {
    for await (const chunk of receiver.chunks()) {
      received = concat([received, chunk]);
    }
  } catch (reason) {
    error = reason;
  }
  await sending;
  return { received, error };
}

const data = Uint8Array.from({ length: 1000 }, (_, index) => index);

for (
  const fault of [
    {},
    { segmentLength: 1 },
    { segmentLength: 100, delay: 1 },
    { segmentLength: 100, bytesPerSecond: 100_000 },
    { stallAt: 17 },
  ]
) {
  Deno.test(`FaultProxy loses nothing and duplicates nothing with ${JSON.stringify(fault)}`, async () => {
    assertEquals(await relay(fault, data), {
      received: data,
      error: undefined,
    });
  });
}

Deno.test("FaultProxy half-closes after the given byte", async () => {
  for (const halfCloseAt of [0, 1, 999]) {
    assertEquals(await relay({ halfCloseAt }, data), {
      received: data.subarray(0, halfCloseAt),
      error: undefined,
    });
  }
});

Deno.test("FaultProxy resets after the given byte", async () => {
  const { received, error } = await relay({ resetAt: 17 }, data);

  assertInstanceOf(error, Deno.errors.ConnectionReset);
  assertEquals(received, data.subarray(0, received.length));
  assert(received.length <= 17);
});
