/**
 * Where the bytes are at one moment: the sums of the pipe.
 *
 * @module
 */
import type { SocketFigures } from "./kernel.ts";
import type { ReceivedCount } from "./receiver.ts";
import type { SentCount } from "./sender.ts";

/** The length of every message, so that the page knows where each one is. */
export const MESSAGE_BYTES = 16 * 1024;

/** What was seen at one moment. */
export interface Sample {
  /** Since the beginning, in milliseconds. */
  time: number;
  /** For how many milliseconds the threads stood still to be counted. */
  still: number;
  /** The place at which the sender waits, or `running`. */
  senderAt: string;
  lanes: LaneSample[];
}

/**
 * The way from the sender to one receiver, in bytes. What was made is what was taken
 * and all that waits: queued, in the send buffer, in the receive buffer, read.
 */
export interface LaneSample {
  made: number;
  /** In the sender's process. */
  queued: number;
  /**
   * In the sender's kernel, and not yet in the receiver's; where the kernel tells. The
   * sender's keeps more, as it has not yet heard of all that has arrived.
   */
  sendBuffer?: number | undefined;
  /** In the receiver's kernel; where it tells. */
  receiveBuffer?: number | undefined;
  /** In both kernels: written and not read. */
  inKernel: number;
  /** In the receiver's process, and not yet taken by its program. */
  read: number;
  taken: number;
  /** Written, and gone with the connection before it was read. */
  lost?: number | undefined;
  /** The place at which the receiver waits, or `running`. */
  receiverAt: string;
  /** The messages left out since the last sample: first and last. */
  dropped: SentCount["dropped"];
  kernel?: LaneKernel | undefined;
}

/** What else the kernel tells; all but the probe only by `ss`. */
export interface LaneKernel {
  /** Whether the timer of the zero-window probe runs. */
  isProbing: boolean;
  /** Bytes sent and not acknowledged, or never sent. */
  sendQueue: number;
  notSent?: number | undefined;
  /** For how many milliseconds the receiver's window was the limit so far. */
  windowLimitedTime?: number | undefined;
  /** The sizes of the buffers; memory counts what holds the bytes, too. */
  sendMemory?: number | undefined;
  sendLimit?: number | undefined;
  receiveMemory?: number | undefined;
  receiveLimit?: number | undefined;
}

/** What each side and the kernel say about one lane. */
export interface LaneFacts {
  sent: SentCount;
  received: ReceivedCount;
  receiverAt: string;
  /** The two ends of the connection in the kernel's table, if it tells. */
  near: SocketFigures | undefined;
  far: SocketFigures | undefined;
}

/**
 * Puts together what the two processes and their kernel say.
 *
 * The kernel has the last word on what was written and read: a process may not have
 * heard yet that a call of its own has succeeded.
 */
export function laneSample(
  { sent, received, receiverAt, near, far }: LaneFacts,
): LaneSample {
  const read = readFrom(far) ?? received.read;
  // What has arrived was written, even if the sender has not heard so.
  const arrived = read + (far?.receiveQueue ?? 0);
  const written = Math.max(writtenTo(near) ?? sent.written, arrived);
  return {
    made: sent.made,
    queued: sent.made - written,
    inKernel: written - read,
    ...(near !== undefined && far !== undefined && {
      sendBuffer: written - read - far.receiveQueue,
      receiveBuffer: far.receiveQueue,
      kernel: laneKernel(near, far),
    }),
    read: read - received.taken,
    taken: received.taken,
    receiverAt,
    dropped: sent.dropped,
  };
}

/** What was done with bare sockets: each write and read is over when it is counted. */
export interface BareFacts {
  written: number;
  /** What a write that has not returned is to write. */
  beingWritten: number;
  taken: number;
  isReading: boolean;
  near: SocketFigures | undefined;
  far: SocketFigures | undefined;
  /** Whether the kernel tells of sockets: one that it does not know is gone then. */
  isKernelKnown: boolean;
}

/** Puts together what was done with bare sockets, and where the rest is. */
export function bareLaneSample(
  { written, beingWritten, taken, isReading, near, far, isKernelKnown }:
    BareFacts,
): LaneSample {
  const isGone = isKernelKnown && near === undefined && far === undefined;
  const unread = written - taken;
  const inKernel = isGone ? 0 : unread;
  // The end of the stream takes a byte of the kernel's queue.
  const receiveBuffer = far && Math.min(far.receiveQueue, inKernel);
  return {
    made: written + beingWritten,
    queued: beingWritten,
    inKernel,
    ...(receiveBuffer !== undefined && {
      sendBuffer: inKernel - receiveBuffer,
      receiveBuffer,
    }),
    read: 0,
    taken,
    ...(isGone && { lost: unread }),
    receiverAt: isReading ? "read" : "running",
    dropped: [],
    ...(near !== undefined && far !== undefined && {
      kernel: laneKernel(near, far),
    }),
  };
}

function writtenTo(near: SocketFigures | undefined): number | undefined {
  if (near?.details === undefined) return undefined;
  return near.details.bytesAcked + near.sendQueue;
}

function readFrom(far: SocketFigures | undefined): number | undefined {
  if (far?.details === undefined) return undefined;
  return far.details.bytesReceived - far.receiveQueue;
}

function laneKernel(near: SocketFigures, far: SocketFigures): LaneKernel {
  return {
    isProbing: near.timer === "persist",
    sendQueue: near.sendQueue,
    notSent: near.details?.notSent,
    windowLimitedTime: near.details?.windowLimitedTime,
    sendMemory: near.details?.sendMemory,
    sendLimit: near.details?.sendLimit,
    receiveMemory: far.details?.receiveMemory,
    receiveLimit: far.details?.receiveLimit,
  };
}

/** Whether nothing waits any more. */
export function isEmpty({ queued, inKernel, read }: LaneSample): boolean {
  return queued === 0 && inKernel === 0 && read === 0;
}
