import { assert, assertEquals } from "@std/assert";
import { Kernel } from "./kernel.ts";
import { Pipe, type PipeEnd, type PipeSettings } from "./pipe.ts";
import { measureNagle } from "./nagle.ts";
import { readReally } from "./reads.ts";
import type { LaneSample, Sample } from "./sample.ts";

const kernel = await Kernel.open();

const SETTINGS: PipeSettings = {
  sender: { await: true, slow: "wait", highWaterMark: 65_536 },
  receivers: [{ bytes: 7, pause: 100, readBufferSize: 65_536 }],
};
const QUICK = { bytes: 65_536, pause: 0, readBufferSize: 65_536 };

/** A pipe with its samples and its end. */
class SeenPipe implements AsyncDisposable {
  readonly samples: Sample[] = [];
  readonly #ended = Promise.withResolvers<PipeEnd>();
  #pipe: Pipe | undefined;
  #onSample = () => {};

  static async start(settings: PipeSettings): Promise<SeenPipe> {
    const seen = new SeenPipe();
    seen.#pipe = await Pipe.start(kernel, settings, {
      onSample(sample) {
        seen.samples.push(sample);
        seen.#onSample();
      },
      onEnd: (end) => seen.#ended.resolve(end),
    });
    return seen;
  }

  get pipe(): Pipe {
    assert(this.#pipe);
    return this.#pipe;
  }

  get ended(): Promise<PipeEnd> {
    return this.#ended.promise;
  }

  /** Waits for a sample that matches, and returns it. */
  async until(isThere: (sample: Sample, before: Sample) => boolean) {
    for (;;) {
      const [before, sample] = this.samples.slice(-2);
      if (before && sample && isThere(sample, before)) return sample;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onSample = resolve;
      await promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pipe?.stop();
  }
}

function waitingOf(lane: LaneSample): number[] {
  const { queued, sendBuffer, receiveBuffer, inKernel, read } = lane;
  return sendBuffer === undefined || receiveBuffer === undefined
    ? [queued, inKernel, read]
    : [queued, sendBuffer, receiveBuffer, read];
}

function assertSums(samples: Sample[]): void {
  for (const lane of samples.flatMap(({ lanes }) => lanes)) {
    const waiting = waitingOf(lane);
    assert(waiting.every((bytes) => bytes >= 0), JSON.stringify(lane));
    const sum = waiting.reduce((sum, bytes) => sum + bytes, lane.taken);
    assertEquals(sum, lane.made, JSON.stringify(lane));
  }
}

Deno.test("Pipe: the sender waits for a slow receiver, and nothing is lost", async () => {
  await using seen = await SeenPipe.start(SETTINGS);
  const isStill = (sample: Sample, before: Sample) =>
    sample.senderAt === "send" &&
    sample.lanes[0]?.made === before.lanes[0]?.made;
  const { lanes: [lane] } = await seen.until(isStill);
  assert(lane !== undefined && lane.queued >= 65_536, JSON.stringify(lane));
  if (kernel.source !== "none") {
    assert(lane.receiveBuffer !== undefined && lane.receiveBuffer > 0);
    assert(lane.kernel?.isProbing);
  }
  if (kernel.source === "ss") assert(lane.kernel?.windowLimitedTime);

  seen.pipe.change({ receivers: [QUICK] });
  seen.pipe.drain();
  assertEquals(await seen.ended, "drained");
  const last = seen.samples.at(-1)?.lanes[0];
  assert(last !== undefined && last.made > 0);
  assertEquals(last.taken, last.made);
  assertSums(seen.samples);
});

Deno.test("Pipe: without await the queue grows, and the run ends", async () => {
  await using seen = await SeenPipe.start({
    ...SETTINGS,
    sender: { ...SETTINGS.sender, await: false },
    maxQueue: 1024 * 1024,
  });
  assertEquals(await seen.ended, "queue");
  assert((seen.samples.at(-1)?.lanes[0]?.queued ?? 0) > 1024 * 1024);
  assert(seen.samples.every(({ senderAt }) => senderAt !== "send"));
  assertSums(seen.samples);
});

Deno.test('Pipe: a broadcast with "drop" does not wait for the slow receiver', async () => {
  await using seen = await SeenPipe.start({
    sender: { ...SETTINGS.sender, slow: "drop" },
    receivers: [QUICK, ...SETTINGS.receivers],
  });
  const { lanes: [quick, slow] } = await seen.until(({ lanes }) =>
    (lanes[0]?.made ?? 0) > (lanes[1]?.made ?? 0)
  );
  assert(quick !== undefined && slow !== undefined);
  const dropped = seen.samples.flatMap(({ lanes }) => lanes[1]?.dropped ?? []);
  const count = dropped.reduce(
    (sum, [first, last]) => sum + last - first + 1,
    0,
  );
  assertEquals(quick.made - slow.made, count * 16_384);
  assertSums(seen.samples);
});

Deno.test("Pipe: can be stopped while it starts, and more than once", async () => {
  const seen = await SeenPipe.start(SETTINGS);
  await Promise.all([seen.pipe.stop(), seen.pipe.stop()]);
  assertEquals(await seen.ended, "stopped");
});

Deno.test("readReally() reads every byte, and returns where each read ended", async () => {
  const ends = [9, 18, 27, 36, 45, 54, 63, 72, 81, 91];
  const { cuts, samples } = await readReally({
    bytes: Array(91).fill(65),
    ends,
  }, kernel);
  assertEquals(cuts.at(-1), 91);
  assert(cuts.every((cut, index) => cut - (cuts[index - 1] ?? 0) <= 24));
  assertEquals(samples.map(({ lanes }) => lanes[0]?.taken), cuts);
  assertSums(samples);
});

Deno.test("measureNagle() measures the same number of rounds with and without Nagle", async () => {
  const { on, off } = await measureNagle();
  assertEquals(on.length, off.length);
  assert([...on, ...off].every((time) => time > 0));
});
