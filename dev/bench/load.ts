// deno-lint-ignore-file no-console

/**
 * The far side of every socket: a separate process, the same for all subjects.
 *
 * It uses blocking sockets through libc, without an event loop, because a load
 * generator on `Deno.Conn` was itself the limit: 2.3 million pipelined echoes a second
 * with a server in Rust, 4.5 million this way.
 *
 * Started as `load.ts MESSAGE_LENGTH KIND FRAMING TRANSPORT`, it prints its port. Then
 * each line `MODE PORT COUNT` starts one run, and the answer is the number of bytes
 * that passed and were correct.
 */

import { createInterface } from "node:readline";
import process from "node:process";
import {
  connect as connectTcp,
  listenOnLoopback,
  Poll,
  sendAll,
  type Socket,
} from "./load_sockets.ts";
import { lengthHeader } from "./peers/_in_memory.ts";
import { isKind, makeBlock, makeMessages } from "./peers/subject.mjs";

const RECEIVE_BUFFER_LENGTH = 2 ** 18;

const PIPELINED_CONNECTIONS = 64;
const PIPELINED_IN_FLIGHT = 32;

const BROADCAST_RECEIVERS = 1000;
const BROADCAST_IN_FLIGHT = 32;

/** The number of connections that may be opened before the first one has answered. */
const OPENING_WINDOW = 256;

const { memcmp } = Deno.dlopen("libc.so.6", {
  memcmp: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
}).symbols;

const [messageLength, kind = "letters", framing, transport] = Deno.args;
if (!isKind(kind)) throw new TypeError(`Unknown kind of messages: ${kind}`);
const messages = makeMessages(Number(messageLength), kind);
const block = framing === "prefixed"
  ? makeBlock(messages, new Uint8Array(), lengthHeader)
  : makeBlock(messages, new Uint8Array([10]));
/** The same for all messages, except in echo, which does not need it. */
const frameLength = block.length / messages.length;

const tls = transport === "tls" ? await import("./load_tls.ts") : undefined;
const listener = listenOnLoopback();

function accept(): Socket {
  const socket = listener.accept();
  return tls?.acceptTls(socket) ?? socket;
}

function connect(port: number): Socket {
  const socket = connectTcp(port);
  return tls?.connectTls(socket) ?? socket;
}

// The block is repeated after its end, so that a view can start anywhere.
const endless = new Uint8Array(block.length + RECEIVE_BUFFER_LENGTH);
for (let at = 0; at < endless.length; at += block.length) {
  endless.set(block.subarray(0, endless.length - at), at);
}
const received = new Uint8Array(RECEIVE_BUFFER_LENGTH);

function expectAt(position: number, length: number): void {
  const expected = endless.subarray(position % block.length);
  if (memcmp(received, expected, BigInt(length)) !== 0) {
    throw new Error(
      `The subject sent wrong bytes between ${position} and ${
        position + length
      }`,
    );
  }
}

function source(socket: Socket, count: number): number {
  const total = count * frameLength;
  for (let sent = 0; sent < total;) {
    const part = block.subarray(0, total - sent);
    sendAll(socket, part);
    sent += part.length;
  }
  socket.end();
  while (socket.read(received) > 0);
  return total;
}

function sink(socket: Socket): number {
  for (let position = 0;;) {
    const length = socket.read(received);
    if (length === 0) return position;
    expectAt(position, length);
    position += length;
  }
}

function echo(socket: Socket): number {
  for (let position = 0;;) {
    const length = socket.read(received);
    if (length === 0) return position;
    expectAt(position, length);
    sendAll(socket, received.subarray(0, length));
    position += length;
  }
}

const pipes: Socket[] = [];

/** Echoes over many connections that are kept, so that handshakes are not measured. */
function pipelined(port: number, count: number): number {
  while (pipes.length < PIPELINED_CONNECTIONS) pipes.push(connect(port));
  const total = Math.floor(count / PIPELINED_CONNECTIONS) * frameLength;
  const inFlight = Math.min(PIPELINED_IN_FLIGHT * frameLength, total);
  const peers = pipes.map((socket) => ({ socket, sent: 0, received: 0 }));
  const poll = new Poll(pipes);
  for (const peer of peers) {
    sendAll(peer.socket, endless.subarray(0, inFlight));
    peer.sent = inFlight;
  }
  for (let unfinished = peers.length; unfinished > 0;) {
    poll.wait();
    for (const [index, peer] of peers.entries()) {
      if (!poll.isReadable(index)) continue;
      const length = peer.socket.read(received);
      if (length === 0) {
        throw new Error(`The subject closed after ${peer.received} bytes`);
      }
      expectAt(peer.received, length);
      peer.received += length;
      // For each message that has come back whole, send the next one.
      const whole = Math.floor(peer.received / frameLength) * frameLength;
      const until = Math.min(total, whole + inFlight);
      if (until > peer.sent) {
        const from = peer.sent % block.length;
        sendAll(peer.socket, endless.subarray(from, from + until - peer.sent));
        peer.sent = until;
      }
      if (peer.received === total) {
        poll.leaveOut(index);
        unfinished--;
      }
    }
  }
  return peers.length * total;
}

const receivers: Socket[] = [];

/** Reads the expected bytes, from `position` on. */
function expectNext(socket: Socket, position: number, length: number): void {
  for (const end = position + length; position < end;) {
    const count = socket.read(received.subarray(0, end - position));
    if (count === 0) throw new Error("The subject closed a connection");
    expectAt(position, count);
    position += count;
  }
}

/** Sends on one of many connections and receives on all. The connections are kept. */
function broadcast(port: number, count: number, inFlight: number): number {
  while (receivers.length < BROADCAST_RECEIVERS) {
    const socket = connect(port);
    expectNext(socket, 0, frameLength); // the subject now knows the connection
    receivers.push(socket);
  }
  const [sender] = receivers;
  if (sender === undefined) throw new Error("There are no receivers");
  const total = Math.floor(count / BROADCAST_RECEIVERS) * frameLength;
  for (let position = 0; position < total;) {
    const length = Math.min(inFlight * frameLength, total - position);
    const from = position % block.length;
    sendAll(sender, endless.subarray(from, from + length));
    for (const socket of receivers) expectNext(socket, position, length);
    position += length;
  }
  return receivers.length * total;
}

const held: Socket[] = [];

/** Opens connections and keeps them, after one echoed message on each. */
function open(port: number, count: number): number {
  const opened: Socket[] = [];
  const message = block.subarray(0, frameLength);
  const awaitAnswer = (socket: Socket | undefined) => {
    if (socket !== undefined) expectNext(socket, 0, frameLength);
  };
  for (let index = 0; index < count; index++) {
    const socket = connect(port);
    opened.push(socket);
    sendAll(socket, message);
    awaitAnswer(opened[index - OPENING_WINDOW]);
  }
  opened.slice(-OPENING_WINDOW).forEach(awaitAnswer);
  held.push(...opened);
  return count * frameLength;
}

function release(): number {
  for (const socket of held.splice(0)) socket.close();
  return 0;
}

function serveOnce(act: (socket: Socket) => number): number {
  const socket = accept();
  const bytes = act(socket);
  socket.close();
  return bytes;
}

const modes: Record<string, (port: number, count: number) => number> = {
  source: (_, count) => serveOnce((socket) => source(socket, count)),
  sink: () => serveOnce(sink),
  echo: () => serveOnce(echo),
  pipelined,
  open,
  broadcast: (port, count) => broadcast(port, count, 1),
  "broadcast-pipelined": (port, count) =>
    broadcast(port, count, BROADCAST_IN_FLIGHT),
  release,
};

console.log(listener.port);
for await (const line of createInterface({ input: process.stdin })) {
  const [mode = "", port, count] = line.split(" ");
  const act = modes[mode];
  if (act === undefined) throw new TypeError(`Unknown mode: ${mode}`);
  console.log(act(Number(port), Number(count)));
}
Deno.exit();
