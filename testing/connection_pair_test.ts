import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { fakeTimers, isPending } from "../connection/_testing.ts";
import { connectionPair } from "./connection_pair.ts";

const framing = lines();

Deno.test("connectionPair() carries messages both ways", async () => {
  await using pair = connectionPair({ framing });
  const { near, far } = pair;
  const answer = near.request("one");
  assertEquals(await far.receive(), "one");
  await far.send("two");
  assertEquals(await answer, "two");
  await Promise.all([near.close(), far.close()]);
  assertEquals(await near.receive(), undefined);
});

Deno.test("connectionPair() applies its timeout in real time, not by a fake clock", async () => {
  const { setTimeout } = globalThis;
  const callbacks: (() => void)[] = [];
  globalThis.setTimeout = Object.assign(
    (callback: () => void) => callbacks.push(callback),
    setTimeout,
  );
  try {
    await using pair = connectionPair({ framing });
    for (const callback of callbacks) callback();
    await pair.near.send("one");
    assertEquals(await pair.far.receive(), "one");
  } finally {
    Object.assign(globalThis, { setTimeout });
  }
});

Deno.test("connectionPair() gives each end its own options", async () => {
  await using pair = connectionPair({
    near: { framing, highWaterMark: 1 },
    far: { framing: lengthPrefixed() },
    bufferSize: 100,
  });
  await pair.near.send("\0\0\0\x02hi");
  assertEquals(await pair.far.receive(), new TextEncoder().encode("hi"));
});

Deno.test("connectionPair() blocks when its buffers are full, and its transports can fail", async () => {
  await using pair = connectionPair({ framing, bufferSize: 10 });
  const { near, far, nearTransport, farTransport } = pair;
  near.send("longer than the buffer");
  const flushed = near.flush();
  assert(await isPending(flushed));
  assertEquals(nearTransport.isWriting, true);
  farTransport.maxRead = 1;
  assertEquals(await far.receive(), "longer than the buffer");
  await flushed;
  farTransport.reset();
  const error = await assertRejects(() => near.receive(), Error);
  assertEquals(error.name, "ConnectionReset");
});

Deno.test("connectionPair() aborts both ends at the end of its scope", async () => {
  const ends = await (async () => {
    await using pair = connectionPair({ framing, idleTimeout: 1000 });
    pair.near.receive();
    return [pair.near, pair.far];
  })();
  for (const end of ends) {
    const error = await assertRejects(() => end.closed, DOMException);
    assertEquals(error.name, "AbortError");
  }
});

Deno.test("connectionPair() refuses the options that connections refuse", () => {
  assertThrows(
    () => connectionPair({ framing, bufferSize: 0 }),
    RangeError,
    "bufferSize",
  );
  assertThrows(
    () => connectionPair({ framing, readBufferSize: -1 }),
    RangeError,
    "readBufferSize",
  );
});

Deno.test("connectionPair() lets timeouts fire although nothing else keeps the process alive", async () => {
  await using pair = connectionPair({
    near: { framing, messageTimeout: 10 },
    far: { framing },
  });
  await pair.farTransport.write(new TextEncoder().encode("half a li"));
  await assertRejects(
    () => pair.near.receive(),
    DOMException,
    "messageTimeout of 10 ms",
  );
});

Deno.test("connectionPair() lets timers fire while its ends answer each other", async () => {
  await using pair = connectionPair({ framing });
  const { near, far } = pair;
  const answering = (async () => {
    for await (const line of far) await far.send(line);
  })();
  let isOver = false;
  const timer = setTimeout(() => isOver = true, 10);
  for (let i = 0; i < 100_000 && !isOver; i++) await near.request("ball");
  clearTimeout(timer);
  assert(isOver);
  await near.closeWrite();
  await answering;
});

Deno.test("connectionPair() aborts a test that waits without end", async () => {
  await using pair = connectionPair({ framing, giveUpAfter: 10 });
  const waiting = [pair.near.receive(), pair.far.receive()];
  for (const promise of waiting) {
    const error = await assertRejects(() => promise, DOMException);
    assertEquals(error.name, "TimeoutError");
    assertEquals(
      error.message,
      "The test has waited in vain for 10 ms: near has sent 0 messages and received 0, far has sent 0 messages and received 0",
    );
  }
  assertThrows(
    () => connectionPair({ framing, giveUpAfter: 0 }),
    RangeError,
    "giveUpAfter",
  );
});

Deno.test("connectionPair() keeps the process alive no longer than its ends are open", async () => {
  for (const end of ["close", "abort"] as const) {
    const { near, far } = connectionPair({ framing });
    near[end]();
    far[end]();
    await Promise.allSettled([near.closed, far.closed]);
  }
  // A timer that is left running fails this test.
});

Deno.test("connectionPair() refuses options without a framing for each end", () => {
  const far = { framing, idleTimeout: 10 };
  assertThrows(
    // @ts-expect-error: the near end has none
    () => connectionPair({ framing, far }),
    TypeError,
    "framing must be given",
  );
  // @ts-expect-error: neither end has one
  assertThrows(() => connectionPair(), TypeError, "framing must be given");
});

Deno.test("connectionPair() leaves nothing open if one end is refused", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<unknown>();
  const near = {
    framing: lines(),
    heartbeat: { interval: 5, message: () => "beat" },
  };
  const channel = await import("node:diagnostics_channel");
  channel.subscribe("framed_tcp.connection.close", resolve);
  try {
    const far = { framing: lines(), idleTimeout: -1 };
    assertThrows(() => connectionPair({ near, far }), RangeError);
    await ended;
  } finally {
    channel.unsubscribe("framed_tcp.connection.close", resolve);
  }
});

Deno.test("connectionPair() does not wait for fake timers: its connections close, time out and beat", async () => {
  using _fake = fakeTimers();
  {
    await using pair = connectionPair({ framing });
    await pair.near.send("unread");
    await pair.near.close();
    await pair.far.close();
  }
  for (
    const option of [
      "idleTimeout",
      "receiveTimeout",
      "messageTimeout",
      "halfClosedTimeout",
      "sendTimeout",
      "giveUpAfter",
    ]
  ) {
    const timeout = { [option]: 10 };
    await using pair = connectionPair({
      near: { framing, ...timeout },
      far: { framing },
      bufferSize: 1000,
      ...(option === "giveUpAfter" && timeout),
    });
    await pair.farTransport.write(new TextEncoder().encode("part"));
    if (option === "halfClosedTimeout") await pair.far.closeWrite();
    if (option === "sendTimeout") await pair.near.send("x".repeat(2000));
    pair.near.receive().catch(() => {});
    const error = await assertRejects(() => pair.near.closed, DOMException);
    assertEquals(error.name, "TimeoutError", option);
  }
  await using pair = connectionPair({
    near: { framing, heartbeat: { interval: 10, message: "beat" } },
    far: { framing },
  });
  assertEquals(await pair.far.receive(), "beat");
});
