import { assertEquals, assertMatch } from "@std/assert";
import { lengthPrefixed, lines, unframed } from "../framing.ts";
import { serve } from "../server.ts";
import type { Connection } from "../connection.ts";
import { Running, runTool } from "./_testing.ts";

const HOST = { hostname: "127.0.0.1", port: 0 } as const;

/** Echoes lines in capitals. */
function capitals() {
  return serve({ ...HOST, framing: lines() }, async (connection) => {
    for await (const line of connection) {
      await connection.send(line.toUpperCase());
    }
  });
}

/** Runs `handler` with an unframed connection. */
function server(
  handler: (connection: Connection) => Promise<void>,
) {
  return serve({ ...HOST, framing: unframed(), onError: () => {} }, handler);
}

Deno.test("connect reads lines from standard input and prints only the answers", async () => {
  await using capital = capitals();
  const { port } = capital.addr;
  assertEquals(await runTool(["connect", `${port}`], { input: "a\n\nb" }), {
    code: 0,
    output: "A\n\nB\n",
    errors: "",
  });
});

Deno.test("connect --raw --binary neither adds nor drops a byte", async () => {
  const bytes = Uint8Array.from(
    { length: 200_000 },
    (_, index) => index * 7 + (index >> 8),
  );
  await using echo = server(async (connection) => {
    for await (const chunk of connection) await connection.send(chunk);
  });
  await using tool = new Running(["connect", `${echo.addr.port}`, "--raw"], {
    input: bytes,
  });
  const { code } = await tool.end();
  assertEquals(code, 0);
  assertEquals(tool.shell.bytes, bytes);
});

Deno.test("connect -n ends after that many messages, and reports if there were fewer", async () => {
  await using capital = capitals();
  const { port } = capital.addr;
  const one = await runTool(["connect", `${port}`, "-n", "1"], {
    input: "a\nb\n",
  });
  assertEquals([one.code, one.output], [0, "A\n"]);
  const few = await runTool(["connect", `:${port}`, "-n", "3"], {
    input: "a\nb\n",
  });
  assertEquals(few, {
    code: 1,
    output: "A\nB\n",
    errors: "framed: Received 2 of 3 messages, and then the end\n",
  });
});

Deno.test("connect -n ends although its input has not ended", async () => {
  await using capital = capitals();
  const input = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode("a\n")),
  });
  const args = ["connect", `${capital.addr.port}`, "-n", "1"];
  assertEquals((await runTool(args, { input })).output, "A\n");
});

Deno.test("connect --wait keeps its side open, and ends when no message comes", async () => {
  const sawEnd: boolean[] = [];
  await using slow = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      const line = await connection.receive();
      await connection.send(`${line}!`);
      sawEnd.push(await connection.receive() === undefined);
    },
  );
  const args = ["connect", `${slow.addr.port}`, "--wait", "50ms", "-m", "a"];
  assertEquals((await runTool(args)).output, "a!\n");
  const { code, errors } = await runTool([...args, "-n", "2"]);
  assertEquals([code, errors], [
    1,
    "framed: Received 1 of 2 messages, and nothing more for 50 ms\n",
  ]);
});

Deno.test("connect --wait loses nothing if its output is read slowly", async () => {
  await using capital = capitals();
  const args = ["connect", `${capital.addr.port}`, "--wait", "50ms"];
  const slow = { input: "a\nb\nc\n", isOutputFull: 60 };
  const { code, output } = await runTool(args, slow);
  assertEquals([code, output], [0, "A\nB\nC\n"]);
});

Deno.test("connect -m sends messages instead of standard input", async () => {
  await using capital = capitals();
  const args = [
    "connect",
    `${capital.addr.port}`,
    "-m",
    "a",
    "--message",
    "b\\tc",
    "-e",
  ];
  assertEquals(
    (await runTool(args, { input: "not this\n" })).output,
    "A\nB\tC\n",
  );
});

Deno.test("connect --json and --hex show a line for each message", async () => {
  await using echo = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  const args = ["connect", `${echo.addr.port}`, "--length", "4"];
  const json = await runTool([...args, "--json"], {
    input: 'a"\n{"hex":"ff"}\n',
  });
  const messages = json.output.trim().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(messages.map(({ time, ...rest }) => [typeof time, rest]), [
    ["number", { from: "server", length: 2, text: 'a"' }],
    ["number", { from: "server", length: 1, hex: "ff" }],
  ]);
  const hex = await runTool([...args, "--hex"], { input: "00 0a\nff\n" });
  assertEquals(hex.output, "000a\nff\n");
  const mixed = await runTool([...args, "--hex", "--input", "text"], {
    input: "hi\n",
  });
  assertEquals(mixed.output, "6869\n");
});

Deno.test("connect sends all of its input to a peer that has closed its own side", async () => {
  const received = Promise.withResolvers<number>();
  await using sink = server(async (connection) => {
    await connection.closeWrite();
    let count = 0;
    for await (const chunk of connection) count += chunk.length;
    received.resolve(count);
  });
  const args = ["connect", `${sink.addr.port}`];
  const { code } = await runTool(args, { input: "x\n".repeat(100_000) });
  assertEquals([code, await received.promise], [0, 200_000]);
});

Deno.test("connect reports an error in one line and exits with code 1", async () => {
  await using odd = server(async (connection) => {
    await connection.send("no netstring");
  });
  const { port } = odd.addr;
  const malformed = await runTool(["connect", `${port}`, "--netstrings"]);
  assertEquals(malformed.code, 1);
  assertMatch(malformed.errors, /^framed: Cannot decode netstring.*\n$/);

  const listener = Deno.listen(HOST);
  const closed = listener.addr.port;
  listener.close();
  const refused = await runTool(["connect", `${closed}`]);
  assertEquals(refused.code, 1);
  assertMatch(
    refused.errors,
    /^framed: Cannot connect to 127\.0\.0\.1:\d+: .*\n$/,
  );

  await using capital = capitals();
  const args = ["connect", `${capital.addr.port}`, "--hex"];
  const input = await runTool(args, { input: "61\nxyz\n" });
  assertEquals(input.code, 1);
  assertMatch(
    input.errors,
    /^framed: Line 2 of standard input must be hexa.*"xyz"\n$/,
  );
});

Deno.test("connect exits with code 2 for options that the library refuses", async () => {
  const args = ["connect", "4000", "--cert", "dev/testdata/localhost.pem"];
  const { code, errors } = await runTool(args);
  assertEquals(code, 2);
  assertMatch(errors, /cert and key must be given together/);
});

Deno.test("connect speaks TLS with a given server name and certificate authority", async () => {
  const [cert, key] = await Promise.all(
    ["localhost.pem", "localhost.key"].map((name) =>
      Deno.readTextFile(`dev/testdata/${name}`)
    ),
  );
  await using tls = serve(
    { ...HOST, framing: lines(), tls: { cert: cert ?? "", key: key ?? "" } },
    async (connection) => {
      for await (const line of connection) await connection.send(line);
    },
  );
  const args = ["connect", `${tls.addr.port}`, "--ca", "dev/testdata/ca.pem"];
  const { code, output, errors } = await runTool([
    ...args,
    "-m",
    "hi",
    "-n",
    "1",
  ]);
  assertEquals([code, output, errors], [0, "hi\n", ""]);
});

Deno.test("Ctrl-C ends connect with code 130", async () => {
  await using capital = capitals();
  const input = new ReadableStream<Uint8Array>();
  await using tool = new Running([
    "connect",
    `${capital.addr.port}`,
    "-m",
    "a",
    "--wait",
    "1h",
  ], {
    input,
  });
  await tool.shell.seen(/A\n/);
  assertEquals((await tool.interrupt()).code, 130);
});

Deno.test("Ctrl-C ends connect if the peer has ended but the input has not", async () => {
  await using done = server(async (connection) => {
    await connection.send("done\n");
    await connection.closeWrite();
    await connection.closed;
  });
  const args = ["connect", `${done.addr.port}`];
  const input = new ReadableStream<Uint8Array>();
  await using tool = new Running(args, { input });
  await tool.shell.seen(/done\n/);
  await runTool([...args, "-m", "a"]); // the end has arrived too
  assertEquals((await tool.interrupt()).code, 130);
});

Deno.test("Ctrl-C ends connect if its output is not read", async () => {
  await using capital = capitals();
  const args = ["connect", `${capital.addr.port}`, "--wait", "1h"];
  await using tool = new Running(args, { input: "a\n", isOutputFull: true });
  await tool.shell.seen(/A\n/);
  assertEquals((await tool.interrupt()).code, 130);
});

Deno.test("connect --heartbeat sends a message when it sends nothing else", async () => {
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      await connection.send(`${await connection.receive()}, I heard`);
    },
  );
  const args = ["connect", `${server.addr.port}`, "--wait", "1m", "-n", "1"];
  const beat = ["--heartbeat", "still here", "--heartbeat-interval", "10ms"];
  assertEquals(
    (await runTool([...args, ...beat])).output,
    "still here, I heard\n",
  );
  assertEquals(
    (await runTool([...args, "--heartbeat-interval", "1s"])).code,
    2,
  );
});

Deno.test("connect --guess reports the framing that fits, and Ctrl-C ends the wait", async () => {
  await using prefixed = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for (const text of ["hello", "how are you?", "fine"]) {
        await connection.send(text);
        await connection.flush();
      }
      await connection.receive();
    },
  );
  const { port } = prefixed.addr;
  const args = ["connect", `${port}`, "--guess", "--wait", "50"];
  const { code, output } = await runTool(args);
  assertEquals(code, 0);
  assertMatch(
    output,
    /^33 bytes in \d reads?: this fits\n {2}surely {3}--length 4 /,
  );
  const nothing = await runTool([
    "connect",
    `${port}`,
    "--guess",
    "--length",
    "4",
  ]);
  assertEquals(nothing.code, 2);
});

Deno.test("connect refuses TLS over a Unix socket, and input that is not UTF-8 if the framing needs text", async () => {
  assertEquals(await runTool(["connect", "unix:/tmp/none", "--tls"]), {
    code: 2,
    output: "",
    errors: "framed: A Unix socket has no TLS (see framed connect --help)\n",
  });
  await using capital = capitals();
  const { port } = capital.addr;
  const input = new Uint8Array([0xff, 0x0a]);
  const { code, errors } = await runTool(["connect", `${port}`, "-e"], {
    input,
  });
  assertMatch(
    `${code} ${errors}`,
    /^1 framed: Cannot encode line of 1 bytes: it is not UTF-8/,
  );
});
