/**
 * An MQTT 3.1.1 client: a varint length, pushes, acknowledgements by id, a heartbeat.
 *
 * ```text
 * 32             0b              00 03 a/b  00 07  hello
 * type, flags    bytes after it  topic      id     payload
 * ```
 *
 * Messages that the client sends reliably (QoS 1) have an id, and the broker's
 * acknowledgement has the same id. Messages that others publish may come in between at
 * any time.
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
import type { HeadedMessage, HeartbeatOptions } from "@framed/tcp";

const [CONNECT, CONNACK, PUBLISH, PUBACK] = [0x10, 0x20, 0x30, 0x40];
const [SUBSCRIBE, SUBACK, PINGREQ] = [0x82, 0x90, 0xc0];
const [QOS_1, QOS, TYPE] = [2, 6, 0xf0]; // of the first byte of a packet

export type Packet = HeadedMessage<Bytes, Bytes>;

// A byte, then a length of four bytes at most, then the body.
const counted = lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 4 });
export const framing = headed(fixedLength(1), () => counted);

export function packet(first: number, body: number[] = []): Packet {
  return { header: Uint8Array.of(first), body: Uint8Array.from(body) };
}

/** Checks that the broker is alive, and shows it that this side is. */
export const heartbeat: HeartbeatOptions<Packet> = {
  interval: 30_000,
  message: packet(PINGREQ),
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
  const { header, body } = await connection.request(packet(CONNECT, hello));
  if (header[0] !== CONNACK || body[1] !== 0) {
    throw new Error(`The broker refused the client: code ${body[1]}`);
  }
  const { request } = correlate(connection, {
    maxId: 65_535,
    id: ({ header: [first], body }) =>
      first === PUBACK || first === SUBACK
        ? new FieldReader(body).takeUint(2)
        : undefined,
    async onMessage({ header: [first = 0], body }) {
      if ((first & TYPE) !== PUBLISH) return;
      const fields = new FieldReader(body);
      const topic = fields.takeText(fields.takeUint(2));
      const id = (first & QOS) === 0 ? [] : fields.take(2);
      onMessage(topic, fields.takeText());
      if (id.length > 0) await connection.send(packet(PUBACK, [...id]));
    },
  });
  return {
    async subscribe(topic) {
      const ask = (id: number) => [...uint16(id), ...text(topic), 1];
      const { body } = await request((id) => packet(SUBSCRIBE, ask(id)));
      if (body[2] === 0x80) throw new Error(`The broker refused ${topic}`);
    },
    async publish(topic, payload) {
      const bytes = new TextEncoder().encode(payload);
      await request((id) =>
        packet(PUBLISH | QOS_1, [...text(topic), ...uint16(id), ...bytes])
      );
    },
  };
}

if (import.meta.main) {
  const port = Number(Deno.args[0] ?? 1883);
  await using connection = await connect({ port, framing, heartbeat });
  const heard = Promise.withResolvers<void>();
  const client = await openClient(connection, (topic, payload) => {
    console.log({ topic, payload }); // quoted, it cannot steer a terminal
    heard.resolve();
  });
  await client.subscribe("framed/#");
  await client.publish("framed/greeting", "hello");
  await heard.promise;
}
