import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../client.ts";
import { asText, lengthPrefixed, lines, netstrings } from "../framing.ts";
import { serve } from "../server.ts";
import { readRecording } from "./_recording.ts";
import { Running, runTool } from "./_testing.ts";
import { textOf } from "./_values.ts";
import { replacing } from "../dev/testdata/replacing.ts";

const HOST = { hostname: "127.0.0.1", port: 0 } as const;
const framing = lines();

/** Echoes lines in capitals, and sends a last line at the end. */
function capitals() {
  return serve({ ...HOST, framing }, async (connection) => {
    for await (const line of connection) {
      await connection.send(line.toUpperCase());
    }
    await connection.send("bye");
  });
}

Deno.test("proxy forwards both directions and both ends, and shows the messages", async () => {
  await using server = capitals();
  await using tool = new Running(["proxy", "0", `${server.addr.port}`]);
  const client = await connect({ port: await tool.port(), framing });
  assertEquals(await client.request("hello"), "HELLO");
  await client.closeWrite();
  assertEquals(await Array.fromAsync(client), ["bye"]);
  await tool.shell.seen(/#1 ended/);
  const { code, output, errors } = await tool.interrupt();
  assertEquals(code, 0);
  assertMatch(
    output,
    /^#1 > +5 B {2}hello\n#1 < +\+[\d.]+ .?s +5 B {2}HELLO\n#1 < .* 3 B {2}bye\n$/,
  );
  assertMatch(errors, /^Passing 127.*\n#1 connected from 127.*\n#1 ended\n$/);
});

Deno.test("proxy --json shows each message with its connection", async () => {
  await using server = capitals();
  await using tool = new Running([
    "proxy",
    "0",
    `:${server.addr.port}`,
    "--json",
  ]);
  const port = await tool.port();
  for (const text of ["a", "b"]) {
    await using client = await connect({ port, framing });
    await client.request(text);
  }
  await tool.shell.seen(/#2 ended/);
  const { output } = await tool.interrupt();
  const messages = output.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(
    messages.filter(({ text }) => text !== "bye")
      .map(({ connection, from, text }) => [connection, from, text]),
    [[1, "client", "a"], [1, "server", "A"], [2, "client", "b"], [
      2,
      "server",
      "B",
    ]],
  );
});

Deno.test("proxy forwards bytes that do not fit the framing, and reports it once", async () => {
  await using server = capitals();
  await using tool = new Running([
    "proxy",
    "0",
    `${server.addr.port}`,
    "--netstrings",
  ]);
  await using client = await connect({ port: await tool.port(), framing });
  assertEquals(await client.request("a"), "A");
  assertEquals(await client.request("b"), "B");
  const { output, errors } = await tool.interrupt();
  assertEquals(output, "");
  assertEquals(errors.match(/does not fit the framing/g)?.length, 2);
});

Deno.test("proxy --record keeps messages, ends, and the framing with its line ends", async () => {
  const file = await Deno.makeTempFile();
  try {
    await using server = capitals();
    const args = [
      "proxy",
      "0",
      `${server.addr.port}`,
      "--quiet",
      "--record",
      file,
    ];
    await using tool = new Running(args);
    const client = await connect({
      port: await tool.port(),
      framing: lines({ eol: "\r\n" }),
    });
    await client.request("a");
    await client.closeWrite();
    await Array.fromAsync(client);
    await tool.shell.seen(/#1 ended/);
    assertEquals((await tool.interrupt()).output, "");
    using opened = await Deno.open(file);
    const recording = await readRecording("it", opened.readable);
    assertEquals(recording.framing, ["--lines", "--eol", "crlf"]);
    const steps = recording.connections.get(1) ?? [];
    assertEquals(
      steps.map(({ from, bytes }) =>
        `${from} ${bytes ? textOf(bytes) : "end"}`
      ),
      ["client a", "server A", "client end", "server bye", "server end"],
    );
    assert(steps.every(({ time }) => time > 0));
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("proxy --cut and --latency forward every byte in order", async () => {
  await using server = capitals();
  const args = [
    "proxy",
    "0",
    `${server.addr.port}`,
    "--cut",
    "1-7",
    "--latency",
    "5ms",
  ];
  await using tool = new Running([...args, "--jitter", "5ms", "--seed", "1"]);
  await using client = await connect({ port: await tool.port(), framing });
  const text = "abcdefghij".repeat(50);
  assertEquals(await client.request(text), text.toUpperCase());
  await tool.interrupt();
  assertMatch(tool.shell.errors, /\(--seed 1\)/);
});

Deno.test("proxy --reset-after resets both sides", async () => {
  const broke = Promise.withResolvers<unknown>();
  await using server = serve(
    { ...HOST, framing, onError: () => {} },
    async (connection) => {
      for await (const _line of connection);
    },
  );
  await using tool = new Running([
    "proxy",
    "0",
    `${server.addr.port}`,
    "--reset-after",
    "5",
  ]);
  await using client = await connect({ port: await tool.port(), framing });
  client.closed.catch(broke.resolve);
  await client.send("more than that");
  await assertRejects(() => client.closed, Deno.errors.ConnectionReset);
  await tool.shell.seen(/#1 was reset/);
});

Deno.test("proxy --half-close-after ends one direction and leaves the other open", async () => {
  await using server = capitals();
  const args = ["proxy", "0", `${server.addr.port}`, "--half-close-after", "4"];
  await using tool = new Running(args);
  await using client = await connect({ port: await tool.port(), framing });
  await client.send("abcdef"); // its first 4 bytes arrive, and then the end
  assertEquals(await client.receive(), "ABCD");
});

Deno.test("proxy --stall-after forwards nothing more until Ctrl-C", async () => {
  await using server = capitals();
  const args = ["proxy", "0", `${server.addr.port}`, "--stall-after", "4"];
  await using tool = new Running(args);
  await using client = await connect({ port: await tool.port(), framing });
  await client.send("abc");
  await client.send("def");
  assertEquals(await client.receive(), "ABC");
  const rest = client.receive();
  rest.catch(() => {});
  await tool.shell.seen(/def/);
  assertEquals((await tool.interrupt()).code, 0);
});

Deno.test("proxy resets a client if no target listens", async () => {
  const listener = Deno.listen(HOST);
  const { port: closed } = listener.addr;
  listener.close();
  await using tool = new Running(["proxy", "0", `${closed}`]);
  await using client = await connect({ port: await tool.port(), framing });
  await assertRejects(() => client.receive());
  const [reason] = await tool.shell.seen(/#1 (.*)\n/);
  assertEquals(
    reason,
    `Cannot connect to 127.0.0.1:${closed}: connection refused`,
  );
});

Deno.test({
  name: "Ctrl-C ends proxy if its target does not answer",
  ignore: Deno.build.os !== "linux", // other systems handle a full backlog differently
  async fn() {
    using listener = Deno.listen({ ...HOST, tcpBacklog: 1 });
    const { port } = listener.addr;
    using _first = await Deno.connect({ port });
    using _last = await Deno.connect({ port });
    await using tool = new Running(["proxy", "0", `${port}`]);
    await using client = await connect({ port: await tool.port(), framing });
    assertEquals((await tool.interrupt()).code, 0);
    await client.receive().catch(() => {}); // a reset, or an end
  },
});

Deno.test({
  name:
    "proxy takes no client over TCP that is gone for one over a Unix socket",
  ignore: Deno.build.os !== "linux", // elsewhere it may not be accepted
  async fn() {
    await using server = capitals();
    await using tool = new Running(["proxy", "0", `${server.addr.port}`]);
    const port = await tool.port();
    const code = `import net from "node:net";
      const socket = net.connect(${port}, "127.0.0.1");
      socket.on("connect", () => socket.resetAndDestroy());`;
    // The proxy shares this thread, so it accepts when the client has gone.
    new Deno.Command("deno", { args: ["eval", code] }).outputSync();
    await tool.shell.seen(/#1 broke/);
    assertMatch((await tool.interrupt()).errors, /from an unknown address/);
  },
});

Deno.test("Ctrl-C ends proxy if its output is not read", async () => {
  await using server = capitals();
  const args = ["proxy", "0", `${server.addr.port}`];
  await using tool = new Running(args, { isOutputFull: true });
  await using client = await connect({ port: await tool.port(), framing });
  await client.send("hello");
  await tool.shell.seen(/hello/);
  assertEquals((await tool.interrupt()).code, 0);
  await client.receive().catch(() => {}); // a reset, or an end
});

Deno.test("proxy --tls shows the messages inside a TLS connection", async () => {
  const [cert = "", key = ""] = await Promise.all(
    ["localhost.pem", "localhost.key"].map((name) =>
      Deno.readTextFile(`dev/testdata/${name}`)
    ),
  );
  await using server = serve(
    { ...HOST, framing, tls: { cert, key } },
    async (connection) => {
      for await (const line of connection) {
        await connection.send(
          line.toUpperCase(),
        );
      }
    },
  );
  const args = [
    "proxy",
    "0",
    `${server.addr.port}`,
    "--ca",
    "dev/testdata/ca.pem",
  ];
  await using tool = new Running(args);
  const client = await connect({ port: await tool.port(), framing });
  assertEquals(await client.request("hello"), "HELLO");
  await client.close();
  await tool.shell.seen(/#1 ended/);
  assertMatch((await tool.interrupt()).output, /hello\n.*HELLO/);
});

Deno.test("proxy --guess guesses the framing of each direction", async () => {
  await using server = serve(
    { ...HOST, framing: asText(netstrings()) },
    async (connection) => {
      for await (const text of connection) await connection.send(text);
    },
  );
  await using tool = new Running([
    "proxy",
    "0",
    `${server.addr.port}`,
    "--guess",
  ]);
  await using client = await connect({
    port: await tool.port(),
    framing: asText(netstrings()),
  });
  for (const text of ["hello", "how are you?"]) await client.request(text);
  const { code, output } = await tool.interrupt();
  assertEquals(code, 0);
  assertMatch(
    output,
    /From the client: .*\n +surely +--netstrings[^]*From the server: .*\n +surely +--netstrings/,
  );
});

Deno.test("proxy reports invalid options, an address in use and a file that it cannot write", async () => {
  using listener = Deno.listen(HOST);
  const { port } = listener.addr;
  const used = await runTool(["proxy", `${port}`, "1"]);
  assertEquals(used, {
    code: 1,
    output: "",
    errors:
      `framed: Cannot listen on 127.0.0.1:${port}: the address is in use\n`,
  });
  const folder = await runTool(["proxy", "0", "1", "--record", "/"]);
  assertEquals(folder.code, 1);
  assertMatch(folder.errors, /^framed: .*\n$/);
  assertEquals((await runTool(["proxy", "0"])).code, 2);
  assertEquals((await runTool(["proxy", "0", "1", "--length", "x"])).code, 2);
});

Deno.test("proxy shows length-prefixed messages whole, however they arrive", async () => {
  await using server = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  const args = ["proxy", "0", `${server.addr.port}`, "--length", "4", "--hex"];
  await using tool = new Running(args);
  await using client = await connect({
    port: await tool.port(),
    framing: lengthPrefixed(),
  });
  await client.request(new Uint8Array([0, 255]));
  const { output } = await tool.interrupt();
  assertMatch(
    output,
    /^#1 > +2 B \n {2}00000000 {2}00 ff .*\n#1 < .*\n.*00 ff/,
  );
});

Deno.test({
  name: "proxy takes over a Unix socket on which no one listens",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using server = capitals();
    const folder = await Deno.makeTempDir();
    const path = `${folder}/proxy.sock`;
    const args = ["proxy", `unix:${path}`, `${server.addr.port}`];
    try {
      const killed = Deno.listen({ transport: "unix", path: `${path}.old` });
      await Deno.rename(`${path}.old`, path); // so that close() leaves it
      killed.close();
      {
        await using tool = new Running(args);
        await Promise.race([tool.shell.seen(/Passing unix:/), tool.end()]);
        await using client = await connect({ path, framing });
        assertEquals(await client.request("hello"), "HELLO");
        const { code, errors } = await runTool(args);
        assertEquals(code, 1);
        assertMatch(errors, /the address is in use/);
        assertEquals(await client.request("still"), "STILL");
      }
      await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("proxy names the file that it cannot write, and closes its files", async () => {
  let open = 0;
  using _disk = replacing(Deno as { openSync: unknown }, {
    openSync() {
      open++;
      return {
        writeSync() {
          throw new Error("No space left on device (os error 28)");
        },
        close() {
          open--;
        },
      };
    },
  });
  for (const flag of ["--record", "--pcap"]) {
    const full = await runTool(["proxy", "0", "1", flag, "full"]);
    assertEquals(full.code, 1);
    assertMatch(full.errors, /^framed: Cannot write to full: No space/);
    assertEquals(open, 0);
  }
});
