import { assertEquals, assertMatch } from "@std/assert";
import { connect } from "../client.ts";
import { lines } from "../framing.ts";
import { untilPoll } from "../internal/event_loop.ts";
import { serve } from "../server.ts";
import { Running, runTool } from "./_testing.ts";

/** Answers in capitals, but answers `word` with `odd`. */
function capitals(word?: string) {
  return serve(
    { hostname: "127.0.0.1", port: 0, framing: lines() },
    async (connection) => {
      for await (const line of connection) {
        await connection.send(line === word ? "odd" : line.toUpperCase());
      }
      await connection.send("bye");
    },
  );
}

const RECORDING = [
  { recording: 1, framing: ["--lines"] },
  { time: 1000, connection: 1, from: "client", event: "open" },
  { time: 1000, connection: 1, from: "client", length: 1, text: "a" },
  { time: 1001, connection: 1, from: "server", length: 1, text: "A" },
  { time: 1040, connection: 1, from: "client", length: 1, hex: "62" },
  { time: 1041, connection: 2, from: "client", text: "x" },
  { time: 1042, connection: 1, from: "server", text: "B" },
  { time: 1043, connection: 1, from: "client", event: "end" },
  { time: 1044, connection: 1, from: "server", text: "bye" },
  { time: 1045, connection: 1, from: "server", event: "end" },
  { time: 1046, connection: 2, from: "server", text: "X" },
];

function replay(
  recording: unknown[],
  port: number,
  ...flags: string[]
): ReturnType<typeof runTool> {
  return replayInto({}, recording, port, ...flags);
}

async function replayInto(
  shell: Parameters<typeof runTool>[1],
  recording: unknown[],
  port: number,
  ...flags: string[]
): ReturnType<typeof runTool> {
  const file = await Deno.makeTempFile();
  try {
    const text = recording.map((each) =>
      typeof each === "string" ? each : JSON.stringify(each)
    ).join("\n");
    await Deno.writeTextFile(file, text);
    return await runTool(["replay", file, `${port}`, ...flags], shell);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("replay sends the recorded messages at their times and shows the answers", async () => {
  await using server = capitals();
  const start = performance.now();
  const { code, output, errors } = await replay(RECORDING, server.addr.port);
  assertEquals(performance.now() - start >= 40, true);
  assertEquals([code, errors], [
    0,
    "Sent 3, received 4 of 4 recorded answers\n",
  ]);
  const ofFirst = output.split("\n").filter((line) => line.startsWith("#1"))
    .map((line) => line.replace(/^#1 (.).* B {2}/, "$1 "));
  assertEquals(ofFirst, ["> a", "< A", "> b", "< B", "< bye"]);
});

Deno.test("replay waits for an answer that came while the process was stopped", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answering = (async () => {
    using peer = await listener.accept();
    await peer.read(new Uint8Array(2));
    await untilPoll(); // replay waits for the answer now
    const written = peer.write(new TextEncoder().encode("A\n"));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
    await written;
    await peer.read(new Uint8Array(2));
  })();
  const { output } = await replay(
    [
      { from: "client", text: "a" },
      { from: "server", text: "A" },
      { from: "client", text: "b" },
    ],
    listener.addr.port,
    "--wait=100",
  );
  const order = output.split("\n").map((line) => line.replace(/.* B {2}/, ""));
  assertEquals(order, ["a", "A", "b", ""]);
  await answering;
});

Deno.test("replay waits for a message that is due later than a timer can wait", async () => {
  await using server = capitals();
  const file = await Deno.makeTempFile();
  try {
    const steps = [
      { time: 0, connection: 1, from: "client", text: "now" },
      { time: 0, connection: 1, from: "server", text: "NOW" },
      { time: 3e9, connection: 1, from: "client", text: "late" },
      { time: 100, connection: 2, from: "client", text: "soon" },
      { time: 100, connection: 2, from: "server", text: "SOON" },
    ];
    await Deno.writeTextFile(
      file,
      steps.map((each) => JSON.stringify(each)).join("\n"),
    );
    await using tool = new Running(["replay", file, `${server.addr.port}`]);
    await tool.shell.seen(/SOON/);
    const { code, output } = await tool.interrupt();
    assertEquals([code, output.includes("late")], [130, false]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("replay receives all answers if its output is read slowly", async () => {
  await using server = capitals();
  const recording = [
    { time: 0, from: "client", text: "a" },
    { time: 0, from: "server", text: "A" },
    { time: 0, from: "client", event: "end" },
    { time: 0, from: "server", text: "bye" },
  ];
  const { errors } = await replayInto(
    { isOutputFull: 200 },
    recording,
    server.addr.port,
    "--wait",
    "50ms",
  );
  assertEquals(errors, "Sent 1, received 2 of 2 recorded answers\n");
});

Deno.test("Ctrl-C ends replay if its output is not read", async () => {
  await using server = capitals();
  const file = await Deno.makeTempFile();
  try {
    const steps = [
      { time: 0, from: "client", text: "a" },
      { time: 0, from: "server", text: "other" },
    ];
    await Deno.writeTextFile(
      file,
      steps.map((each) => JSON.stringify(each)).join("\n"),
    );
    const args = ["replay", file, `${server.addr.port}`, "--diff"];
    await using tool = new Running(args, { isOutputFull: true });
    await tool.shell.seen(/A\n/);
    assertEquals((await tool.interrupt()).code, 130);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("replay --speed max --diff succeeds if the answers are the same", async () => {
  await using server = capitals();
  assertEquals(
    await replay(RECORDING, server.addr.port, "--speed", "max", "--diff"),
    {
      code: 0,
      output: "",
      errors: "Sent 3, received 4 of 4 recorded answers: none differs\n",
    },
  );
});

Deno.test("replay --diff shows answers that differ and exits with code 1", async () => {
  await using server = capitals("b");
  const { code, output, errors } = await replay(
    RECORDING,
    server.addr.port,
    "--diff",
  );
  assertEquals([code, output], [1, "#1 answer 2\n- B\n+ odd\n"]);
  assertMatch(errors, /4 of 4 recorded answers: 1 differ\n$/);
  const hex = await replay(RECORDING, server.addr.port, "--diff", "--hex");
  assertEquals(hex.output, "#1 answer 2\n- 42\n+ 6f6464\n");
});

Deno.test("replay --diff shows missing and extra answers", async () => {
  await using server = capitals();
  const more = RECORDING.toSpliced(3, 0, {
    time: 1001,
    connection: 1,
    from: "server",
    text: "first",
  });
  const missing = await replay(
    more,
    server.addr.port,
    "--diff",
    "--wait",
    "50ms",
  );
  assertEquals([missing.code, missing.output.split("\n").at(-3)], [
    1,
    "#1 answer 4",
  ]);
  assertMatch(missing.output, /- bye\n$/);
  const fewer = RECORDING.filter((each) =>
    !("text" in each && each.text === "bye")
  );
  const extra = await replay(fewer, server.addr.port, "--diff");
  assertEquals([extra.code, extra.output], [1, "#1 answer 3\n+ bye\n"]);
});

Deno.test("replay takes the output of proxy --json, and another framing", async () => {
  await using server = capitals();
  const { port } = server.addr;
  await using proxy = new Running(["proxy", "0", `${port}`, "--json"]);
  await using client = await connect({
    port: await proxy.port(),
    framing: lines(),
  });
  assertEquals(await client.request("a"), "A");
  await proxy.shell.seen(/"text":"A"/);
  const { output } = await proxy.interrupt();
  const { code, errors } = await replay(
    [output],
    port,
    "--diff",
    "--eol",
    "crlf",
  );
  assertEquals([code, errors], [
    0,
    "Sent 1, received 1 of 1 recorded answers: none differs\n",
  ]);
});

Deno.test("Ctrl-C ends a replay with code 130", async () => {
  await using server = capitals();
  const file = await Deno.makeTempFile();
  try {
    const hour = 3_600_000;
    const steps = [{ time: 0, text: "a" }, { time: hour, text: "b" }];
    await Deno.writeTextFile(
      file,
      steps.map((step) => JSON.stringify(step)).join("\n"),
    );
    await using tool = new Running(["replay", file, `${server.addr.port}`]);
    await tool.shell.seen(/< .* A\n/);
    const { code, errors } = await tool.interrupt();
    assertEquals([code, errors], [130, ""]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("replay names the invalid line in its error", async () => {
  const cases: [unknown[], RegExp][] = [
    [["{"], /line 1 is not JSON/],
    [[{ recording: 1, framing: [] }], /has no messages/],
    [[{ recording: 2, framing: [] }], /line 1 is of another version/],
    [["3"], /line 1 is not a message/],
    [[{ time: 1, from: "client" }], /line 1 must have text, or hex/],
    [
      [{ recording: 1, framing: "--lines" }],
      /line 1 has a framing that is not a list/,
    ],
  ];
  for (const [recording, message] of cases) {
    const { code, errors } = await replay(recording, 1);
    assertEquals(code, 1);
    assertMatch(errors, message);
  }
  const wrong = await runTool(["replay", "nowhere.jsonl", "1"]);
  assertEquals(wrong.code, 1);
  assertMatch(wrong.errors, /^framed: .*nowhere\.jsonl.*\n$/);
  const folder = await runTool(["replay", "cli", "1"]);
  assertEquals(folder.code, 1);
  assertMatch(folder.errors, /^framed: Cannot read cli: Is a directory.*\n$/);
  assertEquals((await replay([], 1, "--speed", "0")).code, 2);
});
