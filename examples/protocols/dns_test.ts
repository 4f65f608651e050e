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

const HEADER = [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]; // the names of a question and an answer
const QUESTION = [1, 0x61, 0, 0, 1, 0, 1]; // a, A, IN
const ANSWER = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1];
const TXT = 16;
const SSHFP = 44;

function framed(...parts: number[][]): number[] {
  const message = parts.flat();
  return [message.length >> 8, message.length & 0xff, ...message];
}

function record(type: number, data: number[]): number[] {
  const length = [data.length >> 8, data.length & 0xff];
  return [0, 0, type, 0, 1, 0, 0, 0, 0, ...length, ...data];
}

/**
 * Many records, one with an end that the library does not know: it continues at the
 * first byte, where the header can be read as a record that leads to the same place
 * again.
 */
function endless(): number[] {
  // No questions, and the maximum number of answers and authorities.
  const header = [0, 1, 0x81, 0x80, 0, 0, 0xff, 0xff, 0xff, 0, 50, 0];
  return framed(
    header,
    record(0, Array(38).fill(0)),
    record(TXT, Array(8000).fill(0)), // 8000 texts
    record(SSHFP, [1, 3]), // with an unknown hash
  );
}

/** Pointers to pointers, and the maximum number of names that point to the last one. */
function detours(length: number): number[] {
  const pointers = [0];
  for (let at = 23; pointers.length < length / 2; at = 11 + pointers.length) {
    pointers.push(0xc0 | at >> 8, at & 0xff);
  }
  const [first, second] = pointers.slice(-2);
  const name = [first ?? 0, second ?? 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  const count = Math.floor((length - 23 - pointers.length) / name.length);
  const header = [0, 1, 0x81, 0x80, 0, 0, 1 + count >> 8, 1 + count & 0xff];
  return framed(
    header.concat(0, 0, 0, 0),
    record(0, pointers),
    Array(count).fill(name).flat(),
  );
}

/** How an answer to a question is decoded. */
async function answered(frame: number[]): Promise<unknown> {
  await using server = serve(
    { ...loopback, framing: unframed() },
    async (connection) => {
      await connection.receive();
      await connection.send(Uint8Array.from(frame));
    },
  );
  await using connection = await connect({ port: server.addr.port, framing });
  return await resolve(connection, ["a"]);
}

Deno.test("dns.ts accepts the valid answers of a server", async () => {
  const right = [{ id: 1, code: 0, addresses: ["192.0.2.1"] }];
  const other = record(TXT, [2, 0x68, 0x69]);
  assertEquals(await answered(framed(HEADER, QUESTION, ANSWER)), right);
  const two = HEADER.with(7, 2);
  assertEquals(await answered(framed(two, QUESTION, other, ANSWER)), right);
  // Of maximum size, with the maximum number of pointers.
  const none = [{ id: 1, code: 0, addresses: [] }];
  assertEquals(await answered(detours(8190)), none);
});

Deno.test("dns.ts names the error in an answer, and ends only that connection", async () => {
  const damaged = [
    framed(HEADER, QUESTION, ANSWER.with(1, 19)), // a name that points to itself
    framed(HEADER, [0xc0, 14, 0xc0, 12, 0, 1, 0, 1]), // two names that point to each other
    framed(HEADER, [0xc0, 0, 0, 1, 0, 1], ANSWER), // a name in the header
    framed(HEADER, [0x40, 0, 0, 1, 0, 1], ANSWER), // an invalid kind of label
    framed(HEADER, QUESTION, ANSWER.slice(0, -1)),
    framed(HEADER, QUESTION, ANSWER.slice(0, 1)), // a cut pointer
    framed(HEADER, QUESTION, ANSWER.with(11, 3).slice(0, -1)), // an address of 3 bytes
    framed(HEADER, QUESTION, ANSWER, [0]), // a byte too much
    framed(HEADER.with(7, 2), QUESTION, ANSWER), // a count that is too large
    framed(HEADER.with(6, 0xff), QUESTION, ANSWER),
    framed(HEADER.with(8, 0xff), QUESTION, ANSWER),
    framed(HEADER.with(2, 0x01), QUESTION, ANSWER), // a question
    framed(HEADER, QUESTION, record(TXT, [5, 0x68, 0x69])), // a text without an end
    framed(HEADER, QUESTION, record(SSHFP, [1, 3])),
    framed(HEADER, QUESTION, record(43, [1])), // a truncated key
    endless(),
    [0, 1, 0],
    [0, 12, 0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], // no question in it
    // An answer of 4 bytes with one of them.
    [0, 24, 0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0]
      .concat([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1]),
    framed(HEADER, Array(8192 - 12).fill(1)), // nested names
    // A label that is longer than the message.
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
      "Cannot decode ",
    );
    assertEquals(error.code, "malformed");
  }
});

Deno.test("dns.ts refuses an invalid name", async () => {
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
  const names = ["", "a..b", "a.", ".a", "a b", "é", `${"x".repeat(64)}.test`];
  for (const name of [...names, `${"x.".repeat(127)}x`]) {
    await assertRejects(() => connection.send({ id: 1, name }), TypeError);
  }
});
