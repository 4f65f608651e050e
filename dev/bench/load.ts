// deno-lint-ignore-file no-console

/**
 * The far side of every socket: a process of its own, the same for all
 * subjects.
 *
 * It speaks to the sockets through libc, blocking and without an event loop,
 * because a load generator on `Deno.Conn` was the limit itself: 2.3 million
 * pipelined echoes a second against a server in Rust, 4.5 million this way.
 *
 * Started as `load.ts MESSAGE_LENGTH`, it prints the port it listens on. Then
 * each line `MODE PORT COUNT` is one run, answered by how many bytes passed and
 * were right.
 */

import { createInterface } from "node:readline";
import process from "node:process";
import { makeBlock, makeMessages } from "./peers/subject.mjs";

const AF_INET = 2;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SHUT_WR = 1;
const POLLIN = 1;

/** Nothing here waits for longer, so the process ends by itself. */
const TIMEOUT_SECONDS = 30;

const RECEIVE_BUFFER_LENGTH = 2 ** 18;

const PIPELINED_CONNECTIONS = 64;
const PIPELINED_IN_FLIGHT = 32;

const BROADCAST_RECEIVERS = 1000;
const BROADCAST_IN_FLIGHT = 32;

/** How many connections may be opened before the first of them has answered. */
const OPENING_WINDOW = 256;

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  accept: { parameters: ["i32", "pointer", "pointer"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: {
    parameters: ["i32", "i32", "i32", "buffer", "u32"],
    result: "i32",
  },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  memcmp: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
}).symbols;

type Bytes = Uint8Array<ArrayBuffer>;

function loopbackAddress(port: number): Bytes {
  const address = new DataView(new ArrayBuffer(16));
  address.setUint16(0, AF_INET, true);
  address.setUint16(2, port);
  address.setUint32(4, 0x7f_00_00_01);
  return new Uint8Array(address.buffer);
}

function check(result: number, call: string): number {
  if (result < 0) throw new Error(`Cannot ${call}: libc returned ${result}`);
  return result;
}

function configure(socket: number): number {
  const timeout = new Uint8Array(
    new BigInt64Array([BigInt(TIMEOUT_SECONDS), 0n]).buffer,
  );
  libc.setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length);
  libc.setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, timeout, timeout.length);
  libc.setsockopt(
    socket,
    IPPROTO_TCP,
    TCP_NODELAY,
    new Uint8Array([1, 0, 0, 0]),
    4,
  );
  return socket;
}

function listenOnLoopback(): { listener: number; port: number } {
  const listener = configure(
    check(libc.socket(AF_INET, SOCK_STREAM, 0), "open a socket"),
  );
  const address = loopbackAddress(0);
  check(libc.bind(listener, address, address.length), "bind");
  check(libc.listen(listener, 16), "listen");
  libc.getsockname(
    listener,
    address,
    new Uint8Array([address.length, 0, 0, 0]),
  );
  return { listener, port: new DataView(address.buffer).getUint16(2) };
}

function accept(listener: number): number {
  return configure(check(libc.accept(listener, null, null), "accept"));
}

function connect(port: number): number {
  const socket = configure(
    check(libc.socket(AF_INET, SOCK_STREAM, 0), "open a socket"),
  );
  const address = loopbackAddress(port);
  check(libc.connect(socket, address, address.length), "connect");
  return socket;
}

function send(socket: number, bytes: Bytes): void {
  for (let sent = 0; sent < bytes.length;) {
    const rest = bytes.subarray(sent);
    sent += check(
      Number(libc.send(socket, rest, BigInt(rest.length), 0)),
      "send",
    );
  }
}

function receive(socket: number, buffer: Bytes): number {
  return check(
    Number(libc.recv(socket, buffer, BigInt(buffer.length), 0)),
    "receive",
  );
}

const messageLength = Number(Deno.args[0]);
const frameLength = messageLength + 1;
const block = makeBlock(makeMessages(messageLength), new Uint8Array([10]));

// The block goes on behind its end, so that a view of it can begin anywhere.
const endless = new Uint8Array(block.length + RECEIVE_BUFFER_LENGTH);
for (let at = 0; at < endless.length; at += block.length) {
  endless.set(block.subarray(0, endless.length - at), at);
}
const received = new Uint8Array(RECEIVE_BUFFER_LENGTH);

function expectAt(position: number, length: number): void {
  const expected = endless.subarray(position % block.length);
  if (libc.memcmp(received, expected, BigInt(length)) !== 0) {
    throw new Error(
      `The subject sent wrong bytes between ${position} and ${
        position + length
      }`,
    );
  }
}

function source(socket: number, count: number): number {
  const total = count * frameLength;
  for (let sent = 0; sent < total;) {
    const part = block.subarray(0, total - sent);
    send(socket, part);
    sent += part.length;
  }
  libc.shutdown(socket, SHUT_WR);
  while (receive(socket, received) > 0);
  return total;
}

function sink(socket: number): number {
  for (let position = 0;;) {
    const length = receive(socket, received);
    if (length === 0) return position;
    expectAt(position, length);
    position += length;
  }
}

function echo(socket: number): number {
  for (let position = 0;;) {
    const length = receive(socket, received);
    if (length === 0) return position;
    expectAt(position, length);
    send(socket, received.subarray(0, length));
    position += length;
  }
}

function pipelined(port: number, count: number): number {
  const total = Math.floor(count / PIPELINED_CONNECTIONS) * frameLength;
  const inFlight = Math.min(PIPELINED_IN_FLIGHT * frameLength, total);
  const peers = Array.from({ length: PIPELINED_CONNECTIONS }, () => ({
    socket: connect(port),
    sent: 0,
    received: 0,
  }));
  // struct pollfd: the socket, the events asked for, the events that came.
  const polled = new DataView(new ArrayBuffer(8 * peers.length));
  const polledBytes = new Uint8Array(polled.buffer);
  peers.forEach(({ socket }, index) => {
    polled.setInt32(8 * index, socket, true);
    polled.setInt16(8 * index + 4, POLLIN, true);
  });
  for (const peer of peers) {
    send(peer.socket, endless.subarray(0, inFlight));
    peer.sent = inFlight;
  }
  for (let unfinished = peers.length; unfinished > 0;) {
    if (
      libc.poll(polledBytes, BigInt(peers.length), TIMEOUT_SECONDS * 1000) <= 0
    ) {
      throw new Error("The subject did not answer in time");
    }
    for (const [index, peer] of peers.entries()) {
      if (polled.getInt16(8 * index + 6, true) === 0) continue;
      const length = receive(peer.socket, received);
      if (length === 0) {
        throw new Error(`The subject closed after ${peer.received} bytes`);
      }
      expectAt(peer.received, length);
      peer.received += length;
      // Each message that is back whole lets the next one go.
      const whole = Math.floor(peer.received / frameLength) * frameLength;
      const until = Math.min(total, whole + inFlight);
      if (until > peer.sent) {
        const from = peer.sent % block.length;
        send(peer.socket, endless.subarray(from, from + until - peer.sent));
        peer.sent = until;
      }
      if (peer.received === total) {
        polled.setInt32(8 * index, -1, true); // poll() passes over it
        unfinished--;
      }
    }
  }
  for (const { socket } of peers) libc.close(socket);
  return peers.length * total;
}

const receivers: number[] = [];

/** Reads what is to come next, from `position` on. */
function expectNext(socket: number, position: number, length: number): void {
  for (const end = position + length; position < end;) {
    const count = receive(socket, received.subarray(0, end - position));
    if (count === 0) throw new Error("The subject closed a connection");
    expectAt(position, count);
    position += count;
  }
}

/** Sends on one of many connections, and receives on all; they are kept. */
function broadcast(port: number, count: number, inFlight: number): number {
  while (receivers.length < BROADCAST_RECEIVERS) {
    const socket = connect(port);
    expectNext(socket, 0, frameLength); // the subject knows it now
    receivers.push(socket);
  }
  const [sender = 0] = receivers;
  const total = Math.floor(count / BROADCAST_RECEIVERS) * frameLength;
  for (let position = 0; position < total;) {
    const length = Math.min(inFlight * frameLength, total - position);
    const from = position % block.length;
    send(sender, endless.subarray(from, from + length));
    for (const socket of receivers) expectNext(socket, position, length);
    position += length;
  }
  return receivers.length * total;
}

const held: number[] = [];

/** Opens connections and keeps them, each after one message there and back. */
function open(port: number, count: number): number {
  const opened: number[] = [];
  const message = block.subarray(0, frameLength);
  const awaitAnswer = (socket: number | undefined) => {
    if (socket !== undefined) expectNext(socket, 0, frameLength);
  };
  for (let index = 0; index < count; index++) {
    const socket = connect(port);
    opened.push(socket);
    send(socket, message);
    awaitAnswer(opened[index - OPENING_WINDOW]);
  }
  opened.slice(-OPENING_WINDOW).forEach(awaitAnswer);
  held.push(...opened);
  return count * frameLength;
}

function release(): number {
  for (const socket of held.splice(0)) libc.close(socket);
  return 0;
}

function serveOnce(act: (socket: number) => number): number {
  const socket = accept(listener);
  const bytes = act(socket);
  libc.close(socket);
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

const { listener, port: ownPort } = listenOnLoopback();
console.log(ownPort);
for await (const line of createInterface({ input: process.stdin })) {
  const [mode = "", port, count] = line.split(" ");
  const act = modes[mode];
  if (act === undefined) throw new TypeError(`Unknown mode: ${mode}`);
  console.log(act(Number(port), Number(count)));
}
Deno.exit();
