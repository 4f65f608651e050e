import { connect, type Connection, FramingError, serve } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertRejects } from "@std/assert";
import { startListening } from "../../dev/interop/_listening.ts";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  start,
  startExample,
} from "../../dev/interop/_peers.ts";
import { framing, heartbeat, openClient, type Packet, packet } from "./mqtt.ts";

const loopback = { hostname: "127.0.0.1", port: 0, framing };
const hasMosquitto = await isInstalled("mosquitto") &&
  await isInstalled("mosquitto_pub") && await isInstalled("mosquitto_sub");

peerTest(
  hasMosquitto,
  "mqtt.ts receives from mosquitto_pub and publishes to mosquitto_sub",
  async () => {
    await using broker = await startListening((port) => [
      ...["mosquitto", "-v", "-p", `${port}`],
    ]);
    const { port } = broker;
    await using connection = await connect({ port, framing, heartbeat });
    const heard: string[] = [];
    const enough = Promise.withResolvers<void>();
    const client = await openClient(connection, (topic, payload) => {
      heard.push(`${topic}: ${payload}`);
      if (heard.length === 102) enough.resolve();
    });
    await client.subscribe("framed/#");
    const at = ["-h", "127.0.0.1", "-p", `${port}`];
    for (const qos of ["0", "1"]) {
      await using publisher = start([
        "mosquitto_pub",
        ...at,
        ...["-q", qos, "-t", "framed/pub", "-m", `hé ${qos}`],
      ]);
      await assertSuccess(publisher);
    }
    // Many concurrent messages, each acknowledged by its id.
    const numbers = Array.from({ length: 100 }, (_, i) => `${i}`);
    await Promise.all(
      numbers.map((number) => client.publish("framed/own", number)),
    );
    await enough.promise;
    assertEquals(heard, [
      "framed/pub: hé 0",
      "framed/pub: hé 1",
      ...numbers.map((number) => `framed/own: ${number}`),
    ]);

    await using subscriber = start([
      "mosquitto_sub",
      ...at,
      ...["-q", "1", "-t", "other", "-C", "1"],
    ]);
    await lineThat(broker.program.stderr, /\tother \(QoS 1\)/);
    await client.publish("other", "x".repeat(100_000));
    assertEquals(await assertSuccess(subscriber), ["x".repeat(100_000)]);

    await using example = startExample("protocols/mqtt.ts", [], [`${port}`]);
    assertEquals(await assertSuccess(example), [
      '{ topic: "framed/greeting", payload: "hello" }',
    ]);
  },
);

/** A broker that answers with the packets in turn. */
async function openBy(
  answers: Packet[],
): Promise<
  AsyncDisposable & { connection: Connection<Packet> }
> {
  const server = serve(loopback, async (connection) => {
    for await (const _packet of connection) {
      const answer = answers.shift();
      if (answer !== undefined) await connection.send(answer);
    }
  });
  const connection = await connect({ port: server.addr.port, framing });
  return {
    connection,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await server.shutdown();
    },
  };
}

const welcome = packet(0x20, [0, 0]);

Deno.test("mqtt.ts refuses packets that are not a broker's answer", async () => {
  for (
    const answer of [packet(0x20, [0, 5]), packet(0x90)]
  ) {
    await using opened = await openBy([answer]);
    await assertRejects(
      () => openClient(opened.connection, () => {}),
      Error,
      "The broker refused",
    );
  }
  const damaged: Packet[] = [
    packet(0x40, [1]),
    packet(0x32, [0, 9, 1]),
    packet(0x30, [0]),
  ];
  for (const each of damaged) {
    await using opened = await openBy([welcome, each]);
    const client = await openClient(opened.connection, () => {});
    await assertRejects(
      () => client.publish("a", "b"),
      FramingError,
      "field of message",
    );
    await assertRejects(() => opened.connection.closed, FramingError);
  }
  await using opened = await openBy([
    welcome,
    packet(0x90, [0, 1, 0x80]),
  ]);
  const client = await openClient(opened.connection, () => {});
  await assertRejects(() => client.subscribe("#"), Error, "refused #");
});

Deno.test("mqtt.ts frames packets with lengths of one to four bytes", () => {
  const packets = [0, 127, 128, 16_383, 16_384].map((length) => ({
    header: Uint8Array.of(0x32),
    body: new Uint8Array(length),
  }));
  verifyFraming(framing, packets, {
    refused: [Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff, 1)],
    rounds: 20,
  });
});
