import { assert, assertEquals } from "@std/assert";
import {
  backgroundTimers,
  requestTimers,
  turn,
} from "../connection/_testing.ts";
import {
  Countdown,
  noteSettled,
  startTimer,
  untilOthersAreServed,
} from "./countdown.ts";

const SOON_MS = 20;
const NEVER_MS = 60_000;

/** Waits by the clock of the countdowns, which stops while this process has to wait. */
function sleep(milliseconds: number): Promise<void> {
  return untilExpired((onExpire) => void startTimer(milliseconds, onExpire));
}

/** Keeps the process alive while it waits. */
async function untilExpired(
  start: (onExpire: () => void) => void,
): Promise<void> {
  const alive = setTimeout(() => {}, NEVER_MS);
  await new Promise<void>(start);
  clearTimeout(alive);
}

/** A countdown that counts how often it has expired. */
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
  // A timer keeps the process alive; a countdown does not.
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

Deno.test("Countdown runs until each resume() has its pause()", async () => {
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

Deno.test("Countdown starts again with the whole time after reset()", async () => {
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

/** Blocks this thread. */
function work(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

Deno.test("Countdown does not count time in which this thread is busy", async () => {
  const limited = counted(SOON_MS * 8);
  const { countdown } = limited;
  countdown.resume();
  for (let i = 0; i < 5; i++) {
    await turn();
    work(SOON_MS * 5);
    await sleep(1); // not an overload
  }
  await turn();
  assertEquals(limited.expired, 0);
  await sleep(SOON_MS * 10);
  assertEquals(limited.expired, 1);
});

Deno.test("Countdown waits until all ready reads have settled, however many", async () => {
  const waits = Array.from({ length: 2000 }, () => counted(SOON_MS));
  for (const { countdown } of waits) countdown.resume();
  await sleep(SOON_MS / 2);
  for (const [index, { countdown }] of waits.entries()) {
    if (index % 100 === 0) {
      for (let turn = 0; turn < 60; turn++) await immediate();
      work(SOON_MS);
    }
    noteSettled();
    countdown.reset();
    countdown.pause();
  }
  const expired = waits.filter(({ expired }) => expired > 0);
  for (const { countdown } of waits) countdown.stop();
  assertEquals(expired.length, 0);
});

Deno.test("Countdown expires for a silent peer although reads of others settle without end", async () => {
  const silent = counted(SOON_MS);
  silent.countdown.resume();
  const others = Array.from({ length: 200 }, () => counted(SOON_MS));
  let isOver = false;
  const receiving = others.map(async ({ countdown }) => {
    while (!isOver) {
      await untilOthersAreServed();
      countdown.resume();
      await immediate();
      work(0.1);
      noteSettled();
      countdown.reset();
      countdown.pause();
    }
    countdown.stop();
  });
  const end = performance.now() + 20_000;
  while (silent.expired === 0 && performance.now() < end) await turn();
  isOver = true;
  await Promise.all(receiving);
  assertEquals(silent.expired, 1);
  assertEquals(others.filter(({ expired }) => expired > 0), []);
});

/**
 * Serves `count` peers that always have a message ready, until `isOver`; returns the
 * number of turns that each had.
 */
async function overload(
  count: number,
  milliseconds: number,
  isOver: () => boolean,
): Promise<number> {
  let served = 0;
  await Promise.all(Array.from({ length: count }, async () => {
    while (!isOver()) {
      await untilOthersAreServed();
      await immediate();
      work(milliseconds);
      noteSettled();
      served++;
    }
  }));
  return served / count;
}

Deno.test("Countdown expires for a silent peer after a few turns of the others when these take all time", async () => {
  const silent = counted(SOON_MS * 6);
  silent.countdown.resume();
  const start = performance.now();
  const turns = await overload(200, 0.2, () => silent.expired > 0);
  assert(performance.now() - start >= SOON_MS * 6);
  assert(turns < 15, `${turns} turns`); // 9 turns; 20 without its share of the limit
});

Deno.test("Countdown gives a task of several steps more time when others take all time", async () => {
  const limit = SOON_MS * 6;
  let hasExpired = false;
  const stop = startTimer(limit, () => {
    hasExpired = true;
  });
  const silent = counted(limit);
  silent.countdown.resume();
  await overload(200, 0.2, () => silent.expired > 0);
  assert(!hasExpired);
  await untilExpired((onExpire) => void startTimer(limit, onExpire));
  assert(hasExpired);
  stop();
});

Deno.test("startTimer() ends a task of several steps after many polls when the thread is always busy", async () => {
  let hasExpired = false;
  startTimer(SOON_MS, () => {
    hasExpired = true;
  });
  let turns = 0;
  for (; !hasExpired; turns++) {
    await immediate();
    work(1);
  }
  assert(turns >= 8 * 61, `${turns} turns`);
  assert(turns < 20 * 61, `${turns} turns`);
});

Deno.test("Countdown does not count earlier busy time or one long busy time as overload", async () => {
  const limit = SOON_MS * 6;
  // The thread is busy twice for a long time, and only the first countdown runs during
  // both.
  const limited = counted(limit);
  const alive = setTimeout(() => {}, NEVER_MS);
  for (let i = 0; i < 2; i++) {
    const old = counted(limit);
    old.countdown.resume();
    work(limit * 2);
    limited.countdown.reset();
    limited.countdown.resume();
    await turn();
    assertEquals([old.expired, limited.expired], [0, 0]);
    limited.countdown.pause();
    old.countdown.stop();
  }
  clearTimeout(alive);
  limited.countdown.stop();
});

Deno.test("Countdown counts an overload for a part of its own limit, if a longer one is as exact", async () => {
  const long = counted(SOON_MS * 6);
  const short = counted(SOON_MS);
  assertEquals(short.countdown.period, long.countdown.period);
  const alive = setTimeout(() => {}, NEVER_MS);
  long.countdown.resume();
  short.countdown.resume();
  for (let i = 0; i < 2; i++) {
    work(SOON_MS * 12);
    await turn();
  }
  clearTimeout(alive);
  long.countdown.stop();
  short.countdown.stop();
  assertEquals(short.expired, 0);
});

Deno.test("Countdowns share one timer", async () => {
  await sleep(SOON_MS); // so that timers of other tests are gone
  using timers = backgroundTimers();
  const countdowns = Array.from(
    { length: 10_000 },
    (_, index) => new Countdown(NEVER_MS + index, () => {}),
  );
  for (const countdown of countdowns) countdown.resume();
  assertEquals(timers.count, 1);
  // A more exact countdown still expires in time.
  await untilExpired((onExpire) => {
    new Countdown(SOON_MS, onExpire).resume();
    assertEquals(timers.count, 1);
  });
  for (const countdown of countdowns) countdown.stop();
  assertEquals(timers.count, 0);
});

Deno.test("Countdown does not expire early when one with a shorter limit starts", async () => {
  const long = new Countdown(NEVER_MS, () => {});
  long.resume();
  await sleep(400); // well before the clock is read for it
  const start = performance.now();
  await untilExpired((onExpire) => void startTimer(SOON_MS, onExpire));
  assert(performance.now() - start >= SOON_MS);
  long.stop();
});

Deno.test("Countdown does not expire early when one with a longer limit starts at the end of another", async () => {
  using timers = backgroundTimers();
  const limited = counted(SOON_MS * 6);
  limited.countdown.resume();
  const long = new Countdown(NEVER_MS, () => {});
  await untilExpired((onExpire) => {
    const first = new Countdown(SOON_MS, () => {
      long.resume();
      onExpire();
    });
    first.resume();
  });
  // The clock counts the time until then as a whole, for a wait that has just begun too.
  assert(timers.longest < SOON_MS, `${timers.longest} ms`);
  limited.countdown.stop();
  long.stop();
});

Deno.test("startTimer() does not call back after it is stopped", async () => {
  let calls = 0;
  const stop = startTimer(1, () => calls++);
  stop();
  await sleep(SOON_MS);
  assertEquals(calls, 0);
});

Deno.test("Countdown leaves no timer after stop(), and never runs again", async () => {
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

Deno.test("Countdown expires even if the request of another is over", async () => {
  using requests = requestTimers();
  const others = [counted(NEVER_MS), counted(1)];
  for (const { countdown } of others) countdown.resume();
  // While the shorter one is about to expire, which takes several polls.
  await untilExpired((onExpire) => void setTimeout(onExpire, SOON_MS / 2));
  requests.endRequest();
  assertEquals(untilOthersAreServed(), undefined);
  await untilExpired((onExpire) => new Countdown(SOON_MS, onExpire).resume());
});

Deno.test("Countdown expires while others never stop reading, where timers are not shared", async () => {
  using _requests = requestTimers();
  const reading = setInterval(() => {
    for (let i = 0; i < 10_000; i++) noteSettled();
  });
  await untilExpired((onExpire) => new Countdown(SOON_MS, onExpire).resume());
  clearInterval(reading);
});
