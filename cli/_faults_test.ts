import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Faults,
  FaultyLine,
  isRandom,
  parseFaults,
  randomFrom,
} from "./_faults.ts";
import { parseFlags } from "./_flags.ts";
import { UsageError } from "./_values.ts";
import { flagsOf, VERBS } from "./_verbs.ts";

const NONE: Faults = {
  latency: 0,
  jitter: 0,
  rate: Infinity,
  cut: undefined,
  stallAfter: Infinity,
  resetAfter: Infinity,
  halfCloseAfter: Infinity,
  seed: 1,
};

/** The far end of a line, which records what arrives. */
class Far {
  readonly pieces: number[] = [];
  bytes: number[] = [];
  hasEnded = false;
  wasReset = false;
  readonly reached = Promise.withResolvers<void>();
  readonly controller = new AbortController();
  readonly signal = this.controller.signal;

  write(bytes: Uint8Array): Promise<void> {
    this.pieces.push(bytes.length);
    this.bytes.push(...bytes);
    if (this.bytes.length === 42) this.reached.resolve();
    return Promise.resolve();
  }
  end(): void {
    this.hasEnded = true;
  }
  reset(): void {
    this.wasReset = true;
  }
}

const BYTES = Uint8Array.from({ length: 100 }, (_, index) => index);

async function pass(
  faults: Partial<Faults>,
  seed = 1,
  chunk = 100,
): Promise<Far> {
  const far = new Far();
  const line = new FaultyLine({ ...NONE, ...faults }, seed, far);
  for (let at = 0; at < BYTES.length; at += chunk) {
    await line.push(BYTES.subarray(at, at + chunk));
  }
  await line.finish();
  return far;
}

Deno.test("A line without faults passes every byte and the end", async () => {
  const far = await pass({});
  assertEquals(far.bytes, [...BYTES]);
  assertEquals(far.hasEnded, true);
});

Deno.test("The seed decides where the cuts are, however the bytes arrive", async () => {
  const cut = { min: 1, max: 7 };
  const one = await pass({ cut }, 1);
  assertEquals(one.bytes, [...BYTES]);
  assert(
    one.pieces.every((length) => length >= 1 && length <= 7),
    `${one.pieces}`,
  );
  assert(new Set(one.pieces).size > 3, `${one.pieces}`);
  assertEquals((await pass({ cut }, 1)).pieces, one.pieces);
  assert(`${(await pass({ cut }, 2)).pieces}` !== `${one.pieces}`);
  // A cut inside a chunk stays a cut, and so do the ends of chunks.
  const ends = (pieces: number[]) => {
    let at = 0;
    return pieces.map((length) => at += length);
  };
  const inTens = ends((await pass({ cut }, 1, 10)).pieces);
  assert(ends(one.pieces).every((end) => inTens.includes(end)), `${inTens}`);
});

Deno.test("Latency delays every byte, and jitter does not change their order", async () => {
  const start = performance.now();
  const far = await pass({ latency: 30, jitter: 20 }, 1, 10);
  assert(performance.now() - start >= 30);
  assertEquals(far.bytes, [...BYTES]);
});

Deno.test("Latency does not add up over chunks", async () => {
  const start = performance.now();
  await pass({ latency: 100 }, 1, 1); // a hundred chunks
  assert(performance.now() - start < 2000);
});

Deno.test("A rate limits the bytes that pass in a second", async () => {
  const start = performance.now();
  const far = await pass({ rate: 1000 });
  assert(performance.now() - start >= 95);
  assertEquals(far.bytes, [...BYTES]);
  assertEquals(Math.max(...far.pieces), 50);
});

Deno.test("A half-close comes after exactly the given number of bytes, and drops the rest", async () => {
  const far = await pass({ halfCloseAfter: 42 }, 1, 10);
  assertEquals(far.bytes, [...BYTES.subarray(0, 42)]);
  assertEquals([far.hasEnded, far.wasReset], [true, false]);
});

Deno.test("A reset comes after exactly the given number of bytes", async () => {
  const far = new Far();
  const line = new FaultyLine({ ...NONE, resetAfter: 42 }, 1, far);
  await line.push(BYTES);
  await far.reached.promise;
  far.controller.abort(new Error("reset"));
  await assertRejects(() => line.finish(), Error, "reset");
  assertEquals(far.bytes.length, 42);
  assertEquals([far.hasEnded, far.wasReset], [false, true]);
});

Deno.test("A stall stops all bytes and the end", async () => {
  const far = new Far();
  const line = new FaultyLine({ ...NONE, stallAfter: 42 }, 1, far);
  await line.push(BYTES);
  const finished = line.finish();
  await far.reached.promise;
  far.controller.abort(new Error("closed"));
  await assertRejects(() => finished, Error, "closed");
  assertEquals(far.bytes.length, 42);
  assertEquals(far.hasEnded, false);
});

Deno.test("A full line makes its sender wait", async () => {
  const far = new Far();
  const line = new FaultyLine({ ...NONE, stallAfter: 0 }, 1, far);
  const pushed = line.push(new Uint8Array(2 * 1024 * 1024));
  const first = await Promise.race([
    pushed.then(() => "pushed"),
    Promise.resolve("waits"),
  ]);
  assertEquals(first, "waits");
  far.controller.abort(new Error("closed"));
  await assertRejects(() => pushed, Error, "closed");
});

Deno.test("randomFrom() gives numbers from 0 to 1, evenly", () => {
  const random = randomFrom(42);
  const numbers = Array.from({ length: 10_000 }, random);
  assert(numbers.every((each) => each >= 0 && each < 1));
  const mean = numbers.reduce((a, b) => a + b) / numbers.length;
  assert(Math.abs(mean - 0.5) < 0.02, `${mean}`);
});

function parse(...args: string[]) {
  const proxy = VERBS.find(({ name }) => name === "proxy");
  return parseFaults(parseFlags(args, proxy ? flagsOf(proxy) : []).flags);
}

Deno.test("parseFaults() reads the fault flags", () => {
  assertEquals(parse(), undefined);
  assertEquals(
    parse("--latency", "5ms", "--cut", "1-7", "--rate", "10k", "--seed", "3"),
    {
      ...NONE,
      latency: 5,
      cut: { min: 1, max: 7 },
      rate: 10_240,
      seed: 3,
    },
  );
  assertEquals(parse("--cut", "3")?.cut, { min: 3, max: 3 });
  const [fixed, random] = [parse("--cut", "3"), parse("--jitter", "1s")];
  assertEquals([fixed && isRandom(fixed), random && isRandom(random)], [
    false,
    true,
  ]);
  for (const cut of ["0", "7-1", "1-2-3", "x"]) {
    assertThrows(() => parse("--cut", cut), UsageError, "--cut must be");
  }
  assertThrows(
    () => parse("--seed", "1"),
    UsageError,
    "--seed goes with a fault",
  );
  assertThrows(() => parse("--rate", "0"), UsageError, "--rate must be");
});
