/**
 * A client of MQTT 3.1.1: a length as varint, pushes, acknowledgements by id, a heartbeat.
 *
 * ```text
 * 32             0b              00 03 a/b  00 07  hello
 * type, flags    bytes after it  topic      id     payload
 * ```
 *
 * What the client sends reliably (QoS 1) has an id, and the broker acknowledges it with
 * the same. What others publish comes in between, whenever it likes.
 *
 * ```sh
 * mosquitto -p 1883 &
 * deno run --allow-net=127.0.0.1 examples/protocols/mqtt.ts 1883
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { type Bytes, connect, type Connection, correlate } from "@framed/tcp";
import {
  type Framing,
  FramingError,
  lengthPrefixed,
  mapped,
} from "@framed/tcp";
import type { HeartbeatOptions } from "@framed/tcp";

const [CONNECT, CONNACK, PUBLISH, PUBACK] = [1, 2, 3, 4];
const [SUBSCRIBE, SUBACK, PINGREQ] = [8, 9, 12];

export interface Packet {
  type: number;
  flags?: number;
  body?: Uint8Array;
}

// The length has four bytes at most. With `strip: 0` the first byte is kept before it.
const length = { fieldSize: "varint", maxFieldBytes: 4 } as const;
const received = mapped(
  lengthPrefixed({ ...length, fieldOffset: 1, strip: 0 }),
  {
    decode: (frame): Packet => {
      const [first = 0, ...rest] = frame.subarray(0, 5);
      const start = 2 + rest.findIndex((byte) => byte < 0x80);
      return {
        type: first >> 4,
        flags: first & 15,
        body: frame.subarray(start),
      };
    },
    encode: (packet: never): Bytes => packet,
  },
);
const prefix = lengthPrefixed(length).encoder();

export const framing: Framing<Packet> = {
  decoder: received.decoder,
  encoder: () => ({
    encode({ type, flags = 0, body = new Uint8Array() }, output) {
      output.writeByte(type << 4 | flags);
      prefix.encode(body, output);
    },
  }),
};

/** Asks whether the broker is there, and shows it that this side is. */
export const heartbeat: HeartbeatOptions<Packet> = {
  interval: 30_000,
  message: { type: PINGREQ },
};

const uint16 = (value: number) => [value >> 8, value & 0xff];

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...uint16(bytes.length), ...bytes];
}

function uint16At(body: Uint8Array, at: number): number {
  const [high, low] = body.subarray(at, at + 2);
  if (high !== undefined && low !== undefined) return high << 8 | low;
  throw new FramingError("Cannot decode MQTT packet: it is too short", {
    code: "malformed",
  });
}

export interface Client {
  subscribe(topic: string): Promise<void>;
  publish(topic: string, payload: string): Promise<void>;
}

/** Introduces itself to the broker; `onMessage` gets what others publish. */
export async function openClient(
  connection: Connection<Packet, Packet>,
  onMessage: (topic: string, payload: string) => void,
): Promise<Client> {
  const hello = [...text("MQTT"), 4, 2, ...uint16(60), ...text("")];
  const { type, body } = await connection.request(packet(CONNECT, 0, hello));
  if (type !== CONNACK || body?.[1] !== 0) {
    throw new Error(`The broker refused the client: code ${body?.[1]}`);
  }
  const { request } = correlate(connection, {
    maxId: 65_535,
    id: ({ type, body = new Uint8Array() }) =>
      type === PUBACK || type === SUBACK ? uint16At(body, 0) : undefined,
    async onMessage({ type, flags = 0, body = new Uint8Array() }) {
      if (type !== PUBLISH) return;
      const topicEnd = 2 + uint16At(body, 0);
      const isReliable = (flags & 6) !== 0;
      const id = isReliable ? uint16(uint16At(body, topicEnd)) : [];
      const decoder = new TextDecoder();
      onMessage(
        decoder.decode(body.subarray(2, topicEnd)),
        decoder.decode(body.subarray(topicEnd + id.length)),
      );
      if (isReliable) await connection.send(packet(PUBACK, 0, id));
    },
  });
  return {
    async subscribe(topic) {
      const { body } = await request((id) =>
        packet(SUBSCRIBE, 2, [...uint16(id), ...text(topic), 1])
      );
      if (body?.[2] === 0x80) throw new Error(`The broker refused ${topic}`);
    },
    async publish(topic, payload) {
      const bytes = new TextEncoder().encode(payload);
      await request((id) =>
        packet(PUBLISH, 2, [...text(topic), ...uint16(id), ...bytes])
      );
    },
  };
}

function packet(type: number, flags: number, body: number[]): Packet {
  return { type, flags, body: Uint8Array.from(body) };
}

if (import.meta.main) {
  const port = Number(Deno.args[0] ?? 1883);
  await using connection = await connect({ port, framing, heartbeat });
  const heard = Promise.withResolvers<void>();
  const client = await openClient(connection, (topic, payload) => {
    console.log(`${topic}: ${payload}`);
    heard.resolve();
  });
  await client.subscribe("framed/#");
  await client.publish("framed/greeting", "hello");
  await heard.promise;
}
