import { ChunkDecoder, connect, FramingError, serve } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { startListening } from "../../dev/interop/_listening.ts";
import {
  assertSuccess,
  isInstalled,
  peerTest,
  start,
} from "../../dev/interop/_peers.ts";
import { framing as dns, resolve } from "./dns.ts";
import { acknowledge, framing as hl7, handle, type Message } from "./hl7.ts";
import { sentences } from "./nmea.ts";
import { type Entry, framing as syslog } from "./syslog.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const loopback = { hostname: "127.0.0.1", port: 0 };

peerTest(
  await isInstalled("dnsmasq"),
  "dns.ts asks dnsmasq for many names at once",
  async () => {
    await using server = await startListening((port) => [
      ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"],
      ...["--no-resolv", "--no-hosts", "--user=", "--group=", "--pid-file="],
      ...[`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces"],
      ...[
        "--address=/example.test/192.0.2.1",
        "--address=/other.test/192.0.2.2",
      ],
      "--host-record=both.example,192.0.2.3",
      "--host-record=both.example,192.0.2.4",
    ]);
    await using connection = await connect({ port: server.port, framing: dns });
    const names = [
      "example.test",
      "other.test",
      "both.example",
      "unknown.test",
    ];
    const answers = await resolve(connection, Array(25).fill(names).flat());
    for (const [i, { code, addresses }] of answers.entries()) {
      assertEquals(
        [code === 0, addresses.sort()],
        [
          [true, ["192.0.2.1"]],
          [true, ["192.0.2.2"]],
          [true, ["192.0.2.3", "192.0.2.4"]],
          [false, []],
        ][i % 4],
      );
    }
  },
);

Deno.test("dns.ts names what is wrong, and only that connection ends", async () => {
  const damaged = [
    [0, 1, 0],
    [0, 12, 0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], // no question in it
    // An answer of 4 bytes, of which one is there.
    [0, 24, 0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0]
      .concat([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1]),
    // A name that points to itself is not followed; one too long ends the message.
    [0, 14, 0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 63, 1],
  ];
  for (const frame of damaged) {
    await using server = serve(
      { ...loopback, framing: { ...dns, ...raw } },
      (connection) => connection.send(Uint8Array.from(frame)),
    );
    await using connection = await connect({
      port: server.addr.port,
      framing: dns,
    });
    const error = await assertRejects(
      () => resolve(connection, ["example.test"]),
      FramingError,
      "DNS answer",
    );
    assertEquals(error.code, "malformed");
  }
});

/** Sends bytes as they are, and reads as they come. */
const raw = {
  decoder: () => ({
    decode: (input: { length: number; take(length: number): Uint8Array }) =>
      input.length === 0 ? undefined : input.take(input.length),
  }),
  encoder: () => ({
    encode: (
      message: Uint8Array,
      output: { writeBytes(bytes: Uint8Array): void },
    ) => output.writeBytes(message),
  }),
};

Deno.test("dns.ts refuses a name that cannot be asked for", async () => {
  await using server = serve(
    { ...loopback, framing: raw },
    async (connection) => {
      await connection.receive();
    },
  );
  await using connection = await connect({
    port: server.addr.port,
    framing: dns,
  });
  for (const name of ["", "a..b", `${"x".repeat(64)}.test`]) {
    await assertRejects(() => connection.send({ id: 1, name }), TypeError);
  }
});

peerTest(
  await isInstalled("logger"),
  "syslog.ts takes what logger sends, in both framings",
  async () => {
    const received: Entry[] = [];
    const ended = Promise.withResolvers<void>();
    await using server = serve(
      { ...loopback, framing: syslog },
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

Deno.test("syslog.ts tells two framings apart in one stream, wherever it is cut", () => {
  const decoder = new ChunkDecoder(syslog);
  const stream = bytes(
    "<13>a 1\n7 <14>b\nc<15>2\n8 <191>\r\n!no priority\n<1>d\n",
  );
  const whole = decoder.decode(stream);
  assertEquals(
    whole.map(({ text }) => text),
    ["a 1", "b\nc", "2", "\r\n!", "d"],
  );
  for (let cut = 0; cut <= stream.length; cut++) {
    const cutDecoder = new ChunkDecoder(syslog);
    assertEquals([
      ...cutDecoder.decode(stream.subarray(0, cut)),
      ...cutDecoder.decode(stream.subarray(cut)),
    ], whole);
  }
  verifyFraming(syslog, [{ severity: 1, facility: 2, text: "hi" }], {
    refused: ["0 x", "1x ", "9999999 ", "999999 x"].map(bytes),
  });
});

Deno.test("nmea.ts drops a sentence that is damaged, and goes on", async () => {
  const recorded = [
    "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
    "$GPGLL,4916.45,N,12311.12,W,225444,A*31",
    "$GPGLL,4916.45,N,12311.13,W,225444,A*31", // one digit differs
    "$GPGLL,4916.45,N,123", // cut off
    "",
    "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C",
    "$GPGLL,4916.45,N,12311.12,W,225444,A*31",
  ];
  await using server = serve(
    { ...loopback, framing: { ...sentences(), ...raw } },
    (connection) => connection.send(bytes(`${recorded.join("\r\n")}\r\n`)),
  );
  const damaged: FramingError[] = [];
  await using connection = await connect({
    port: server.addr.port,
    framing: sentences((error) => void damaged.push(error)),
  });
  const received = await Array.fromAsync(connection);
  assertEquals(received.map(([type]) => type), [
    "GPGGA",
    "GPGLL",
    "AIVDM",
    "GPGLL",
  ]);
  assertEquals(damaged.map(({ code }) => code), Array(3).fill("malformed"));
  verifyFraming(sentences(), [["GPGLL", "4916.45", "N"], ["X"]]);
});

const ADMISSION: Message = [
  [
    "MSH",
    "^~\\&",
    "LAB",
    "HOME",
    "EHR",
    "CLINIC",
    "20260102",
    "",
    "ADT^A01",
    "7",
  ],
  ["PID", "1", "", "Müller^Ann"],
];

Deno.test("hl7.ts acknowledges messages, and drops what is none", async () => {
  await using server = serve({ ...loopback, framing: hl7 }, handle);
  await using connection = await connect({
    port: server.addr.port,
    framing: hl7,
  });
  connection.send(bytes("no start block\x1c\r"), { framing: raw });
  assertEquals(await connection.request(ADMISSION), acknowledge(ADMISSION));
  assertEquals(acknowledge(ADMISSION)[1], ["MSA", "AA", "7"]);
  verifyFraming(hl7, [ADMISSION, acknowledge(ADMISSION)]);
});
