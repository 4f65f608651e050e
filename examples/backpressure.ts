/**
 * Lesson 2: a slow receiver stops a fast sender.
 *
 * The receiver reads 7 bytes at a time and pauses between reads. The sender is a
 * stream, piped into the connection as fast as it can. Where do the bytes go that
 * nobody reads? And does a full receive buffer on the far side block a write on
 * the near side?
 *
 * They wait in three places: in this process, in this side's send buffer and in
 * the far side's receive buffer, both in the kernel. Once the receiver reads on,
 * so does the sender, in leaps: Linux wakes a writer when a third of its send
 * buffer is free.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-run=cat examples/backpressure.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`. On Linux `cat` reads
 * `/proc/net/tcp`, where the kernel tells how full its buffers are; Deno itself
 * reads there with `--allow-all` only.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { setTimeout as delay } from "node:timers/promises";
import {
  type Bytes,
  connect,
  type Connection,
  type Sendable,
  serve,
  type Server,
  unframed,
} from "@framed/tcp";
import { runLesson } from "./_lesson.ts";

const BLOCK = new Uint8Array(16 * 1024);
const READ_PAUSE_MS = 100;
const READ_SLOWLY_MS = 3000;
const SEND_MS = 6000;
const ROW_MS = 500;

/** The receiver: slow for some seconds, then as fast as reads of 7 bytes are. */
function listen(port: number): Server<Bytes, Sendable, Deno.NetAddr> {
  return serve({
    hostname: "127.0.0.1",
    port,
    framing: unframed(),
    readBufferSize: 7,
    onListen: (addr) => console.log(`Receiver: listening on port ${addr.port}`),
  }, async (connection) => {
    console.log(
      `Receiver: reading 7 bytes at a time, with pauses of ${READ_PAUSE_MS} ms`,
    );
    const startedAt = performance.now();
    let isSlow = true;
    let received = 0;
    for await (const bytes of connection) {
      received += bytes.length;
      if (!isSlow) continue;
      // While this waits, nothing reads the socket.
      await delay(READ_PAUSE_MS);
      isSlow = performance.now() - startedAt < READ_SLOWLY_MS;
      if (!isSlow) console.log("Receiver: reading on, without pauses");
    }
    // The sender has ended its side only, so the answer still arrives.
    await connection.send(String(received));
  });
}

/** The sender. None of its lines is about backpressure: the pipe carries it. */
async function sendAll(
  connection: Connection,
  progress: Progress,
): Promise<void> {
  const startedAt = performance.now();
  const source = new ReadableStream<Uint8Array>({
    // Called only when the connection has room for more.
    pull(controller) {
      if (performance.now() - startedAt >= SEND_MS) return controller.close();
      controller.enqueue(BLOCK);
      progress.made += BLOCK.length;
    },
  }, { highWaterMark: 0 });
  await source.pipeTo(connection.writable);
  progress.hasEnded = true;
  const answer = await connection.receive();
  if (answer === undefined) throw new Error("The receiver gave no answer");
  progress.received = new TextDecoder().decode(answer);
}

interface Progress {
  made: number;
  hasEnded: boolean;
  /** What the receiver says at the end. */
  received: string | undefined;
}

/** Sends, and shows every half second where the bytes are. */
async function dial(port: number): Promise<void> {
  await using connection = await connect({ port, framing: unframed() });
  const progress: Progress = { made: 0, hasEnded: false, received: undefined };
  const sending = sendAll(connection, progress);
  const startedAt = performance.now();
  let sentBefore = 0;
  let stop: Stop | undefined;
  let longestStop: Stop | undefined;
  console.log(
    "Sender: bytes made so far, and where they wait: queued in this process, in this side's send buffer, in the far side's receive buffer",
  );
  printRow("time", "sender", "made", "queued", "send buffer", "far buffer");
  while (true) {
    await Promise.race([sending, delay(ROW_MS)]);
    if (progress.received !== undefined) break;
    const { bytesSent, bufferedAmount } = connection.stats();
    const queues = await kernelQueues(connection);
    const time = performance.now() - startedAt;
    const isMoving = bytesSent > sentBefore;
    sentBefore = bytesSent;
    const state = isMoving ? "running" : progress.hasEnded ? "done" : "stopped";
    const waiting = [bufferedAmount, queues.send, queues.receive].map(bytes);
    printRow(seconds(time), state, bytes(progress.made), ...waiting);

    if (state !== "stopped") {
      stop = undefined;
      continue;
    }
    stop ??= { beganAt: time - ROW_MS, duration: 0, waiting };
    stop.duration = time - stop.beganAt;
    if (stop.duration > (longestStop?.duration ?? 0)) longestStop = stop;
  }
  const received = bytes(Number(progress.received));
  console.log(
    `Sender: made ${bytes(progress.made)} bytes, receiver: read ${received}`,
  );
  console.log(answer(longestStop));
}

/** A time in which the kernel took no byte, and what was waiting as it began. */
interface Stop {
  beganAt: number;
  duration: number;
  waiting: string[];
}

function answer(stop: Stop | undefined): string {
  if (stop === undefined) {
    return "Answer: not seen this time, as the buffers on the way held everything";
  }
  const [queued, sendBuffer, farBuffer] = stop.waiting;
  return `Answer: yes, a full receive buffer on the far side blocks the near side's write: it stood still for ${
    seconds(stop.duration)
  } (bytes in the far receive buffer: ${farBuffer}, in the near send buffer: ${sendBuffer}, queued in the process: ${queued})`;
}

/** How many bytes wait in the kernel on each side, as far as it tells. */
async function kernelQueues(
  { localAddr, remoteAddr }: Connection,
): Promise<{ send: number | undefined; receive: number | undefined }> {
  const { state } = await Deno.permissions.query({
    name: "run",
    command: "cat",
  });
  if (
    Deno.build.os !== "linux" || state !== "granted" ||
    localAddr.transport !== "tcp" || remoteAddr.transport !== "tcp"
  ) {
    return { send: undefined, receive: undefined };
  }
  const cat = new Deno.Command("cat", { args: ["/proc/net/tcp"] });
  const table = new TextDecoder().decode((await cat.output()).stdout);
  const near = portInTable(localAddr.port);
  const far = portInTable(remoteAddr.port);
  // In each row: number, this address, the other, state, send:receive queue.
  const sendQueue = `:${near} \\w+:${far} \\w+ (\\w+):`;
  const receiveQueue = `:${far} \\w+:${near} \\w+ \\w+:(\\w+)`;
  return {
    send: parseHex(table.match(sendQueue)?.[1]),
    receive: parseHex(table.match(receiveQueue)?.[1]),
  };
}

function portInTable(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

function parseHex(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : parseInt(digits, 16);
}

function bytes(count: number | undefined): string {
  return count?.toLocaleString("en") ?? "not known here";
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function printRow(...cells: string[]): void {
  console.log(cells.map((cell) => cell.padStart(16)).join(""));
}

await runLesson({ file: "examples/backpressure.ts", listen, dial });
