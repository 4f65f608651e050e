import { connect, FramingError, serve, unframed } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { caCerts } from "../../dev/testdata/certificates.ts";
import {
  type PeerServer,
  startListening,
} from "../../dev/interop/_listening.ts";
import {
  assertSuccess,
  isInstalled,
  peerTest,
  startExample,
} from "../../dev/interop/_peers.ts";
import { framing, openClient } from "./nats.ts";

const hasNats = await isInstalled("nats-server");
const bytes = (text: string) => new TextEncoder().encode(text);
const testdata = (name: string) =>
  fileURLToPath(new URL(`../../dev/testdata/${name}`, import.meta.url));

function startNats(...flags: string[]): Promise<PeerServer> {
  return startListening((port) => [
    ...["nats-server", "-a", "127.0.0.1", "-p", `${port}`, ...flags],
  ]);
}

const TLS = [
  ...["--tls", "--tlscert", testdata("localhost.pem")],
  ...["--tlskey", testdata("localhost.key")],
];

for (const [name, flags] of [["TCP", []], ["TLS", TLS]] as const) {
  peerTest(
    hasNats,
    `nats.ts publishes, subscribes and sends requests over ${name}`,
    async () => {
      await using nats = await startNats(...flags);
      const { port } = nats;
      const tls = { serverName: "localhost", caCerts };
      await using answering = await connect({ port, framing });
      const server = await openClient(answering, (_, payload, reply = "") => {
        server.publish(reply, Uint8Array.from([...payload].reverse()));
      }, tls);
      await server.subscribe("reverse");

      await using connection = await connect({ port, framing });
      const heard: string[] = [];
      const enough = Promise.withResolvers<void>();
      const client = await openClient(connection, (subject, payload) => {
        heard.push(`${subject} ${payload.length}`);
        if (heard.length === 3) enough.resolve();
      }, tls);
      await client.subscribe("news.*");
      // NATS does not confirm subscriptions, and reads each connection separately: an
      // answer on the same connection shows that it has the subscription to "reverse".
      await server.request("reverse", new Uint8Array());
      const texts = Array.from({ length: 50 }, (_, i) => bytes(`number ${i}`));
      const answers = await Promise.all(
        texts.map((text) => client.request("reverse", text)),
      );
      assertEquals(
        answers.map((answer) => answer && answer.toReversed()),
        texts,
      );
      for (const payload of ["", "a\r\nMSG x 1 5\r\n", "x".repeat(200_000)]) {
        await server.publish("news.today", bytes(payload));
      }
      await enough.promise;
      assertEquals(heard, [
        "news.today 0",
        "news.today 14",
        "news.today 200000",
      ]);
      if (name === "TLS") return;
      await using example = startExample("protocols/nats.ts", [], [`${port}`]);
      assertEquals(await assertSuccess(example), ['{ answer: "HELLO" }']);
    },
  );
}

Deno.test("nats.ts names the error, and ends only that connection", async () => {
  const cases = [
    ["INFO {}\r\nHELLO\r\n", "does not match"],
    ["INFO {}\r\nMSG a 1 3\r\nabcd\r\n", "terminator"],
    ["INFO {}\r\nMSG a 1 99999999\r\n", "1048576"],
    ["INFO {}\r\nMSG a 1 x\r\n", "does not match"],
    ["INFO {}\r\n-ERR 'Authorization Violation'\r\n", "refused"],
    ["INFO {}\r\nMSG a 1 3\r\nab", "ended"],
  ];
  for (const [said = "", expected] of cases) {
    await using server = serve(
      { hostname: "127.0.0.1", port: 0, framing: unframed() },
      (connection) => connection.send(said),
    );
    await using connection = await connect({ port: server.addr.port, framing });
    const client = await openClient(connection, () => {});
    await assertRejects(
      () => client.request("a", bytes("b")),
      Error,
      expected,
    );
  }
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing: unframed() },
    (connection) => connection.send("PING\r\n"),
  );
  await using connection = await connect({ port: server.addr.port, framing });
  await assertRejects(() => openClient(connection, () => {}), FramingError);
});

Deno.test("nats.ts frames lines and payloads", () => {
  verifyFraming(framing, [
    { header: "PING" },
    { header: "MSG a 1 8", body: bytes("one\r\ntwo") },
    { header: "MSG a 1 b 0", body: bytes("") },
  ], {
    refused: ["GET / HTTP/1.1\r\n", "PINGS\r\n", "MSG a 1 1\r\nab"].map(bytes),
  });
});
