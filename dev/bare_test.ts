/**
 * The core must work without global objects of a runtime.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { outputOf, root } from "./_project.ts";

/** Globals that a browser or a worker does not have. */
const REMOVED = [
  "Deno",
  "process",
  "Buffer",
  "global",
  "setImmediate",
  "clearImmediate",
];

// Imported after they are removed, so that the module cannot keep one.
const PROGRAM = `
// A message port keeps this process alive, unlike a page.
const { exit } = Deno;
for (const name of ${JSON.stringify(REMOVED)}) {
  Reflect.deleteProperty(globalThis, name);
}
const left = ${JSON.stringify(REMOVED)}.filter((name) => name in globalThis);
if (left.length > 0) throw new Error("Still there: " + left);

// Browsers hold up timers of 0 ms, in a hidden page for a second or more.
const { setTimeout } = globalThis;
let shortTimers = 0;
globalThis.setTimeout = (callback, milliseconds) => {
  if (milliseconds === 0) shortTimers++;
  return setTimeout(callback, milliseconds);
};

const { broadcast, Connection } = await import("${new URL(
  "connection.ts",
  root,
)}");
const { lengthPrefixed, lines } = await import("${new URL(
  "framing.ts",
  root,
)}");
const { connectionPair, transportPair, verifyFraming } = await import("${new URL(
  "testing.ts",
  root,
)}");

function assertSame(actual, expected) {
  const texts = [actual, expected].map((value) => JSON.stringify(value));
  if (texts[0] !== texts[1]) throw new Error(texts.join(" instead of "));
}

const framing = lines();

// In memory: a request, many messages together, a broadcast, and a half-close.
const pair = connectionPair({ framing });
const { near, far } = pair;
const answering = (async () => {
  for await (const line of far) await far.send(line.toUpperCase());
  await far.closeWrite();
})();
assertSame(await near.request("one"), "ONE");
const sending = (async () => {
  for (let i = 0; i < 10_000; i++) await near.send("x".repeat(i % 100));
  assertSame(shortTimers, 0);
  await broadcast([near], "all");
  await near.closeWrite();
})();
let count = 0;
for await (const _line of near) count++;
assertSame(count, 10_001);
await Promise.all([sending, answering]);
await Promise.all([near.closed, far.closed]);
await pair[Symbol.asyncDispose]();

// Over byte streams.
const [there, back] = [new TransformStream(), new TransformStream()];
const ends = [
  { readable: back.readable, writable: there.writable },
  { readable: there.readable, writable: back.writable },
].map((streams) => new Connection(streams, { framing }));
ends[1].receive().then((line) => ends[1].send(line + "!"));
assertSame(await ends[0].request("hello"), "hello!");
await Promise.all(ends.map((end) => end.close()));

// A timeout, and an abort.
const [silent] = transportPair();
const waiting = new Connection(silent, { framing, idleTimeout: 5 });
assertSame(await waiting.receive().catch(({ name }) => name), "TimeoutError");
const [aborted] = transportPair();
const ended = new Connection(aborted, { framing });
ended.abort();
assertSame(await ended.closed.catch(({ name }) => name), "AbortError");

await verifyFraming(lengthPrefixed(), ["a", "bc"].map((text) =>
  new TextEncoder().encode(text)
));
console.log("done");
exit();
`;

Deno.test("The core runs without Deno, process and Buffer", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/bare.js`;
    await Deno.writeTextFile(path, PROGRAM);
    const { stdout } = await outputOf(
      ...["run", "--quiet", "--no-check", "--config", "deno.json"],
      `--allow-import`,
      path,
    );
    assertEquals(stdout, "done\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
