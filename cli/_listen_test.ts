import { assertEquals, assertMatch } from "@std/assert";
import { connect } from "../client.ts";
import { asText, lengthPrefixed, lines, netstrings } from "../framing.ts";
import { OutputClosed } from "./_shell.ts";
import { Running, runTool } from "./_testing.ts";

async function answers(args: string[], messages: string[]): Promise<string[]> {
  await using tool = new Running(["listen", "0", ...args]);
  await using client = await connect({
    port: await tool.port(),
    framing: lines(),
  });
  const received: string[] = [];
  for (const message of messages) received.push(await client.request(message));
  return received;
}

Deno.test("listen --echo, --reply and --exec answer each message", async () => {
  assertEquals(await answers(["--echo"], ["a", "b"]), ["a", "b"]);
  assertEquals(await answers(["--reply", "+OK\\t", "-e"], ["a", "b"]), [
    "+OK\t",
    "+OK\t",
  ]);
  assertEquals(await answers(["--exec", "tr a-z A-Z"], ["a", "b"]), ["A", "B"]);
  assertEquals(await answers(["--exec", "cat && echo ."], ["one"]), ["one."]);
  const quoting = 'echo "a b"'; // cmd prints the quotes
  const quoted = Deno.build.os === "windows" ? '"a b"' : "a b";
  assertEquals(await answers(["--exec", quoting], ["one"]), [quoted]);
});

Deno.test({
  name: "Ctrl-C ends listen --exec even if its command does not end",
  ignore: Deno.build.os === "windows", // it has no sleep
  async fn() {
    const args = ["listen", "0", "--exec", "exec sleep 60"];
    await using tool = new Running(args);
    await using client = await connect({
      port: await tool.port(),
      framing: lines(),
    });
    await client.send("hello");
    await tool.shell.seen(/hello/);
    assertEquals((await tool.interrupt()).code, 0);
  },
});

Deno.test("Ctrl-C ends listen if its input continues after the client has ended", async () => {
  const input = new ReadableStream<Uint8Array>();
  await using tool = new Running(["listen", "0"], { input });
  await using client = await connect({
    port: await tool.port(),
    framing: lines(),
  });
  await client.send("hello");
  await client.closeWrite();
  await tool.shell.seen(/hello/);
  assertEquals((await tool.interrupt()).code, 0);
  assertEquals(await client.receive(), undefined);
});

Deno.test("listen shows received messages and reports connects and disconnects", async () => {
  await using tool = new Running(["listen", "0", "--echo", "--netstrings"]);
  {
    await using client = await connect({
      port: await tool.port(),
      framing: asText(netstrings()),
    });
    await client.request("hello");
  }
  await tool.shell.seen(/ended/);
  const { code, output, errors } = await tool.interrupt();
  assertEquals([code, output], [0, "hello\n"]);
  assertMatch(
    errors,
    /^Listening on 127\.0\.0\.1:\d+\n#1 connected from 127\.0\.0\.1:\d+\n#1 ended: 1 received, 1 sent\n$/,
  );
});

Deno.test("listen --json shows answers too, and --quiet nothing", async () => {
  const from: unknown[] = [];
  for (const flags of [["--json"], ["--json", "--quiet"]]) {
    await using tool = new Running(["listen", "0", "--reply", "b", ...flags]);
    await using client = await connect({
      port: await tool.port(),
      framing: lines(),
    });
    await client.request("a");
    await client.request("a");
    const { output } = await tool.interrupt();
    const messages = output.split("\n").filter((line) => line !== "")
      .map((line) => JSON.parse(line));
    from.push(
      messages.slice(0, 3).map((
        { from, text, connection },
      ) => [from, text, connection]),
    );
  }
  assertEquals(from, [[["client", "a", 1], ["server", "b", 1], [
    "client",
    "a",
    1,
  ]], []]);
});

Deno.test("listen --broadcast forwards each message to all other clients", async () => {
  await using tool = new Running(["listen", "0", "--broadcast"]);
  const port = await tool.port();
  const framing = lines();
  await using ann = await connect({ port, framing });
  await tool.shell.seen(/#1 connected/);
  await using ben = await connect({ port, framing });
  await tool.shell.seen(/#2 connected/);
  await ann.send("hello");
  assertEquals(await ben.receive(), "hello");
  await ben.send("hi");
  assertEquals(await ann.receive(), "hi");
});

Deno.test("listen sends standard input to its client, and --once ends with it", async () => {
  await using tool = new Running(["listen", "0", "--once"], {
    input: "one\ntwo\n",
  });
  await using client = await connect({
    port: await tool.port(),
    framing: lines(),
  });
  await client.send("mine");
  assertEquals(await Array.fromAsync(client), ["one", "two"]);
  await client.close();
  const { code, output } = await tool.end();
  assertEquals([code, output], [0, "mine\n"]);
});

Deno.test("listen -n ends after that many messages from all connections together", async () => {
  await using tool = new Running(["listen", "0", "--discard", "-n", "2"]);
  const port = await tool.port();
  for (const message of ["a", "b"]) {
    await using client = await connect({ port, framing: lines() });
    await client.send(message);
  }
  assertEquals((await tool.end()).code, 0);

  await using many = new Running(["listen", "0", "--echo", "-n", "2"]);
  {
    await using client = await connect({
      port: await many.port(),
      framing: lines(),
    });
    for (const line of ["a", "b", "c"]) client.send(line);
    assertEquals(await Array.fromAsync(client), ["a", "b"]);
  }
  const whole = await many.end();
  assertEquals([whole.code, whole.output], [0, "a\nb\n"]);
  assertMatch(whole.errors, /ended: 2 received, 2 sent/);

  await using few = new Running(["listen", "0", "--once", "-n", "2"]);
  {
    await using client = await connect({
      port: await few.port(),
      framing: lines(),
    });
    await client.send("a");
  }
  const { code, errors } = await few.end();
  assertEquals(code, 1);
  assertMatch(errors, /framed: Received 1 of 2 messages/);
});

Deno.test("listen reports a connection that breaks the framing, and continues", async () => {
  await using tool = new Running(["listen", "0", "--echo", "--netstrings"]);
  const port = await tool.port();
  {
    await using odd = await connect({ port, framing: lines() });
    await odd.send("hello");
    await tool.shell.seen(/#1 failed: Cannot decode netstring/);
  }
  await using client = await connect({ port, framing: asText(netstrings()) });
  assertEquals(await client.request("hi"), "hi");
});

Deno.test("listen answers the messages before bytes that break the framing", async () => {
  const limit = ["--max-length", "3"];
  await using tool = new Running(["listen", "0", "--echo", ...limit]);
  await using client = await connect({
    port: await tool.port(),
    framing: lines(),
  });
  client.send("one");
  await client.send("too long"); // in the same write
  assertEquals(await Array.fromAsync(client), ["one"]);
  await tool.shell.seen(/#1 failed: .*longer than 3 bytes/);
});

Deno.test("listen --guess reports at Ctrl-C the framing that fits all connections", async () => {
  await using tool = new Running(["listen", "0", "--guess"]);
  const port = await tool.port();
  for (const text of ["hello", "how are you?"]) {
    await using client = await connect({ port, framing: lengthPrefixed() });
    await client.send(text);
    await client.send("fine");
  }
  await tool.shell.seen(/#1 ended[^]*#2 ended|#2 ended[^]*#1 ended/);
  const { code, output } = await tool.interrupt();
  assertEquals(code, 0);
  assertMatch(output, /surely {3}--length 4 /);
});

Deno.test("listen --once fails if its connection does", async () => {
  await using tool = new Running(["listen", "0", "--once", "--netstrings"]);
  await using client = await connect({
    port: await tool.port(),
    framing: lines(),
  });
  await client.send("no netstring");
  const { code, errors } = await tool.end();
  assertEquals(code, 1);
  assertMatch(errors, /^framed: Cannot decode netstring at byte 0/m);
});

Deno.test("listen ends when it cannot write its output", async () => {
  for (
    const [error, expected] of [
      [new OutputClosed("closed"), 0],
      [new Error("The disk is full"), 1],
    ] as const
  ) {
    await using tool = new Running(["listen", "0", "--discard"]);
    const port = await tool.port();
    tool.shell.write = () => Promise.reject(error);
    await using client = await connect({ port, framing: lines() });
    await client.send("hello");
    assertEquals((await tool.end()).code, expected);
  }
});

Deno.test("listen reports invalid options and an address in use", async () => {
  const cases: [string[], number, RegExp][] = [
    [["0", "--echo", "--discard"], 2, /--echo and --discard are two answers/],
    [["0", "--cert", "dev/testdata/localhost.pem"], 2, /both --cert and --key/],
    [["unix:/tmp/x", "--alpn", "h2"], 2, /no TLS/],
    [["0", "--high-water-mark", "0"], 2, /highWaterMark/],
  ];
  for (const [args, code, message] of cases) {
    const ended = await runTool(["listen", ...args]);
    assertEquals(ended.code, code);
    assertMatch(ended.errors, message);
  }
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const ended = await runTool(["listen", `${listener.addr.port}`]);
  assertEquals(ended.code, 1);
  assertMatch(ended.errors, /^framed: .*127\.0\.0\.1:\d+.*in use.*\n$/);
});
