/**
 * Lesson 2: a slow receiver stops a fast sender.
 *
 * The receiver reads 7 bytes at a time and pauses between reads. The sender is a stream,
 * piped into the connection as fast as it can. Where do the unread bytes go? And does a
 * full receive buffer on the far side block a write on the near side?
 *
 * They wait in three places: in this process, in this side's send buffer and in
 * the far side's receive buffer, both in the kernel. Once the receiver reads again, the
 * sender continues, in leaps: Linux wakes a writer when a third of its send buffer is
 * free.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-run=cat examples/backpressure.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`. On Linux `cat` reads
 * `/proc/net/tcp`, where the kernel shows how full its buffers are; Deno itself may read
 * it only with `--allow-all`.
 *
 * With `--svg`, and no other flag, it draws the run: `… --svg > run.svg`. Its other
 * output then goes to standard error.
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
import { drawRun, type Sample } from "./_plot.ts";

const isDrawing = Deno.args.length === 1 && Deno.args[0] === "--svg";
const say = isDrawing ? console.error : console.log;

const BLOCK = new Uint8Array(16 * 1024);
const READ_PAUSE_MS = 100;
const READ_SLOWLY_MS = 3000;
const SEND_MS = 6000;
const ROW_MS = isDrawing ? 150 : 500;

/** The receiver: slow for some seconds, then as fast as reads of 7 bytes are. */
function listen(port: number): Server<Bytes, Sendable, Deno.NetAddr> {
  return serve({
    hostname: "127.0.0.1",
    port,
    framing: unframed(),
    readBufferSize: 7,
    onListen: (addr) => say(`Receiver: listening on port ${addr.port}`),
  }, async (connection) => {
    say(
      `Receiver: reading 7 bytes at a time, with pauses of ${READ_PAUSE_MS} ms`,
    );
    const startedAt = performance.now();
    let isSlow = true;
    let received = 0;
    for await (const chunk of connection) {
      received += chunk.length;
      if (!isSlow) continue;
      // While this waits, nothing reads the socket.
      await delay(READ_PAUSE_MS);
      isSlow = performance.now() - startedAt < READ_SLOWLY_MS;
      if (!isSlow) say("Receiver: reading on, without pauses");
    }
    // The sender has only half-closed, so the answer still arrives.
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
  const count = await connection.receive();
  if (count === undefined) throw new Error("The receiver gave no answer");
  progress.received = new TextDecoder().decode(count);
}

interface Progress {
  made: number;
  hasEnded: boolean;
  /** The receiver's answer at the end. */
  received: string | undefined;
}

/** Sends, and shows repeatedly where the bytes are. */
async function dial(
  port: number,
  onSample?: (sample: Omit<Sample, "received">) => void,
): Promise<Sample> {
  await using connection = await connect({ port, framing: unframed() });
  const progress: Progress = { made: 0, hasEnded: false, received: undefined };
  const sending = sendAll(connection, progress);
  const startedAt = performance.now();
  let sentBefore = 0;
  let stop: Stop | undefined;
  let longestStop: Stop | undefined;
  say(
    "Sender: bytes made so far, and where they wait: queued in this process, in this side's send buffer, in the far side's receive buffer",
  );
  printRow("time", "sender", "made", "queued", "send buffer", "far buffer");
  while (true) {
    await Promise.race([sending, delay(ROW_MS)]);
    if (progress.received !== undefined) break;
    const time = performance.now() - startedAt;
    const { made } = progress;
    const { bytesSent: sent } = connection.stats();
    const { sendBuffer, farBuffer } = kernelBuffers(connection);
    onSample?.({ time, made, sent, sendBuffer, farBuffer });
    const isMoving = sent > sentBefore;
    sentBefore = sent;
    const state = isMoving ? "running" : progress.hasEnded ? "done" : "stopped";
    const waiting = [made - sent, sendBuffer, farBuffer].map(bytes);
    printRow(seconds(time), state, bytes(made), ...waiting);

    if (state !== "stopped") {
      stop = undefined;
      continue;
    }
    stop ??= { beganAt: time - ROW_MS, duration: 0, waiting };
    stop.duration = time - stop.beganAt;
    if (stop.duration > (longestStop?.duration ?? 0)) longestStop = stop;
  }
  const received = Number(progress.received);
  say(
    `Sender: made ${bytes(progress.made)} bytes, receiver: read ${
      bytes(received)
    }`,
  );
  say(answer(longestStop));
  return {
    time: performance.now() - startedAt,
    made: progress.made,
    sent: connection.stats().bytesSent,
    received,
    // The answer came after the last byte, so nothing waits any more.
    sendBuffer: 0,
    farBuffer: 0,
  };
}

/** Runs both sides, and draws the samples. */
async function draw(): Promise<void> {
  await using server = listen(0);
  let receiver: Connection | undefined;
  // Before the first byte.
  const nothing = {
    made: 0,
    sent: 0,
    received: 0,
    sendBuffer: 0,
    farBuffer: 0,
  };
  const samples: Sample[] = [{ time: 0, ...nothing }];
  const end = await dial(server.addr.port, (sample) => {
    receiver ??= [...server.connections][0];
    const received = receiver?.stats().bytesReceived ?? 0;
    // Once all is read, sockets may be gone from the kernel's table.
    if (received < sample.made) samples.push({ ...sample, received });
  });
  console.log(drawRun([...samples, end]));
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

/** How many bytes wait in the kernel on each side, as far as it shows them. */
function kernelBuffers(
  { localAddr, remoteAddr }: Connection,
): Pick<Sample, "sendBuffer" | "farBuffer"> {
  const { state } = Deno.permissions.querySync({ name: "run", command: "cat" });
  if (
    Deno.build.os !== "linux" || state !== "granted" ||
    localAddr?.transport !== "tcp" || remoteAddr?.transport !== "tcp"
  ) {
    return { sendBuffer: undefined, farBuffer: undefined };
  }
  const cat = new Deno.Command("cat", { args: ["/proc/net/tcp"] });
  // This process is blocked meanwhile, so all figures are from the same moment.
  const table = new TextDecoder().decode(cat.outputSync().stdout);
  const near = portInTable(localAddr.port);
  const far = portInTable(remoteAddr.port);
  // In each row: number, this address, the other, state, send:receive queue.
  const sendQueue = `:${near} \\w+:${far} \\w+ (\\w+):`;
  const receiveQueue = `:${far} \\w+:${near} \\w+ \\w+:(\\w+)`;
  return {
    sendBuffer: parseHex(table.match(sendQueue)?.[1]),
    farBuffer: parseHex(table.match(receiveQueue)?.[1]),
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
  say(cells.map((cell) => cell.padStart(16)).join(""));
}

if (isDrawing) {
  await draw();
} else {
  await runLesson({
    file: "examples/backpressure.ts",
    listen,
    dial: async (port) => void await dial(port),
  });
}
