/**
 * The sender of lesson 2, in a thread of its own.
 *
 * The page shows the code between the marks, and highlights the line where `at` reports
 * that the thread waits.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  broadcast,
  type Bytes,
  type Connection,
  type Sendable,
  serve,
  unframed,
} from "@framed/tcp";
import { MESSAGE_BYTES } from "./sample.ts";
import { begin } from "./thread.ts";

/** The settings of the page. */
export interface SenderSettings {
  /** Whether each send is awaited. */
  await: boolean;
  /** Whether there is more to send. */
  hasMore: boolean;
  /** The number of receivers to wait for; more than one means a broadcast. */
  receivers: number;
  /** What happens to a slow receiver of a broadcast. */
  slow: "wait" | "drop";
  highWaterMark: number;
}

/** The counts for one receiver so far. */
export interface SentCount {
  /** The receiver's port. */
  port: number;
  /** Bytes of the messages for it. */
  made: number;
  /** Bytes of these that the kernel has taken. */
  written: number;
  /** The messages that it did not get since the last sample: first and last. */
  dropped: [first: number, last: number][];
}

/** The resolution of timers. */
const PACE_MS = 1;

/** A receiver, and the messages that it did not get. */
interface Lane {
  readonly receiver: Connection<Bytes, Sendable>;
  /** The total. */
  missed: number;
  /** The ones since the last sample. */
  dropped: SentCount["dropped"];
}

const lanes: Lane[] = [];
/** The number of the message that was made last. */
let latest = 0;
const block = new Uint8Array(MESSAGE_BYTES);

const { page, open, at } = await begin<SenderSettings, SentCount[]>(() =>
  lanes.map(countLane)
);

const allAreHere = Promise.withResolvers<void>();
const server = serve({
  hostname: "127.0.0.1",
  port: 0,
  framing: unframed(),
  highWaterMark: page.highWaterMark,
}, async (receiver) => {
  lanes.push({ receiver, missed: 0, dropped: [] });
  if (lanes.length === page.receivers) allAreHere.resolve();
  await receiver.closed;
});
open(server.addr.port);
await allAreHere.promise;

const receivers = lanes.map(({ receiver }) => receiver);
const [receiver, ...others] = receivers;
if (receiver !== undefined && others.length === 0) await sendToOne(receiver);
else await sendToAll();

async function sendToOne(
  receiver: Connection<Bytes, Sendable>,
): Promise<void> {
  // shown: send
  for (let number = 1; page.hasMore; number++) {
    const sent = receiver.send(message(number));
    if (page.await) await at("send", sent);
    await at("pause", delay(PACE_MS));
  }
  // end
}

async function sendToAll(): Promise<void> {
  // shown: broadcast
  const { slow } = page; // "wait" or "drop"
  for (let number = 1; page.hasMore; number++) {
    const sent = broadcast(receivers, message(number), { slow });
    if (page.await) await at("send", sent);
    await at("pause", delay(PACE_MS));
  }
  // end
}

/** A block that starts with its number. Sending copies it. */
function message(number: number): Uint8Array {
  for (const lane of lanes) noteIfMissed(lane);
  latest = number;
  new DataView(block.buffer).setUint32(0, number);
  return block;
}

/** Records that a receiver did not get the latest message. */
function noteIfMissed(lane: Lane): void {
  if (lane.receiver.stats().messagesSent + lane.missed >= latest) return;
  lane.missed++;
  const last = lane.dropped.at(-1);
  if (last?.[1] === latest - 1) last[1] = latest;
  else lane.dropped.push([latest, latest]);
}

function countLane(lane: Lane): SentCount {
  noteIfMissed(lane);
  const { remoteAddr } = lane.receiver;
  const { messagesSent, bytesSent } = lane.receiver.stats();
  const { dropped } = lane;
  lane.dropped = [];
  return {
    port: remoteAddr?.transport === "tcp" ? remoteAddr.port : 0,
    made: messagesSent * MESSAGE_BYTES,
    written: bytesSent,
    dropped,
  };
}
