import {
  type Bytes,
  ChunkDecoder,
  ChunkEncoder,
  connect,
  FrameDecoderStream,
  FramingError,
} from "@framed/tcp";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  type Program,
  start,
  startExample,
} from "../../dev/interop/_peers.ts";
import { framing, Push, RedisClient, RedisError, type Value } from "./redis.ts";

function redis(...flags: string[]): Program {
  return startExample("protocols/redis.ts", [], flags);
}

async function ourServer(): Promise<{ server: Program; port: string }> {
  const server = redis("--server", "--port", "0");
  const [port = ""] = await lineThat(server.stdout, /listening on port (\d+)/);
  return { server, port };
}

/** A real server, which stores nothing, on its own port. */
async function realServer(): Promise<{ server: Program; port: string }> {
  while (true) {
    // The server cannot choose a free port itself, and another program may take the
    // chosen one.
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = `${listener.addr.port}`;
    listener.close();
    const server = start([
      "redis-server",
      ...["--bind", "127.0.0.1", "--port", port],
      ...["--save", "", "--appendonly", "no"],
      ...["--enable-debug-command", "yes"],
    ]);
    for await (const line of server.stdout) {
      if (line.includes("Ready to accept connections")) return { server, port };
    }
    await server[Symbol.asyncDispose]();
  }
}

const CLIENT_PRINTS = [
  "Client: speaks RESP3",
  'Client: SET, INCR, INCR, LPUSH, GET answer: [ "OK", 41, 42, 3, null ]',
  'Client: the names: [ "Çağla", "Ben", "Ann" ]',
  "Client: INCR of names: WRONGTYPE Operation against a key holding the wrong kind of value",
];

const bytes = (text: string) => new TextEncoder().encode(text);

/** The same in arrays and objects, which compare the same in every runtime. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof RedisError) return { error: value.message };
  if (value instanceof Push) return { push: value.values.map(comparable) };
  if (value instanceof Set) return { set: [...value].map(comparable) };
  if (value instanceof Map) return { map: [...value].map(comparable) };
  return Array.isArray(value) ? value.map(comparable) : value;
}

/** All types of RESP, and the values read from them. */
const SAMPLES: [wire: string, value: unknown][] = [
  ["+OK\r\n", "OK"],
  ["+\r\n", ""],
  ["-ERR no\r\n", new RedisError("ERR no")],
  [":-7\r\n", -7],
  [":9223372036854775807\r\n", 9223372036854775807n],
  ["$6\r\nh\r\néx\r\n", "h\r\néx"],
  ["$0\r\n\r\n", ""],
  ["$-1\r\n", null],
  ["*-1\r\n", null],
  ["*0\r\n", []],
  ["*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n$1\r\nb\r\n", [1, ["a", []], "b"]],
  ["_\r\n", null],
  ["#t\r\n", true],
  ["#f\r\n", false],
  [",1.5e3\r\n", 1500],
  [",-inf\r\n", -Infinity],
  [",nan\r\n", NaN],
  ["(-12345678901234567890123\r\n", -12345678901234567890123n],
  ["!8\r\nERR a\r\nb\r\n", new RedisError("ERR a\r\nb")],
  ["=8\r\ntxt:text\r\n", "text"],
  [
    "%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n",
    new Map<unknown, unknown>([["a", 1], ["b", new Map()]]),
  ],
  ["~2\r\n:1\r\n*1\r\n:2\r\n", new Set([1, [2]])],
  ["|1\r\n+ttl\r\n:3\r\n:5\r\n", 5],
  ["*2\r\n|1\r\n+x\r\n*1\r\n:3\r\n:5\r\n|0\r\n:6\r\n", [5, 6]],
  [">2\r\n+message\r\n$2\r\nhi\r\n", new Push(["message", "hi"])],
  ["PING  one\r\n", ["PING", "one"]],
  ["GET k\n", ["GET", "k"]],
  ["\r\n", []],
];

Deno.test("redis.ts reads all of RESP in every cut", () => {
  const wire = bytes(SAMPLES.map(([wire]) => wire).join(""));
  const expected = SAMPLES.map(([, value]) => value);
  for (const length of [1, 2, 3, 7, 50, wire.length]) {
    const decoder = new ChunkDecoder(framing);
    const values: Value[] = [];
    for (let at = 0; at < wire.length; at += length) {
      values.push(...decoder.decode(wire.slice(at, at + length)));
    }
    assertEquals(decoder.pending, false);
    assertEquals(decoder.end(), []);
    assertEquals(comparable(values), comparable(expected));
  }
});

Deno.test("redis.ts writes the values that it reads", () => {
  const decoder = new ChunkDecoder(framing);
  const encoder = new ChunkEncoder(framing);
  const value: Value = [
    ["text", -7, 1.5, -Infinity, true, null, 2n ** 70n, bytes("a\r\nb")],
    new Map<Value, Value>([["k", new Set([1])]]),
    new RedisError("ERR é"),
  ];
  const [read] = decoder.decode(encoder.encode({ value, version: 3 }));
  assertEquals(comparable(read), comparable(value));
  const push = encoder.encode({ value: new Push([1]), version: 3 });
  assertEquals(comparable(decoder.decode(push)), [{ push: [1] }]);
  const [older] = decoder.decode(encoder.encode({ value }));
  assertEquals(comparable(older), [
    ["text", -7, "1.5", "-inf", 1, null, `${2n ** 70n}`, "a\r\nb"],
    ["k", [1]],
    { error: "ERR é" },
  ]);
  assertThrows(() => encoder.encode({ value: "a\r\nb" }), TypeError);
});

Deno.test("redis.ts delivers the values before invalid RESP", () => {
  const refused: [string, string][] = [
    ["$x\r\n", "malformed"],
    ["$-2\r\n", "malformed"],
    ["$\r\n", "malformed"],
    ["$2\r\nabcd", "malformed"],
    [":1.5\r\n", "malformed"],
    ["#x\r\n", "malformed"],
    [",1,5\r\n", "malformed"],
    [",INF\r\n", "malformed"],
    ["(1.5\r\n", "malformed"],
    ["_1\r\n", "malformed"],
    ["*x\r\n", "malformed"],
    ["$\u2028\r\n", "malformed"], // a line end to regular expressions
    ["*1\r\n".repeat(200_000), "malformed"], // arrays in arrays
    ["|0\r\n".repeat(200_000), "malformed"],
    ["$16777217\r\n", "too-long"],
    ["*99999999\r\n", "too-long"],
    [`+${"x".repeat(70_000)}`, "too-long"],
    [
      "*4\r\n" + `$16777216\r\n${"x".repeat(2 ** 24)}\r\n`.repeat(4),
      "too-long",
    ],
  ];
  for (const [wire, code] of refused) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes(`+OK\r\n${wire}`)), ["OK"]);
    for (let i = 0; i < 2; i++) {
      const error = assertThrows(() => decoder.decode(bytes("+OK\r\n")));
      assertEquals((error as { code?: string }).code, code, wire.slice(0, 20));
    }
  }
  for (const wire of ["*2\r\n:1\r\n", "+O", "$3\r\nab"]) {
    const decoder = new ChunkDecoder(framing);
    assertEquals(decoder.decode(bytes(wire)), []);
    assertEquals(decoder.pending, true);
    const error = assertThrows(() => decoder.end());
    assertEquals((error as { code?: string }).code, "truncated");
  }
});

Deno.test("redis.ts decodes each item of a large array once", async () => {
  const count = 200_000;
  const wire = bytes(`*${count}\r\n${"$1\r\nx\r\n".repeat(count)}`);
  // Decoding from the start for each chunk would take a thousand times as many bytes.
  const chunks = Array.from(
    { length: Math.ceil(wire.length / 700) },
    (_, i) => wire.slice(700 * i, 700 * (i + 1)),
  );
  const read = ReadableStream.from(chunks).pipeThrough(
    new FrameDecoderStream(framing),
  );
  const [value] = await Array.fromAsync(read);
  assert(Array.isArray(value));
  assertEquals(value.length, count);
});

Deno.test("redis.ts sends requests to its own server", async () => {
  await using program = redis();
  const [, ...printed] = await assertSuccess(program);
  assertEquals(printed, CLIENT_PRINTS);
});

const hasServer = await isInstalled("redis-server");
const hasTools = await isInstalled("redis-cli") &&
  await isInstalled("redis-benchmark");

peerTest(hasServer, "redis.ts sends requests to redis-server", async () => {
  const { server, port } = await realServer();
  await using _server = server;
  await using program = redis("--client", "--port", port);
  assertEquals(await assertSuccess(program), CLIENT_PRINTS);

  const pushes: Value[][] = [];
  const pushed = Promise.withResolvers<void>();
  await using connection = await connect({ port: Number(port), framing });
  const client = new RedisClient(connection, (values) => {
    pushes.push(values);
    pushed.resolve();
  });
  await client.call("HELLO", 3);
  const calls = Array.from(
    { length: 10_000 },
    (_, i) => client.call("ECHO", i),
  );
  const echoes = await Promise.all(calls);
  assertEquals(comparable(echoes), echoes.map((_, i) => `${i}`));

  const all: Record<string, unknown> = {
    string: "Hello World",
    integer: 12345,
    double: 3.141,
    null: null,
    true: true,
    false: false,
    bignum: 1234567999999999999999999999999999999n,
    array: [0, 1, 2],
    set: new Set([0, 1, 2]),
    map: new Map([[0, false], [1, true], [2, false]]),
    attrib: "Some real reply following the attribute",
    verbatim: "This is a verbatim\nstring",
  };
  for (const [type, value] of Object.entries(all)) {
    const answer = await client.call("DEBUG", "PROTOCOL", type);
    assertEquals(comparable(answer), comparable(value), type);
  }

  // The server sends a push when another client changes a key that this client has
  // read.
  await client.call("CLIENT", "TRACKING", "ON");
  await client.call("GET", "watched");
  await using other = await connect({ port: Number(port), framing });
  await new RedisClient(other).call("SET", "watched", "changed");
  await pushed.promise;
  assertEquals(comparable(pushes), [
    ["invalidate", ["watched"]],
  ]);

  const binary = Uint8Array.from({ length: 100_000 }, (_, i) => i);
  await client.call("SET", "binary", binary);
  assertEquals(await client.call("GET", "binary"), binary);
  await client.call("RPUSH", "list", ...Array(50_000).keys());
  const list = await client.call("LRANGE", "list", 0, -1);
  assertEquals(comparable(list), Array.from(Array(50_000).keys(), String));

  const error = await assertRejects(() => client.call("NONSENSE"), RedisError);
  assertStringIncludes(error.message, "ERR unknown command");
  assertEquals(await client.call("QUIT"), "OK");
  await assertRejects(() => client.call("PING"), Error, "ended");
});

peerTest(hasTools, "redis.ts serves redis-cli", async () => {
  const { server, port } = await ourServer();
  await using _server = server;
  const cli = async (flags: string[], lines: string[]) => {
    await using program = start(["redis-cli", "-p", port, ...flags], lines);
    return await assertSuccess(program);
  };
  assertEquals(
    await cli(["--no-raw"], [
      "PING",
      "ping hello",
      'ECHO "a b"',
      "SET k 41",
      "INCR k",
      "GET k",
      "DEL k nothing",
      "GET k",
      "LPUSH l a b c",
      "LRANGE l 0 -1",
      "LRANGE l -2 0",
      "LRANGE l 1 99",
      "LLEN l",
      "GET l",
      "INCR",
      "NONSENSE",
    ]),
    [
      "PONG",
      '"hello"',
      '"a b"',
      "OK",
      "(integer) 42",
      '"42"',
      "(integer) 1",
      "(nil)",
      "(integer) 3",
      '1) "c"',
      '2) "b"',
      '3) "a"',
      "(empty array)",
      '1) "b"',
      '2) "a"',
      "(integer) 3",
      "(error) WRONGTYPE Operation against a key holding the wrong kind of value",
      "(error) ERR wrong number of arguments for 'incr' command",
      "(error) ERR unknown command 'nonsense'",
    ],
  );
  const [hello] = await cli(["-3", "--no-raw"], ["HELLO 3", "GET nothing"]);
  assertEquals(hello, '1# "server" => "framed"');
});

peerTest(hasTools, "redis.ts serves redis-benchmark", async () => {
  const { server, port } = await ourServer();
  await using _server = server;
  await using program = start([
    "redis-benchmark",
    ...["-p", port, "-n", "2000", "-P", "16", "--csv"],
    ...["-t", "ping,set,get,incr,lpush,lrange_100"],
  ]);
  const lines = await assertSuccess(program);
  const names = lines.slice(1).map((line) => line.match(/^"([A-Z_]+)/)?.[1]);
  assertEquals(names, [
    "PING_INLINE",
    "PING_MBULK",
    "SET",
    "GET",
    "INCR",
    "LPUSH",
    "LPUSH",
    "LRANGE_",
  ]);
});

Deno.test("redis.ts accepts inline commands, in one read or many", async () => {
  const { server, port } = await ourServer();
  await using _server = server;
  const conn = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(port),
  });
  await conn.write(bytes("\r\nPING\r\nSET k v\nGET k\r\nQUIT\r\nPING\r\n"));
  const text = await new Response(conn.readable).text();
  assertEquals(text, "+PONG\r\n+OK\r\n$1\r\nv\r\n+OK\r\n");
});

Deno.test("redis.ts accepts a command with any number of arguments", async () => {
  const { server, port } = await ourServer();
  await using _server = server;
  await using connection = await connect({ port: Number(port), framing });
  const values = Array<Bytes>(150_000).fill(bytes("x"));
  const value = [bytes("LPUSH"), bytes("k"), ...values];
  assertEquals(await connection.request({ value }), 150_000);
});

Deno.test("redis.ts refuses arrays that are nested too deeply", () => {
  const items = `*20000\r\n${":1\r\n".repeat(20_000)}`;
  const deep = "*1\r\n".repeat(50) + items;
  const decoder = new ChunkDecoder(framing);
  assertThrows(() => decoder.decode(bytes(deep)), FramingError, "deep");
});

Deno.test("redis.ts rejects calls when the server has ended", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connecting = connect({ port: listener.addr.port, framing });
  const conn = await listener.accept();
  await using connection = await connecting;
  const client = new RedisClient(connection);
  const calls = [client.call("PING"), client.call("GET", "k")];
  conn.close();
  for (const result of await Promise.allSettled(calls)) {
    assert(result.status === "rejected");
    assertInstanceOf(result.reason, Error);
  }
});
