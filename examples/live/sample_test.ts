import { assertEquals } from "@std/assert";
import type { SocketFigures } from "./kernel.ts";
import {
  bareLaneSample,
  isEmpty,
  type LaneSample,
  laneSample,
} from "./sample.ts";

const DETAILS = {
  receiveMemory: 0,
  receiveLimit: 131_072,
  sendMemory: 0,
  sendLimit: 4_194_304,
  bytesAcked: 0,
  bytesReceived: 0,
  notSent: 0,
  windowLimitedTime: 0,
};

/** A socket with all figures of the kernel. */
function socket(
  figures: Partial<SocketFigures>,
  details: Partial<typeof DETAILS> = {},
): SocketFigures {
  return {
    state: "ESTAB",
    localPort: 1,
    remotePort: 2,
    receiveQueue: 0,
    sendQueue: 0,
    details: { ...DETAILS, ...details },
    ...figures,
  };
}

function sumOf(lane: LaneSample): number {
  const { queued, sendBuffer, receiveBuffer, inKernel, read, taken } = lane;
  const kernel = sendBuffer === undefined || receiveBuffer === undefined
    ? inKernel
    : sendBuffer + receiveBuffer;
  return queued + kernel + read + taken + (lane.lost ?? 0);
}

Deno.test("laneSample() counts a byte that has arrived and is not acknowledged once", () => {
  const lane = laneSample({
    sent: { port: 2, made: 1000, written: 900, dropped: [] },
    received: { read: 200, taken: 150 },
    receiverAt: "read",
    // Of 900 bytes 500 were acknowledged, 700 have arrived, and 200 were read.
    near: socket({ sendQueue: 400 }, { bytesAcked: 500 }),
    far: socket({ receiveQueue: 500 }, { bytesReceived: 700 }),
  });
  assertEquals([lane.sendBuffer, lane.receiveBuffer], [200, 500]);
  assertEquals([lane.queued, lane.read, lane.taken], [100, 50, 150]);
  assertEquals(sumOf(lane), 1000);
});

Deno.test("laneSample() counts a read that only the kernel has reported", () => {
  const lane = laneSample({
    sent: { port: 2, made: 1000, written: 1000, dropped: [] },
    received: { read: 193, taken: 193 }, // has not seen 7 bytes yet
    receiverAt: "read",
    near: socket({}, { bytesAcked: 1000 }),
    far: socket({ receiveQueue: 800 }, { bytesReceived: 1000 }),
  });
  assertEquals([lane.read, lane.receiveBuffer, lane.sendBuffer], [7, 800, 0]);
  assertEquals(sumOf(lane), 1000);
});

Deno.test("laneSample() sums the figures of the processes if the kernel has none", () => {
  const lane = laneSample({
    sent: { port: 2, made: 1000, written: 900, dropped: [] },
    received: { read: 200, taken: 150 },
    receiverAt: "read",
    near: undefined,
    far: undefined,
  });
  assertEquals([lane.inKernel, lane.sendBuffer], [700, undefined]);
  assertEquals(sumOf(lane), 1000);
  assertEquals(isEmpty(lane), false);
});

Deno.test("laneSample() counts read bytes as written if the kernel has no figures", () => {
  const lane = laneSample({
    sent: { port: 2, made: 1000, written: 0, dropped: [] },
    received: { read: 512, taken: 7 },
    receiverAt: "pause",
    near: undefined,
    far: undefined,
  });
  assertEquals([lane.queued, lane.inKernel, lane.read], [488, 0, 505]);
  assertEquals(sumOf(lane), 1000);
});

Deno.test("bareLaneSample() counts the bytes that a reset has lost", () => {
  const facts = {
    written: 10,
    beingWritten: 0,
    taken: 3,
    isReading: false,
    near: undefined,
    far: undefined,
  };
  const lane = bareLaneSample({ ...facts, isKernelKnown: true });
  assertEquals([lane.inKernel, lane.lost, sumOf(lane)], [0, 7, 10]);
  const unknown = bareLaneSample({ ...facts, isKernelKnown: false });
  assertEquals([unknown.inKernel, unknown.lost], [7, undefined]);
});

Deno.test("bareLaneSample() does not count the end of a stream as a byte", () => {
  const lane = bareLaneSample({
    written: 5,
    beingWritten: 0,
    taken: 0,
    isReading: false,
    near: socket({ state: "FIN-WAIT-2" }),
    far: socket({ state: "CLOSE-WAIT", receiveQueue: 6 }),
    isKernelKnown: true,
  });
  assertEquals([lane.receiveBuffer, lane.sendBuffer], [5, 0]);
});
