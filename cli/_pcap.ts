/**
 * A capture that Wireshark opens. The proxy sees bytes, not packets, so it makes the
 * packets up, with the addresses of both ends and consistent sequence numbers.
 *
 * @module
 */
import { concat } from "@std/bytes/concat";
import type { Origin } from "./_format.ts";
import type { Place } from "./_values.ts";

const MAGIC = 0xa1b2c3d4;
const LINKTYPE_RAW = 101; // an IP header comes first, of either version
const SNAP_LENGTH = 262_144;
// An IPv4 datagram holds at most 65,535 bytes.
const MAX_PAYLOAD = 32 * 1024;

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;

/** The header of the file. */
export function pcapHeader(): Uint8Array {
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, MAGIC);
  header.setUint16(4, 2);
  header.setUint16(6, 4);
  header.setUint32(16, SNAP_LENGTH);
  header.setUint32(20, LINKTYPE_RAW);
  return new Uint8Array(header.buffer);
}

/** Both ends of a connection. */
export interface FlowEnds {
  readonly client: Place;
  readonly server: Place;
}

interface Endpoint {
  readonly address: Uint8Array;
  readonly port: number;
  sequence: number;
}

/** One connection of a capture. Times are in milliseconds since 1970. */
export class Flow {
  readonly #write: (packet: Uint8Array) => void;
  readonly #client: Endpoint;
  readonly #server: Endpoint;
  #isOver = false;
  readonly #ended = new Set<Origin>();

  /** Writes the handshake. */
  constructor(
    ends: FlowEnds,
    number: number,
    time: number,
    write: (packet: Uint8Array) => void,
  ) {
    this.#write = write;
    const client = addressOf(ends.client, 40_000 + number % 20_000);
    const server = addressOf(ends.server, 1);
    // Both of the same version: every IPv4 address has an IPv6 form.
    const isV4 = client.address.length === 4 && server.address.length === 4;
    this.#client = {
      ...client,
      address: isV4 ? client.address : toV6(client.address),
      sequence: 0,
    };
    this.#server = {
      ...server,
      address: isV4 ? server.address : toV6(server.address),
      sequence: 0,
    };
    this.#packet("client", SYN, time);
    this.#client.sequence++;
    this.#packet("server", SYN | ACK, time);
    this.#server.sequence++;
    this.#packet("client", ACK, time);
  }

  /** Writes bytes that one side has sent, and the other side's acknowledgement. */
  data(from: Origin, bytes: Uint8Array, time: number): void {
    if (this.#isOver) return;
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
      const payload = bytes.subarray(at, at + MAX_PAYLOAD);
      this.#packet(from, PSH | ACK, time, payload);
      this.#acknowledge(from, payload.length, time);
    }
  }

  /** Writes that one side has ended. */
  end(from: Origin, time: number): void {
    if (this.#isOver || this.#ended.has(from)) return;
    this.#ended.add(from);
    this.#packet(from, FIN | ACK, time);
    this.#acknowledge(from, 1, time);
    if (this.#ended.size === 2) this.#isOver = true;
  }

  /** Writes that the connection broke, unless both sides have ended. */
  reset(from: Origin, time: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#packet(from, RST | ACK, time);
  }

  #acknowledge(from: Origin, length: number, time: number): void {
    const sender = from === "client" ? this.#client : this.#server;
    sender.sequence = (sender.sequence + length) >>> 0;
    this.#packet(from === "client" ? "server" : "client", ACK, time);
  }

  #packet(
    from: Origin,
    flags: number,
    time: number,
    payload: Uint8Array = new Uint8Array(0),
  ): void {
    const [source, target] = from === "client"
      ? [this.#client, this.#server]
      : [this.#server, this.#client];
    const segment = tcpSegment(source, target, flags, payload);
    const datagram = source.address.length === 4
      ? ipv4(source, target, segment)
      : ipv6(source, target, segment);
    const record = new DataView(new ArrayBuffer(16));
    record.setUint32(0, Math.floor(time / 1000));
    record.setUint32(4, Math.floor(time % 1000 * 1000));
    record.setUint32(8, datagram.length);
    record.setUint32(12, datagram.length);
    this.#write(concat([new Uint8Array(record.buffer), datagram]));
  }
}

const TCP_HEADER = 20;
const PROTOCOL_TCP = 6;

function tcpSegment(
  source: Endpoint,
  target: Endpoint,
  flags: number,
  payload: Uint8Array,
): Uint8Array {
  const segment = new Uint8Array(TCP_HEADER + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, source.port);
  view.setUint16(2, target.port);
  view.setUint32(4, source.sequence);
  view.setUint32(8, (flags & ACK) === 0 ? 0 : target.sequence);
  view.setUint8(12, TCP_HEADER / 4 << 4);
  view.setUint8(13, flags);
  view.setUint16(14, 65_535);
  segment.set(payload, TCP_HEADER);
  // The sum also covers both addresses, the protocol and the length.
  const pseudo = new Uint8Array(4);
  new DataView(pseudo.buffer).setUint16(0, PROTOCOL_TCP);
  new DataView(pseudo.buffer).setUint16(2, segment.length);
  const sum = checksum([source.address, target.address, pseudo, segment]);
  view.setUint16(16, sum);
  return segment;
}

function ipv4(
  source: Endpoint,
  target: Endpoint,
  segment: Uint8Array,
): Uint8Array {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, header.length + segment.length);
  view.setUint16(6, 0x4000); // do not fragment
  view.setUint8(8, 64);
  view.setUint8(9, PROTOCOL_TCP);
  header.set(source.address, 12);
  header.set(target.address, 16);
  view.setUint16(10, checksum([header]));
  return concat([header, segment]);
}

function ipv6(
  source: Endpoint,
  target: Endpoint,
  segment: Uint8Array,
): Uint8Array {
  const header = new Uint8Array(40);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, segment.length);
  view.setUint8(6, PROTOCOL_TCP);
  view.setUint8(7, 64);
  header.set(source.address, 8);
  header.set(target.address, 24);
  return concat([header, segment]);
}

/** The Internet checksum: the complement of the sum of all pairs of bytes. */
function checksum(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      sum += (part[at] ?? 0) << 8 | (part[at + 1] ?? 0);
    }
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An address as bytes; for a Unix socket, which has none, that of this machine. */
function addressOf(
  place: Place,
  otherPort: number,
): { readonly address: Uint8Array; readonly port: number } {
  const localhost = new Uint8Array([127, 0, 0, 1]);
  if ("path" in place) return { address: localhost, port: otherPort };
  return {
    address: parseAddress(place.hostname) ?? localhost,
    port: place.port,
  };
}

function parseAddress(text: string): Uint8Array | undefined {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1] ?? text;
  const numbers = mapped.split(".").map(Number);
  if (
    numbers.length === 4 && numbers.every((each) => each >= 0 && each < 256)
  ) {
    return new Uint8Array(numbers);
  }
  const [withoutZone = ""] = text.split("%");
  if (!/^[0-9a-f:]+$/i.test(withoutZone)) return undefined;
  const [left = "", right] = withoutZone.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const tail = groups(right ?? "");
  const head = groups(left);
  const zeros = Array(Math.max(0, 8 - head.length - tail.length)).fill("0");
  const address = new DataView(new ArrayBuffer(16));
  for (
    const [index, group] of [...head, ...zeros, ...tail].slice(0, 8).entries()
  ) {
    address.setUint16(index * 2, Number.parseInt(group, 16));
  }
  return new Uint8Array(address.buffer);
}

function toV6(address: Uint8Array): Uint8Array {
  if (address.length === 16) return address;
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(address, 12);
  return mapped;
}
