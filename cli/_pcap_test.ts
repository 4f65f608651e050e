import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { Flow, pcapHeader } from "./_pcap.ts";
import { bytesOf } from "./_values.ts";

interface Packet {
  readonly time: number;
  readonly version: number;
  readonly source: string;
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly payload: string;
}

/** Reads a capture and verifies its checksums. */
function read(file: Uint8Array): Packet[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  assertEquals(view.getUint32(0), 0xa1b2c3d4);
  assertEquals(view.getUint32(20), 101);
  const packets: Packet[] = [];
  for (let at = 24; at < file.length;) {
    const time = view.getUint32(at) * 1000 + view.getUint32(at + 4) / 1000;
    const length = view.getUint32(at + 8);
    packets.push({
      time,
      ...packetOf(file.subarray(at + 16, at + 16 + length)),
    });
    at += 16 + length;
  }
  return packets;
}

function packetOf(datagram: Uint8Array): Omit<Packet, "time"> {
  const version = (datagram[0] ?? 0) >> 4;
  const header = version === 4 ? 20 : 40;
  const addresses = version === 4
    ? datagram.subarray(12, 20)
    : datagram.subarray(8, 40);
  const segment = datagram.subarray(header);
  if (version === 4) assertEquals(sum([datagram.subarray(0, 20)]), 0xffff);
  assertEquals(
    sum([
      addresses,
      new Uint8Array([0, 6, segment.length >> 8, segment.length]),
      segment,
    ]),
    0xffff,
  );
  const view = new DataView(segment.buffer, segment.byteOffset);
  return {
    version,
    source: addresses.subarray(0, addresses.length / 2).toHex(),
    flags: view.getUint8(13),
    sequence: view.getUint32(4),
    acknowledged: view.getUint32(8),
    payload: new TextDecoder().decode(segment.subarray(20)),
  };
}

/** All bits are ones if the checksum is correct. */
function sum(parts: Uint8Array[]): number {
  let total = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      total += (part[at] ?? 0) * 256 + (part[at + 1] ?? 0);
    }
  }
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

function capture(
  [client, server]: [string, string],
  act: (flow: Flow) => void,
): Packet[] {
  const parts = [pcapHeader()];
  const ends = {
    client: { hostname: client, port: 50_000 },
    server: { hostname: server, port: 80 },
  };
  act(
    new Flow(
      ends,
      1,
      1_700_000_000_123.456,
      (packet) => void parts.push(packet),
    ),
  );
  return read(concat(parts));
}

const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16] as const;

Deno.test("A flow has a handshake, matching sequence numbers and an end", () => {
  const packets = capture(["10.0.0.1", "10.0.0.2"], (flow) => {
    flow.data("client", bytesOf("hello"), 1_700_000_001_000);
    flow.data("server", bytesOf("hi"), 1_700_000_001_000);
    flow.end("client", 1_700_000_001_000);
    flow.end("client", 1_700_000_001_000);
    flow.end("server", 1_700_000_001_000);
    flow.reset("server", 1_700_000_001_000);
  });
  const [c, s] = ["0a000001", "0a000002"];
  assertEquals(
    packets.map(({ source, flags, sequence, acknowledged, payload }) => [
      source,
      flags,
      sequence,
      acknowledged,
      payload,
    ]),
    [
      [c, SYN, 0, 0, ""],
      [s, SYN | ACK, 0, 1, ""],
      [c, ACK, 1, 1, ""],
      [c, PSH | ACK, 1, 1, "hello"],
      [s, ACK, 1, 6, ""],
      [s, PSH | ACK, 1, 6, "hi"],
      [c, ACK, 6, 3, ""],
      [c, FIN | ACK, 6, 3, ""],
      [s, ACK, 3, 7, ""],
      [s, FIN | ACK, 3, 7, ""],
      [c, ACK, 7, 4, ""],
    ],
  );
  assertEquals(packets[0]?.time.toFixed(3), "1700000000123.456");
});

Deno.test("A flow of IPv6, or of IPv4 and IPv6, has IPv6 addresses", () => {
  const [first] = capture(["2001:db8::1:2", "::1"], () => {});
  assertEquals([first?.version, first?.source], [
    6,
    "20010db8000000000000000000010002",
  ]);
  const [mixed] = capture(["127.0.0.1", "::1"], () => {});
  assertEquals([mixed?.version, mixed?.source], [
    6,
    "00000000000000000000ffff7f000001",
  ]);
  const [mapped] = capture(["::ffff:127.0.0.1", "127.0.0.1"], () => {});
  assertEquals([mapped?.version, mapped?.source], [4, "7f000001"]);
});

Deno.test("Long writes are several packets, and a reset ends a flow", () => {
  const text = "x".repeat(100_001);
  const packets = capture(["127.0.0.1", "127.0.0.1"], (flow) => {
    flow.data("server", bytesOf(text), 0);
    flow.reset("server", 0);
    flow.data("server", bytesOf("more"), 0);
  });
  assertEquals(packets.map(({ payload }) => payload).join(""), text);
  assertEquals(packets.at(-1)?.flags, RST | ACK);
  assertEquals(packets.at(-1)?.sequence, 100_002);
});
