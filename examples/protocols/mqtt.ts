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
import { FieldReader, fixedLength, headed, lengthPrefixed } from "@framed/tcp";
import { type HeartbeatOptions, mapped } from "@framed/tcp";

const [CONNECT, CONNACK, PUBLISH, PUBACK] = [1, 2, 3, 4];
const [SUBSCRIBE, SUBACK, PINGREQ] = [8, 9, 12];

export interface Packet {
  type: number;
  flags: number;
  body: Bytes;
}

export function packet(type: number, body: number[], flags = 0): Packet {
  return { type, flags, body: Uint8Array.from(body) };
}

// A byte, then a length of four bytes at most, then the body.
const length = lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 4 });
export const framing = mapped(headed(fixedLength(1), () => length), {
  decode: ({ header: [first = 0], body = new Uint8Array() }): Packet => ({
    ...{ type: first >> 4, flags: first & 15, body },
  }),
  encode: ({ type, flags, body }: Packet) => ({
    ...{ header: Uint8Array.of(type << 4 | flags), body },
  }),
});

/** Asks whether the broker is there, and shows it that this side is. */
export const heartbeat: HeartbeatOptions<Packet> = {
  interval: 30_000,
  message: packet(PINGREQ, []),
};

const uint16 = (value: number) => [value >> 8, value & 0xff];

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...uint16(bytes.length), ...bytes];
}

export interface Client {
  subscribe(topic: string): Promise<void>;
  publish(topic: string, payload: string): Promise<void>;
}

/** Introduces itself to the broker; `onMessage` gets what others publish. */
export async function openClient(
  connection: Connection<Packet>,
  onMessage: (topic: string, payload: string) => void,
): Promise<Client> {
  const hello = [...text("MQTT"), 4, 2, ...uint16(60), ...text("")];
  const { type, body } = await connection.request(packet(CONNECT, hello));
  if (type !== CONNACK || body[1] !== 0) {
    throw new Error(`The broker refused the client: code ${body[1]}`);
  }
  const { request } = correlate(connection, {
    maxId: 65_535,
    id: ({ type, body }) =>
      type === PUBACK || type === SUBACK
        ? new FieldReader(body).takeUint(2)
        : undefined,
    async onMessage({ type, flags, body }) {
      if (type !== PUBLISH) return;
      const fields = new FieldReader(body);
      const topic = fields.takeText(fields.takeUint(2));
      const id = (flags & 6) === 0 ? [] : fields.take(2);
      onMessage(topic, fields.takeText());
      if (id.length > 0) await connection.send(packet(PUBACK, [...id]));
    },
  });
  return {
    async subscribe(topic) {
      const { body } = await request((id) =>
        packet(SUBSCRIBE, [...uint16(id), ...text(topic), 1], 2)
      );
      if (body[2] === 0x80) throw new Error(`The broker refused ${topic}`);
    },
    async publish(topic, payload) {
      const bytes = new TextEncoder().encode(payload);
      await request((id) =>
        packet(PUBLISH, [...text(topic), ...uint16(id), ...bytes], 2)
      );
    },
  };
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
