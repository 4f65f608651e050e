// Runs tests that were written for `Deno.test`, in any runtime.

/** @type {{ name: string, fn: (context: object) => unknown }[]} */
const tests = [];

/** The reasons of unhandled rejections. */
export const unhandled = [];

// After this time a test fails.
const TIMEOUT_MS = 20_000;

// The tests use these, but the module does not need them.
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

// There is nothing else of Deno, so code that needs more fails its test.
globalThis.Deno = {
  test(...parts) {
    const { name, fn, ignore } = Object.assign({}, ...parts.map(optionsOfTest));
    if (!ignore) tests.push({ name, fn });
  },
  // Browsers do not report memory.
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

// A step is skipped by the name of its test and its own name.
const context = {
  step: (name, fn) =>
    toSkip.delete(`${running}: ${name}`) ? undefined : fn(context),
};

/**
 * Runs all tests except those in `skipped`. Returns how many passed, the failures, and
 * the names in `skipped` that match no test.
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
