import { connect, FramingError, serve, unframed } from "@framed/tcp";
import { assertEquals, assertRejects } from "@std/assert";
import { startListening } from "../../dev/interop/_listening.ts";
import { isInstalled, peerTest } from "../../dev/interop/_peers.ts";
import { framing, resolve } from "./dns.ts";

const loopback = { hostname: "127.0.0.1", port: 0 };

peerTest(
  await isInstalled("dnsmasq"),
  "dns.ts asks dnsmasq for many names concurrently",
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
    await using connection = await connect({ port: server.port, framing });
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
    [0xff, 0xff, 0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]
      .concat(Array(65_535 - 12).fill(1)), // names within names
    // A part of a name that is longer than the message.
    [0, 14, 0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 63, 1],
  ];
  for (const frame of damaged) {
    await using server = serve(
      { ...loopback, framing: unframed() },
      (connection) => connection.send(Uint8Array.from(frame)),
    );
    await using connection = await connect({
      port: server.addr.port,
      framing,
    });
    const error = await assertRejects(
      () => resolve(connection, ["example.test"]),
      FramingError,
      "field of message",
    );
    assertEquals(error.code, "malformed");
  }
});

Deno.test("dns.ts refuses a name that cannot be asked for", async () => {
  await using server = serve(
    { ...loopback, framing: unframed() },
    async (connection) => {
      await connection.receive();
    },
  );
  await using connection = await connect({
    port: server.addr.port,
    framing,
  });
  for (const name of ["", "a..b", "a.", "a b", "é", `${"x".repeat(64)}.test`]) {
    await assertRejects(() => connection.send({ id: 1, name }), TypeError);
  }
});
