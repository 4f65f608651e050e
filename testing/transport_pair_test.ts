import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Transport } from "../connection/transport.ts";
import type { PairedTransport } from "./paired_transport.ts";
import { transportPair } from "./transport_pair.ts";

/** `length` bytes, each with its position as value. */
function numbered(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) % 251);
}

/** Reads once, and returns a copy. */
async function read(
  end: Transport,
  length = 100_000,
): Promise<Uint8Array | null> {
  const buffer = new Uint8Array(length);
  const count = await end.read(buffer);
  return count === null ? null : buffer.slice(0, count);
}

/** The lengths of the reads of `end` up to its peer's end. */
async function readLengths(end: Transport, length?: number): Promise<number[]> {
  const lengths: number[] = [];
  for (;;) {
    const bytes = await read(end, length);
    if (bytes === null) return lengths;
    lengths.push(bytes.length);
  }
}

async function rejectsAs(
  name: string,
  call: () => Promise<unknown>,
): Promise<void> {
  const error = await assertRejects(call, Error);
  assertEquals(error.name, name);
}

Deno.test("transportPair() carries bytes both ways, in order", async () => {
  const [near, far] = transportPair();
  assertEquals(await near.write(numbered(5)), 5);
  assertEquals(await near.write(numbered(3, 5)), 3);
  assertEquals(await far.write(numbered(2)), 2);
  assertEquals(await read(far), numbered(8));
  assertEquals(await read(near), numbered(2));
});

Deno.test("transportPair() copies what is written", async () => {
  const [near, far] = transportPair();
  const bytes = numbered(5);
  await near.write(bytes);
  bytes.fill(0);
  assertEquals(await read(far), numbered(5));
});

Deno.test("transportPair() lets a read wait for the next write", async () => {
  const [near, far] = transportPair();
  const reading = read(far);
  assertEquals(far.isReading, true);
  await near.write(numbered(5));
  assertEquals(far.isReading, false);
  assertEquals(await reading, numbered(5));
});

Deno.test("transportPair() writes as much as fits, then waits", async () => {
  const [near, far] = transportPair({ bufferSize: 10 });
  assertEquals(await near.write(numbered(15)), 10);
  assertEquals([far.arrived, near.inFlight], [5, 5]);
  const writing = near.write(numbered(5, 10));
  assertEquals(near.isWriting, true);

  assertEquals(await read(far, 2), numbered(2));
  assertEquals(await writing, 2);
  assertEquals(near.isWriting, false);
  assertEquals([far.arrived, near.inFlight], [5, 5]);
  assertEquals(await read(far), numbered(5, 2));
  assertEquals(await read(far), numbered(5, 7));
  assertEquals([far.arrived, near.inFlight], [0, 0]);
});

Deno.test("transportPair() writes a byte at a time with a buffer of one byte", async () => {
  const [near, far] = transportPair({ bufferSize: 1 });
  const reading = readLengths(far);
  for (let i = 0; i < 5; i++) assertEquals(await near.write(numbered(5)), 1);
  await near.closeWrite();
  assertEquals(await reading, [1, 1, 1, 1, 1]);
});

Deno.test("transportPair() returns 0 for an empty read and an empty write", async () => {
  const [near, far] = transportPair();
  assertEquals(await near.write(new Uint8Array(0)), 0);
  assertEquals(await far.read(new Uint8Array(0)), 0);
  await near.closeWrite();
  assertEquals(await far.read(new Uint8Array(0)), 0);
  assertEquals(await far.read(new Uint8Array(1)), null);
});

Deno.test("transportPair() delivers bytes in flight, then the end", async () => {
  const [near, far] = transportPair({ bufferSize: 10 });
  await near.write(numbered(10));
  near.close();
  assertEquals(near.inFlight, 5);
  assertEquals(await readLengths(far), [5, 5]);
  assertEquals(await read(far), null);
});

Deno.test("transportPair() reads after closeWrite() until the peer ends", async () => {
  const [near, far] = transportPair();
  await near.closeWrite();
  await near.closeWrite();
  assertEquals(await read(far), null);
  await far.write(numbered(5));
  assertEquals(await read(near), numbered(5));
  await rejectsAs("BrokenPipe", () => near.write(numbered(1)));
});

Deno.test("transportPair() loses bytes in flight when it is closed with unread bytes", async () => {
  const [near, far] = transportPair({ bufferSize: 10 });
  await near.write(numbered(10));
  await far.write(numbered(1));
  near.close();
  assertEquals(near.inFlight, 0);
  assertEquals(await read(far), numbered(5));
  await rejectsAs("ConnectionReset", () => read(far));
  await rejectsAs("BrokenPipe", () => far.write(numbered(1)));
});

Deno.test("PairedTransport.close() rejects pending calls, and ends both directions", async () => {
  const [near] = transportPair({ bufferSize: 1 });
  await near.write(numbered(1));
  const reading = rejectsAs("Interrupted", () => read(near));
  const writing = rejectsAs("Interrupted", () => near.write(numbered(1)));
  near.close();
  assertEquals(
    [near.isClosed, near.isReading, near.isWriting],
    [true, false, false],
  );
  await Promise.all([reading, writing]);

  near.close();
  await rejectsAs("BadResource", () => read(near));
  await rejectsAs("BadResource", () => near.write(numbered(1)));
  await rejectsAs("BadResource", () => near.closeWrite());
});

Deno.test("PairedTransport is closed at the end of its scope", async () => {
  const [near, far] = transportPair();
  {
    using end = near;
    assertEquals(end.isClosed, false);
  }
  assertEquals(near.isClosed, true);
  assertEquals(await read(far), null);
});

Deno.test("PairedTransport refuses a second concurrent read or write", async () => {
  const [near, far] = transportPair({ bufferSize: 1 });
  await near.write(numbered(1));
  const reading = read(near);
  const writing = near.write(numbered(1, 1));
  await assertRejects(() => read(near), TypeError, "another read");
  await assertRejects(
    () => near.write(numbered(1)),
    TypeError,
    "another write",
  );
  await assertRejects(() => near.closeWrite(), TypeError, "another write");

  assertEquals(await read(far), numbered(1));
  assertEquals(await writing, 1);
  await far.write(numbered(3));
  assertEquals(await reading, numbered(1));
});

Deno.test("PairedTransport.reset() drops bytes in flight", async () => {
  const [near, far] = transportPair({ bufferSize: 10 });
  await near.write(numbered(10));
  near.reset();
  assertEquals([near.isClosed, near.inFlight], [true, 0]);
  assertEquals(await read(far), numbered(5));
  await rejectsAs("ConnectionReset", () => read(far));
  assertEquals(await read(far), null);
  far.close();
});

Deno.test("PairedTransport.stall() holds bytes, the end and a reset back", async () => {
  const [near, far] = transportPair();
  near.stall();
  await near.write(numbered(5));
  await near.closeWrite();
  const reading = read(far);
  assertEquals([far.arrived, near.inFlight, far.isReading], [0, 5, true]);
  // The other direction is open.
  await far.write(numbered(1));
  assertEquals(await read(near), numbered(1));

  near.resume();
  assertEquals(await reading, numbered(5));
  assertEquals(await read(far), null);

  near.stall();
  near.reset();
  assertEquals(await far.write(numbered(1)), 1);
  near.resume();
  await rejectsAs("BrokenPipe", () => far.write(numbered(1)));
});

Deno.test("PairedTransport.stall() fills the buffer of its sender", async () => {
  const [near, far] = transportPair({ bufferSize: 10 });
  near.stall();
  assertEquals(await near.write(numbered(15)), 10);
  const writing = near.write(numbered(5, 10));
  assertEquals(near.isWriting, true);
  near.resume();
  assertEquals(await read(far), numbered(5));
  assertEquals(await writing, 5);
});

Deno.test("PairedTransport.stall() delays the reset for bytes sent to a closed end", async () => {
  const [near, far] = transportPair();
  far.stall();
  await far.write(numbered(5));
  near.close(); // with nothing unread, as far as it knows
  assertEquals(await read(far), null);
  assertEquals(await far.write(numbered(5)), 5);
  far.resume();
  await rejectsAs("BrokenPipe", () => far.write(numbered(5)));
});

Deno.test("PairedTransport.deliver() lets bytes arrive one by one, the end last", async () => {
  const [near, far] = transportPair();
  near.stall();
  await near.write(numbered(3));
  await near.closeWrite();
  for (let i = 0; i < 3; i++) {
    near.deliver(1);
    assertEquals(await read(far), numbered(1, i));
  }
  const reading = read(far);
  assertEquals(far.isReading, true);
  near.deliver(1);
  assertEquals(await reading, null);
});

Deno.test("PairedTransport.deliver() gives no more than the peer has room for", async () => {
  const [near, far] = transportPair({ bufferSize: 4 });
  near.stall();
  await near.write(numbered(4));
  near.deliver(4);
  assertEquals(await read(far), numbered(2));
  assertEquals([far.arrived, near.inFlight], [0, 2]);
  assertThrows(() => near.deliver(0), RangeError, "count");
});

Deno.test("PairedTransport.cutAt() ends reads at the given offsets", async () => {
  const [near, far] = transportPair();
  far.cutAt([1, 4, 9]);
  await near.write(numbered(12));
  await near.closeWrite();
  assertEquals(await readLengths(far, 3), [1, 3, 3, 2, 3]);
});

Deno.test("PairedTransport.cutAt() reads offsets lazily", async () => {
  const [near, far] = transportPair();
  await near.write(numbered(10));
  assertEquals(await read(far, 4), numbered(4));
  let pulled = 0;
  far.cutAt(function* () {
    for (let place = 5;; place += 2) {
      pulled++;
      yield place;
    }
  }());
  assertEquals(await read(far), numbered(1, 4));
  assertEquals(await read(far), numbered(2, 5));
  assertEquals(pulled, 3);
  far.cutAt([]);
  assertEquals(await read(far), numbered(3, 7));
});

Deno.test("PairedTransport.cutAt() refuses offsets that do not ascend", async () => {
  const [near, far] = transportPair();
  await near.write(numbered(10));
  assertEquals(await read(far, 4), numbered(4));
  assertThrows(() => far.cutAt([4]), RangeError, "byte 4");
  assertThrows(() => far.cutAt([5.5]), RangeError, "byte 5.5");
  far.cutAt([6, 6]);
  await assertRejects(() => read(far), RangeError, "byte 6");
});

Deno.test("PairedTransport.maxRead limits each read", async () => {
  const [near, far] = transportPair();
  far.maxRead = 4;
  await near.write(numbered(10));
  await near.closeWrite();
  assertEquals(await read(far), numbered(4));
  far.maxRead = Infinity;
  assertEquals(await readLengths(far), [6]);
  assertThrows(() => far.maxRead = 0, RangeError, "maxRead");
});

Deno.test("PairedTransport stores the socket options", () => {
  const [near] = transportPair();
  const state = () => [near.noDelay, near.keepAlive, near.isReferenced];
  assertEquals(state(), [false, false, true]);
  near.setNoDelay();
  near.setKeepAlive();
  near.unref();
  assertEquals(state(), [true, true, false]);
  near.setNoDelay(false);
  near.setKeepAlive(false);
  near.ref();
  assertEquals(state(), [false, false, true]);
});

Deno.test("PairedTransport has the addresses of its peer, swapped", () => {
  const [near, far] = transportPair();
  assertEquals(near.localAddr, far.remoteAddr);
  assertEquals(near.remoteAddr, far.localAddr);
  assertEquals(near.localAddr?.transport, "tcp");
});

Deno.test("transportPair() refuses a buffer of less than a byte", () => {
  for (const bufferSize of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(() => transportPair({ bufferSize }), RangeError, "bufferSize");
  }
  transportPair({ bufferSize: undefined });
});

/** Numbers below `limit`, the same for the same seed. */
function randomBelow(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    // A linear congruential generator: Numerical Recipes'.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
}

async function writeAll(
  end: PairedTransport,
  length: number,
  below: (limit: number) => number,
): Promise<void> {
  for (let sent = 0; sent < length;) {
    const count = Math.min(length - sent, 1 + below(50));
    const writing = end.write(numbered(count, sent));
    if (end.isWriting) end.resume(); // otherwise it might wait for itself
    sent += await writing;
    if (below(4) === 0) end.stall();
    if (below(2) === 0) end.deliver(1 + below(20));
    if (below(2) === 0) end.resume();
  }
  end.resume();
  await end.closeWrite();
}

/** Everything that happens, in order, and whether the bytes are right. */
async function transfer(seed: number): Promise<string[]> {
  const below = randomBelow(seed);
  const [near, far] = transportPair({ bufferSize: 1 + below(40) });
  const events: string[] = [];
  far.cutAt(function* () {
    for (let place = 0;;) yield place += 1 + below(30);
  }());
  const length = 2000;
  const writing = writeAll(near, length, below);
  for (let received = 0;;) {
    const bytes = await read(far, 1 + below(40));
    if (bytes === null) {
      assertEquals(received, length);
      await writing;
      return events;
    }
    events.push(`${bytes.length} ${near.inFlight} ${near.isWriting}`);
    assertEquals(bytes, numbered(bytes.length, received));
    received += bytes.length;
  }
}

Deno.test("transportPair() keeps every byte in order, and repeats a run exactly", async () => {
  for (let seed = 0; seed < 50; seed++) {
    const events = await transfer(seed);
    assertEquals(await transfer(seed), events);
  }
});
