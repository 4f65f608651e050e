import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as framedTcp from "./mod.ts";
import {
  asJson,
  connect,
  Connection,
  type Framing,
  FramingError,
  lengthPrefixed,
  lines,
  netstrings,
  serve,
} from "./mod.ts";

const loopback = { hostname: "127.0.0.1", port: 0 };

Deno.test("a server answers a client in lines", async () => {
  const framing = lines();
  await using server = serve({ ...loopback, framing }, async (connection) => {
    for await (const line of connection) {
      await connection.send(line.toUpperCase());
    }
  });
  await using client = await connect({ port: server.addr.port, framing });

  assertEquals(await client.request("hello"), "HELLO");
  assertEquals(
    await Promise.all(["one", "two", "three"].map((s) => client.request(s))),
    ["ONE", "TWO", "THREE"],
  );
});

Deno.test("nothing can be opened without a framing", async () => {
  // A program in JavaScript may leave it out, which the types do not allow.
  const options = loopback as typeof loopback & { framing: Framing };
  assertThrows(
    () => serve(options, () => {}),
    TypeError,
    "framing must be given",
  );
  await assertRejects(
    () => connect({ ...options, port: 1 }),
    TypeError,
    "framing must be given",
  );
  // @ts-expect-error -- nothing else tells which messages these types are of.
  assertThrows(() => serve<string, string>(loopback, () => {}), TypeError);
});

Deno.test("messages of every size arrive whole and in order, for many concurrent clients", async () => {
  const framing = lengthPrefixed();
  await using server = serve({ ...loopback, framing }, async (connection) => {
    for await (const message of connection) await connection.send(message);
  });
  const sizes = [0, 1, 1000, 65_535, 65_536, 1_000_000, 2];

  await Promise.all(Array.from({ length: 10 }, async (_, number) => {
    await using client = await connect({ port: server.addr.port, framing });
    const sent = sizes.map((size) => new Uint8Array(size).fill(number));
    for (const message of sent) client.send(message);
    for (const message of sent) assertEquals(await client.receive(), message);
  }));
});

Deno.test("messages can have any type", async () => {
  const framing = asJson(netstrings());
  await using server = serve({ ...loopback, framing }, async (connection) => {
    for await (const question of connection) {
      await connection.send({ question, answer: 42 });
    }
  });
  await using client = await connect({ port: server.addr.port, framing });

  assertEquals(await client.request(["6 × 9?"]), {
    question: ["6 × 9?"],
    answer: 42,
  });
});

Deno.test("an echo server is one pipe, and no queue grows", async () => {
  const framing = lines();
  await using server = serve(
    { ...loopback, framing },
    ({ readable, writable }) => readable.pipeTo(writable),
  );
  await using client = await connect({ port: server.addr.port, framing });
  const count = 50_000;
  const line = "x".repeat(100);

  const sending = (async () => {
    for (let i = 0; i < count; i++) await client.send(`${line}${i}`);
    await client.closeWrite();
  })();
  let received = 0;
  for await (const message of client) {
    assert(message === `${line}${received}`);
    received++;
    assert(client.stats().bufferedAmount <= 64 * 1024 + line.length + 10);
  }
  await sending;
  assertEquals(received, count);
});

Deno.test("a client that has half-closed still gets its answers", async () => {
  const framing = lines();
  await using server = serve({ ...loopback, framing }, async (connection) => {
    let sum = 0;
    for await (const line of connection) sum += Number(line);
    await connection.send(`${sum}`);
  });
  await using client = await connect({ port: server.addr.port, framing });

  for (let i = 1; i <= 1000; i++) await client.send(`${i}`);
  await client.closeWrite();

  assertEquals(await client.receive(), "500500");
  assertEquals(await client.receive(), undefined);
  await client.closed;
});

Deno.test("a message that is too long is an error after the messages before it", async () => {
  const framing = lines({ maxLength: 10 });
  await using server = serve({
    ...loopback,
    framing: lines(),
  }, (connection) => {
    connection.send("one");
    connection.send("two");
    connection.send("much longer than that");
  });
  await using client = await connect({ port: server.addr.port, framing });

  assertEquals(await client.receive(), "one");
  assertEquals(await client.receive(), "two");
  const error = await assertRejects(() => client.receive(), FramingError);
  assertEquals([error.code, error.limit], ["too-long", 10]);
});

Deno.test("a server that shuts down lets its clients finish", async () => {
  const framing = lines();
  const server = serve({ ...loopback, framing }, async (connection) => {
    for await (const line of connection) await connection.send(line);
    await connection.send("goodbye");
  });
  const client = await connect({ port: server.addr.port, framing });
  assertEquals(await client.request("hello"), "hello");

  await server.shutdown();

  assertEquals(await client.receive(), "goodbye");
  assertEquals(await client.receive(), undefined);
  await client.close();
});

Deno.test("a connection that the caller opened is framed like any other", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [near, far] = await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
  await using client = new Connection(near, { framing: lines() });
  await using server = new Connection(far, { framing: lines() });

  await client.send("hello");
  assertEquals(await server.receive(), "hello");
});

Deno.test("mod.ts exports everything public", () => {
  assertEquals(Object.keys(framedTcp).sort(), [
    "Batch",
    "ChunkDecoder",
    "ChunkEncoder",
    "Connection",
    "DelimiterStream",
    "FieldReader",
    "FrameDecoderStream",
    "FrameEncoderStream",
    "FramingError",
    "InputBuffer",
    "OutputBuffer",
    "asJson",
    "asText",
    "assembled",
    "broadcast",
    "byFirstByte",
    "connect",
    "contentLength",
    "correlate",
    "delimited",
    "dotStuffed",
    "fixedLength",
    "grouped",
    "headed",
    "headerLines",
    "jsonSequence",
    "lengthPrefixed",
    "lines",
    "mapped",
    "netstrings",
    "orMalformed",
    "readProxyHeader",
    "receiveChunks",
    "receiveUntil",
    "reconnect",
    "sequence",
    "serve",
    "takeBatch",
    "textFields",
    "unframed",
  ]);
});
