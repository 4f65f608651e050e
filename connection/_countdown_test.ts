import { assert, assertEquals } from "@std/assert";
import { Countdown } from "./_countdown.ts";

const SOON_MS = 20;
const NEVER_MS = 60_000;

// Here time itself is the subject.
function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A countdown, and how often it has expired. */
function counted(limit: number): { countdown: Countdown; expired: number } {
  const counted = {
    countdown: new Countdown(limit, () => {
      counted.expired++;
    }),
    expired: 0,
  };
  return counted;
}

Deno.test("Countdown expires once, when its limit is over", async () => {
  const start = performance.now();
  // A timer of its own keeps the process alive, as a countdown does not.
  const alive = setTimeout(() => {}, NEVER_MS);
  let count = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const countdown = new Countdown(SOON_MS, () => {
    count++;
    resolve();
  });
  countdown.resume();
  await promise;
  assert(performance.now() - start >= SOON_MS);
  clearTimeout(alive);
  countdown.pause();
  countdown.reset();
  countdown.resume();
  await sleep(SOON_MS * 3);
  assertEquals(count, 1);
});

Deno.test("Countdown runs only while it is resumed", async () => {
  const limited = counted(SOON_MS);
  const { countdown } = limited;
  await sleep(SOON_MS * 3);
  countdown.resume();
  countdown.pause();
  await sleep(SOON_MS * 3);
  assertEquals(limited.expired, 0);
  countdown.resume();
  await sleep(SOON_MS * 3);
  assertEquals(limited.expired, 1);
});

Deno.test("Countdown adds up the times for which it is resumed", async () => {
  const limited = counted(SOON_MS);
  const { countdown } = limited;
  for (let i = 0; i < 10; i++) {
    countdown.resume();
    await sleep(SOON_MS / 4);
    countdown.pause();
  }
  countdown.resume();
  await sleep(SOON_MS);
  assertEquals(limited.expired, 1);
});

Deno.test("Countdown runs until all who resumed it have paused it", async () => {
  const running = counted(SOON_MS);
  running.countdown.resume();
  running.countdown.resume();
  running.countdown.pause();
  const paused = counted(SOON_MS);
  paused.countdown.resume();
  paused.countdown.resume();
  paused.countdown.pause();
  paused.countdown.pause();
  await sleep(SOON_MS * 3);
  assertEquals([running.expired, paused.expired], [1, 0]);
});

Deno.test("Countdown has the whole time again when it is reset", async () => {
  const limited = counted(SOON_MS * 20);
  const { countdown } = limited;
  countdown.resume();
  for (let i = 0; i < 25; i++) {
    await sleep(SOON_MS);
    countdown.reset();
  }
  assertEquals(limited.expired, 0);
  countdown.stop();
});

Deno.test("Countdown lets others have their turn before it expires late", async () => {
  const limited = counted(SOON_MS);
  const { countdown } = limited;
  countdown.resume();
  const end = performance.now() + SOON_MS * 2;
  while (performance.now() < end);
  // Comes behind the countdown's timer, as what was read comes behind all timers.
  setTimeout(() => countdown.reset(), 0);
  await sleep(SOON_MS / 4);
  assertEquals(limited.expired, 0);
  countdown.stop();
});

Deno.test("Countdown leaves no timer when it is stopped, and never runs again", async () => {
  const limited = counted(SOON_MS);
  const { countdown } = limited;
  countdown.resume();
  countdown.stop();
  countdown.pause();
  countdown.reset();
  countdown.resume();
  await sleep(SOON_MS * 3);
  assertEquals(limited.expired, 0);
});
