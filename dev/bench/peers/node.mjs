// @ts-check
/** Node: `net` raw, `split2` and `readline`. */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { answerDriver, makeFrames, messageAt, Tally } from "./subject.mjs";

const host = "127.0.0.1";
const NEWLINE = 10;

/** How many messages are sent before it is seen whether there is room for more. */
const WINDOW = 512;

/**
 * Calls with a view of each line that a chunk completes, and keeps the rest.
 *
 * @param {(line: Buffer) => void} onLine
 * @param {number} [kept] how many bytes of the delimiter stay at the line's end
 * @returns {(chunk: Buffer) => void}
 */
function splitLines(onLine, kept = 0) {
  /** @type {Buffer} */
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let start = 0;
    for (
      let end = buffer.indexOf(NEWLINE);
      end !== -1;
      end = buffer.indexOf(NEWLINE, start)
    ) {
      onLine(buffer.subarray(start, end + kept));
      start = end + 1;
    }
    rest = buffer.subarray(start);
  };
}

/**
 * @param {import("node:net").Server} server
 * @returns {Promise<number>}
 */
async function listen(server) {
  server.listen({ host, port: 0, backlog: 4096 });
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/**
 * Calls with a view of each message that a chunk completes, after its length of 4
 * bytes, and keeps the rest.
 *
 * @param {(message: Buffer) => void} onMessage
 * @returns {(chunk: Buffer) => void}
 */
function splitPrefixed(onMessage) {
  /** @type {Buffer} */
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let start = 0;
    while (buffer.length - start >= 4) {
      const end = start + 4 + buffer.readUInt32BE(start);
      if (end > buffer.length) break;
      onMessage(buffer.subarray(start + 4, end));
      start = end;
    }
    rest = buffer.subarray(start);
  };
}

/**
 * Receives all that comes.
 *
 * @param {(tally: Tally) => (chunk: Buffer) => void} makeOnData
 * @returns {import("./subject.mjs").Run}
 */
function receive(makeOnData) {
  return async (port) => {
    const tally = new Tally();
    const socket = connect({ host, port });
    socket.on("data", makeOnData(tally));
    await once(socket, "close");
    return tally;
  };
}

/** @type {Record<string, import("./subject.mjs").Operation>} */
const operations = {
  "receive": () => receive((tally) => splitLines((line) => tally.add(line))),
  "receive-looked-at": () =>
    receive((tally) => splitLines((line) => tally.addLookedAt(line))),
  "receive-prefixed": () =>
    receive((tally) => splitPrefixed((message) => tally.add(message))),
  "receive-split2": () => {
    const folder = process.env.BENCH_NODE_FOLDER;
    if (!folder) throw new Error("split2 is not installed");
    const split2 = createRequire(`${folder}/`)("split2");
    return async (port) => {
      const tally = new Tally();
      const socket = connect({ host, port });
      const lines = socket.pipe(split2());
      lines.on("data", (/** @type {string} */ line) => tally.addText(line));
      await once(lines, "end");
      return tally;
    };
  },
  "receive-readline": () => async (port) => {
    const tally = new Tally();
    const lines = createInterface({
      input: connect({ host, port }),
      crlfDelay: Infinity,
    });
    lines.on("line", (line) => tally.addText(line));
    await once(lines, "close");
    return tally;
  },
  "send": (length) => {
    const frames = makeFrames(length);
    return async (port, count) => {
      const socket = connect({ host, port, noDelay: true });
      for (let sent = 0; sent < count;) {
        socket.cork();
        let hasRoom = true;
        for (const end = Math.min(count, sent + WINDOW); sent < end; sent++) {
          hasRoom = socket.write(messageAt(frames, sent));
        }
        socket.uncork();
        if (!hasRoom) await once(socket, "drain");
      }
      socket.end();
      await once(socket.resume(), "close");
      return new Tally();
    };
  },
  "request": (length, _chunkLength, kind) => {
    const frames = makeFrames(length, kind);
    return async (port, count) => {
      const tally = new Tally();
      const socket = connect({ host, port, noDelay: true });
      const ask = () => socket.write(messageAt(frames, tally.count));
      socket.on(
        "data",
        splitLines((line) => {
          tally.add(line);
          if (tally.count < count) ask();
          else socket.end();
        }),
      );
      ask();
      await once(socket, "close");
      return tally;
    };
  },
  "echo": async () => {
    const server = createServer({ noDelay: true }, (socket) => {
      const onData = splitLines((frame) => socket.write(frame), 1);
      socket.on("data", (chunk) => {
        socket.cork();
        onData(chunk);
        socket.uncork();
      });
    });
    return await listen(server);
  },
  "broadcast": async (length) => {
    const [greeting = ""] = makeFrames(length);
    /** @type {Set<import("node:net").Socket>} */
    const sockets = new Set();
    const server = createServer({ noDelay: true }, (socket) => {
      /** @type {Buffer[]} */
      let frames = [];
      const onData = splitLines((frame) => frames.push(frame), 1);
      sockets.add(socket);
      socket.write(greeting);
      socket.on("data", (chunk) => {
        onData(chunk);
        for (const each of sockets) {
          each.cork();
          for (const frame of frames) each.write(frame);
          each.uncork();
        }
        frames = [];
      });
    });
    return await listen(server);
  },
};

await answerDriver(operations);
