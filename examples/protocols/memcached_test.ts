import {
  type Bytes,
  connect,
  FramingError,
  serve,
  unframed,
} from "@framed/tcp";
import { assertEquals, assertRejects } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  peerTest,
  start,
  startExample,
} from "../../dev/interop/_peers.ts";
import { connectWhenReady, freePort } from "./_testing.ts";
import { framing, get, set } from "./memcached.ts";

const hostname = "127.0.0.1";
const bytes = (text: string) => new TextEncoder().encode(text);

peerTest(
  await isInstalled("memcached"),
  "memcached.ts stores and gets values in memcached",
  async () => {
    const port = freePort();
    await using _server = start([
      "memcached",
      ...["-u", "nobody", "-l", hostname, "-p", `${port}`, "-U", "0"],
    ]);
    await using connection = await connectWhenReady(port, framing);
    const large = crypto.getRandomValues(new Uint8Array(65_536));
    const values: [string, Bytes][] = [
      ["lines", bytes("a\r\nEND\r\nb")],
      ["empty", bytes("")],
      ["large", large],
    ];
    // Sent together: each has its own reply.
    const [found] = await Promise.all([
      get(connection, ["lines"]),
      ...values.map(([key, value]) => set(connection, key, value)),
    ]);
    assertEquals([...found ?? []], []);
    const many = Array.from(
      { length: 200 },
      (_, i) => get(connection, i % 2 === 0 ? ["lines", "none"] : ["large"]),
    );
    const sizes = (await Promise.all(many)).map((each) =>
      [...each].map(([key, { length }]) => [key, length])
    );
    assertEquals(
      sizes,
      many.map((_, i) => [i % 2 === 0 ? ["lines", 9] : ["large", 65_536]]),
    );
    const keys = values.map(([key]) => key);
    assertEquals([...await get(connection, keys)], values);
    await assertRejects(
      () => set(connection, "large", new Uint8Array(2 * 1024 * 1024)),
      Error,
      "too large",
    );
    assertEquals((await get(connection, ["empty"])).size, 1);

    await using example = startExample("protocols/memcached.ts", [], [
      `${port}`,
    ]);
    assertEquals(await assertSuccess(example), ['greeting: "two\\r\\nlines"']);
  },
);

Deno.test("memcached.ts refuses keys that would change the command", async () => {
  await using server = serve(
    { hostname, port: 0, framing: unframed() },
    (connection) => connection.send("END\r\n"),
  );
  await using connection = await connect({ port: server.addr.port, framing });
  for (const key of ["", "a b", "a\r\nflush_all", "\0", "x".repeat(251)]) {
    await assertRejects(() => get(connection, [key]), TypeError, "1 to 250");
  }
  assertEquals((await get(connection, ["fine"])).size, 0);
});

const DAMAGED: [answer: string, code: FramingError["code"]][] = [
  ["VALUE a 0 x\r\n", "malformed"],
  ["VALUE a 0 2\r\nabcd\r\n", "malformed"],
  ["HELLO\r\n", "malformed"],
  [`VALUE a 0 900000\r\n${"x".repeat(900_000)}\r\n`.repeat(80), "too-long"],
  ["VALUE a 0 99999999999\r\n", "too-long"],
  ["VALUE a 0 1\r\na\r\nVALUE b 0 5\r\nab", "truncated"],
  ["VALUE a 0 1\r\na\r\n", "truncated"],
  ["EN", "truncated"],
  ["x".repeat(2 * 1024 * 1024), "too-long"],
];

Deno.test("memcached.ts ends with a named error if a reply is damaged", async () => {
  let answer = "";
  await using server = serve(
    { hostname, port: 0, framing: unframed(), onError: () => {} },
    (connection) => connection.send(answer),
  );
  for (const [damaged, code] of DAMAGED) {
    answer = damaged;
    await using connection = await connect({ port: server.addr.port, framing });
    const error = await assertRejects(
      () => get(connection, ["a"]),
      FramingError,
    );
    assertEquals(error.code, code, damaged.slice(0, 40));
  }
});
