import { ChunkDecoder, serve } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertMatch } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  peerTest,
  start,
} from "../../dev/interop/_peers.ts";
import { type Entry, framing } from "./syslog.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const loopback = { hostname: "127.0.0.1", port: 0 };

peerTest(
  await isInstalled("logger"),
  "syslog.ts receives from logger in both framings",
  async () => {
    const received: Entry[] = [];
    const ended = Promise.withResolvers<void>();
    await using server = serve(
      { ...loopback, framing },
      async (connection) => {
        for await (const entry of connection) received.push(entry);
        if (received.length === 2) ended.resolve();
      },
    );
    for (const flags of [[], ["--octet-count"]]) {
      await using logger = start([
        "logger",
        ...["--server", "127.0.0.1", "--port", `${server.addr.port}`, "--tcp"],
        ...["--priority", "local0.warning", "--tag", "framed", ...flags],
        "one 1 two",
      ]);
      await assertSuccess(logger);
    }
    await ended.promise;
    for (const { severity, facility, text } of received) {
      assertEquals([severity, facility], [4, 16]);
      assertMatch(text, /framed.*one 1 two$/);
    }
  },
);

Deno.test("syslog.ts distinguishes two framings in one stream, in every cut", () => {
  const decoder = new ChunkDecoder(framing);
  const stream = bytes(
    "<13>a 1\n7 <14>b\nc<15>2\n8 <191>\r\n!no priority\n<1>d\n",
  );
  const whole = decoder.decode(stream);
  assertEquals(
    whole.map(({ text }) => text),
    ["a 1", "b\nc", "2", "\r\n!", "d"],
  );
  for (let cut = 0; cut <= stream.length; cut++) {
    const cutDecoder = new ChunkDecoder(framing);
    assertEquals([
      ...cutDecoder.decode(stream.subarray(0, cut)),
      ...cutDecoder.decode(stream.subarray(cut)),
    ], whole);
  }
  verifyFraming(framing, [{ severity: 1, facility: 2, text: "hi" }], {
    refused: ["0 x", "1x ", "9999999 ", "999999 x"].map(bytes),
  });
});
