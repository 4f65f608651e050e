/**
 * A receiver of lesson 2, in a thread of its own.
 *
 * The page shows the code between the marks, and highlights the line where `at` reports
 * that the thread waits.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { connect, unframed } from "@framed/tcp";
import { begin } from "./thread.ts";

/** The settings of the page. */
export interface ReceiverSettings {
  /** The number of bytes that it takes at a time. */
  bytes: number;
  /** The pause after each of them, in milliseconds. */
  pause: number;
  readBufferSize: number;
}

/** The counts so far. */
export interface ReceivedCount {
  /** Bytes that `read` has returned. */
  read: number;
  /** Bytes of these that the program has taken. */
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
