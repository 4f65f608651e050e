// Runs tests that were written for `Deno.test`, in any runtime.

/** @type {{ name: string, fn: (context: object) => unknown }[]} */
const tests = [];

/** The reasons of rejections that nothing has handled. */
export const unhandled = [];

// When a test that waits in vain is given up.
const TIMEOUT_MS = 20_000;

// Newer than the module needs; the tests use them.
Promise.withResolvers ??= () => {
  const parts = {};
  parts.promise = new Promise((resolve, reject) =>
    Object.assign(parts, { resolve, reject })
  );
  return parts;
};
ReadableStream.from ??= (items) => {
  const iterator = items[Symbol.asyncIterator]?.() ?? items[Symbol.iterator]();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
};

// Nothing else of Deno is here, so a test of what needs more fails.
globalThis.Deno = {
  test(...parts) {
    const { name, fn, ignore } = Object.assign({}, ...parts.map(optionsOfTest));
    if (!ignore) tests.push({ name, fn });
  },
  // A browser does not tell it.
  memoryUsage: () =>
    globalThis.process?.memoryUsage() ?? { heapUsed: 0, external: 0, rss: 0 },
};

/** One of the arguments of `Deno.test`, as options. */
function optionsOfTest(part) {
  if (typeof part === "string") return { name: part };
  return typeof part === "function" ? { fn: part } : part;
}

let running = "";
let toSkip = new Set();

// A step is skipped by the names of its test and its own.
const context = {
  step: (name, fn) =>
    toSkip.delete(`${running}: ${name}`) ? undefined : fn(context),
};

/**
 * Runs all, but those whose names are in `skipped`, and gives how many passed, what the
 * others say, and which names are of no test.
 *
 * @param {readonly string[]} skipped
 */
export async function runTests(skipped = []) {
  toSkip = new Set(skipped);
  let passed = 0;
  const failures = [];
  for (const { name, fn } of tests) {
    if (toSkip.delete(name)) continue;
    running = name;
    try {
      await withinTime(fn);
      if (unhandled.length > 0) throw unhandled[0];
      passed++;
    } catch (error) {
      failures.push(`${name}: ${error?.stack ?? error}`);
      unhandled.length = 0;
    }
  }
  return { passed, failures, unknown: [...toSkip] };
}

async function withinTime(fn) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Not done within ${TIMEOUT_MS} ms`)),
      TIMEOUT_MS,
    );
  });
  try {
    await Promise.race([fn(context), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
