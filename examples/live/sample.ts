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

/** The figures of one moment. */
export interface Sample {
  /** Since the beginning, in milliseconds. */
  time: number;
  /** The milliseconds in which the threads paused to be counted. */
  still: number;
  /** The place where the sender waits, or `running`. */
  senderAt: string;
  lanes: LaneSample[];
}

/**
 * The bytes on the way from the sender to one receiver. The bytes made are the bytes
 * taken and all waiting ones: queued, in the send buffer, in the receive buffer, read.
 */
export interface LaneSample {
  made: number;
  /** In the sender's process. */
  queued: number;
  /**
   * In the sender's kernel and not yet in the receiver's, if the kernel reports it. The
   * sender's kernel keeps more: it does not know yet of all bytes that have arrived.
   */
  sendBuffer?: number | undefined;
  /** In the receiver's kernel, if it reports them. */
  receiveBuffer?: number | undefined;
  /** In both kernels: written and not read. */
  inKernel: number;
  /** In the receiver's process, and not yet taken by its program. */
  read: number;
  taken: number;
  /** Written, and lost with the connection before it was read. */
  lost?: number | undefined;
  /** The place where the receiver waits, or `running`. */
  receiverAt: string;
  /** The messages left out since the last sample: first and last. */
  dropped: SentCount["dropped"];
  kernel?: LaneKernel | undefined;
}

/** Other figures of the kernel; all but the probe only from `ss`. */
export interface LaneKernel {
  /** Whether the timer of the zero-window probe runs. */
  isProbing: boolean;
  /** Bytes sent and not acknowledged, or never sent. */
  sendQueue: number;
  notSent?: number | undefined;
  /** The milliseconds so far in which the receiver's window was the limit. */
  windowLimitedTime?: number | undefined;
  /** The sizes of the buffers; memory includes overhead. */
  sendMemory?: number | undefined;
  sendLimit?: number | undefined;
  receiveMemory?: number | undefined;
  receiveLimit?: number | undefined;
}

/** The figures of each side and of the kernel for one lane. */
export interface LaneFacts {
  sent: SentCount;
  received: ReceivedCount;
  receiverAt: string;
  /** The two ends of the connection in the kernel's table, if available. */
  near: SocketFigures | undefined;
  far: SocketFigures | undefined;
}

/**
 * Combines the figures of the two processes and their kernel.
 *
 * The kernel's figures decide what was written and read: a process may not have seen
 * yet that its own call has succeeded.
 */
export function laneSample(
  { sent, received, receiverAt, near, far }: LaneFacts,
): LaneSample {
  const read = readFrom(far) ?? received.read;
  // Bytes that have arrived were written, even if the sender does not know yet.
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

/** The counts of bare sockets: each counted write and read has returned. */
export interface BareFacts {
  written: number;
  /** The bytes of a write that has not returned. */
  beingWritten: number;
  taken: number;
  isReading: boolean;
  near: SocketFigures | undefined;
  far: SocketFigures | undefined;
  /** Whether the kernel reports sockets: then one that it does not report is gone. */
  isKernelKnown: boolean;
}

/** Combines the counts of bare sockets, and computes where the other bytes are. */
export function bareLaneSample(
  { written, beingWritten, taken, isReading, near, far, isKernelKnown }:
    BareFacts,
): LaneSample {
  const isGone = isKernelKnown && near === undefined && far === undefined;
  const unread = written - taken;
  const inKernel = isGone ? 0 : unread;
  // The end of the stream counts as a byte in the kernel's queue.
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

/** Whether no bytes wait. */
export function isEmpty({ queued, inKernel, read }: LaneSample): boolean {
  return queued === 0 && inKernel === 0 && read === 0;
}
