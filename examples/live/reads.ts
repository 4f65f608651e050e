/**
 * Sends frames through a real socket, and reports where the reads ended.
 *
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { bareLaneSample, type Sample } from "./sample.ts";

/** The sent bytes, with one write for each frame. */
export interface Frames {
  bytes: number[];
  /** Where each frame ends. */
  ends: number[];
}

/** Where the reads ended, and the decoder's state after each. */
export interface RealReads {
  cuts: number[];
  samples: Sample[];
}

/** Small, to show now what large messages and busy machines do to every program. */
const READ_BUFFER_BYTES = 24;
/** The probability of a write before a read, if both are possible. */
const WRITE_SHARE = 0.7;

/** Writes every frame, with reads in between, in random order. */
export async function readReally(
  { bytes, ends }: Frames,
  kernel: Kernel,
): Promise<RealReads> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  using sender = await Deno.connect({ hostname: "127.0.0.1", port });
  using receiver = await listener.accept();

  const startedAt = performance.now();
  const frames = ends.map((end, index) =>
    new Uint8Array(bytes.slice(ends[index - 1] ?? 0, end))
  );
  const buffer = new Uint8Array(READ_BUFFER_BYTES);
  const cuts: number[] = [];
  const samples: Sample[] = [];
  let made = 0;
  let taken = 0;
  while (taken < bytes.length) {
    const hasUnread = taken < made;
    const frame = hasUnread && Math.random() > WRITE_SHARE
      ? undefined
      : frames.shift();
    if (frame !== undefined) {
      made += await sender.write(frame);
      continue;
    }
    taken += await receiver.read(buffer) ?? 0;
    cuts.push(taken);
    const lookedAt = performance.now();
    const sockets = await kernel.sockets(port);
    samples.push({
      time: lookedAt - startedAt,
      still: performance.now() - lookedAt,
      senderAt: "running",
      lanes: [bareLaneSample({
        written: made,
        beingWritten: 0,
        taken,
        isReading: false,
        isKernelKnown: kernel.source !== "none",
        near: sockets.find(({ remotePort }) => remotePort === port),
        far: sockets.find(({ localPort, state }) =>
          localPort === port && state !== "LISTEN"
        ),
      })],
    });
  }
  return { cuts, samples };
}
