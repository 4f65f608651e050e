/**
 * A receiver of lesson 2, in a thread of its own.
 *
 * The page shows what stands between the marks, and lights the line on which `at`
 * says that the thread waits.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { connect, unframed } from "@framed/tcp";
import { begin } from "./thread.ts";

/** What the page sets. */
export interface ReceiverSettings {
  /** How many bytes are taken at a time. */
  bytes: number;
  /** The pause after each of them, in milliseconds. */
  pause: number;
  readBufferSize: number;
}

/** What was received so far. */
export interface ReceivedCount {
  /** Bytes that `read` has brought into this process. */
  read: number;
  /** Of these, what the program has taken. */
  taken: number;
}

let taken = 0;

const { page, port, open, at } = await begin<
  ReceiverSettings,
  ReceivedCount
>((): ReceivedCount => ({ read: connection.stats().bytesReceived, taken }));

const connection = await connect({
  hostname: "127.0.0.1",
  port,
  framing: unframed(),
  readBufferSize: page.readBufferSize,
});
const { localAddr } = connection;
if (localAddr?.transport === "tcp") open(localAddr.port);

// shown: receive
while (true) {
  let chunk = await at("read", connection.receive());
  if (chunk === undefined) break;
  while (chunk.length > 0) {
    taken += Math.min(page.bytes, chunk.length);
    chunk = chunk.subarray(page.bytes);
    if (page.pause > 0) await at("pause", delay(page.pause));
  }
}
// end
