/**
 * The programs that `--print-code` prints: all are type-checked, and those of every
 * verb run.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { connect } from "../client.ts";
import { lengthPrefixed, lines, unframed } from "../framing.ts";
import { serve } from "../server.ts";
import { randomFrom } from "./_faults.ts";
import { Running, runTool } from "./_testing.ts";

const HOST = { hostname: "127.0.0.1", port: 0 } as const;
const SPECIFIER = `jsr:${config.name}@^${config.version}`;

/** A folder for programs, whose import map maps the package to this checkout. */
class Programs implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Programs> {
    const folder = await Deno.makeTempDir();
    const imports = {
      ...config.imports,
      [SPECIFIER]: new URL("../mod.ts", import.meta.url).href,
      [`${SPECIFIER}/node`]: new URL("../node.ts", import.meta.url).href,
      [`${SPECIFIER}/cli`]: new URL("../cli.ts", import.meta.url).href,
    };
    await Deno.writeTextFile(
      `${folder}/deno.json`,
      // Programs type-check in a strict project too.
      JSON.stringify({
        lock: false,
        imports,
        compilerOptions: config.compilerOptions,
      }),
    );
    return new Programs(folder);
  }

  /** Writes the program that a command line prints, and returns its path. */
  async print(name: string, args: string[]): Promise<string> {
    const { code, output, errors } = await runTool([...args, "--print-code"]);
    assertEquals([code, errors], [0, ""], args.join(" "));
    assert(output.includes(`"${SPECIFIER}`), output);
    const path = `${this.folder}/${name}.ts`;
    await Deno.writeTextFile(path, output);
    return path;
  }

  /** Starts a program. */
  start(path: string): Deno.ChildProcess {
    return new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--no-check",
        "--allow-net",
        "--allow-read",
        "--allow-run",
        "--allow-write",
        path,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
  }

  /** Runs a program to its end. */
  async run(
    args: string[],
    input = "",
  ): Promise<{ code: number; output: string; errors: string }> {
    const child = this.start(await this.print("program", args));
    const fed = new Blob([input]).stream().pipeTo(child.stdin).catch(() => {});
    const { code, stdout, stderr } = await child.output();
    await fed;
    const [output = "", errors = ""] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    return { code, output, errors };
  }

  /**
   * Starts a listening program, runs `act` with its port, ends it, and returns its
   * output.
   */
  async serve(
    args: string[],
    act: (port: number) => Promise<void>,
  ): Promise<string> {
    const child = this.start(await this.print("server", args));
    const output = new Response(child.stdout).text();
    const errors = child.stderr.pipeThrough(new TextDecoderStream())
      [Symbol.asyncIterator]();
    let text = "";
    let port: string | undefined;
    while (port === undefined) {
      const { value, done } = await errors.next();
      assert(!done, text);
      text += value;
      port = /(?:port: |Passing [\d.]+:)(\d+)/.exec(text)?.[1];
    }
    await act(Number(port));
    await child.stdin.close();
    child.kill("SIGTERM");
    await child.status;
    await errors.return?.();
    return await output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

const CHECKED: string[][] = [
  ["connect", ":1"],
  ["connect", ":1", "--hex", "-n", "2"],
  ["connect", ":1", "--json", "--wait", "1s", "-n", "1"],
  ["connect", ":1", "--json", "--input", "json"],
  ["connect", ":1", "--raw"],
  ["connect", ":1", "--binary", "--lines", "--fatal"],
  ["connect", "unix:/tmp/x", "--length", "2,le", "-m", "a", "-m", "b"],
  ["connect", ":1", "--length", "2", "--hex", "-m", "ff", "--keep-alive"],
  ["connect", ":1", "--hex", "-m", "6869"],
  [
    "connect",
    "h:1",
    "--ca",
    "ca.pem",
    "--alpn",
    "a,b",
    "--server-name",
    "n",
    "--idle-timeout",
    "1s",
  ],
  [
    "connect",
    "h:1",
    "--tls",
    "--nagle",
    "--delimiter",
    ";",
    "--delimiter",
    "\\xff",
  ],
  ["listen", "0"],
  ["listen", "0", "--once", "--hex", "--netstrings"],
  ["listen", "0", "--raw", "--once"],
  ["listen", "0", "--echo", "-n", "2", "--quiet", "--max-connections", "3"],
  ["listen", "0", "--reply", "a\\n", "-e", "--varint", "--json"],
  ["listen", "0", "--exec", "date"],
  ["listen", "0", "--exec", "date", "--raw"],
  ["listen", "0", "--exec", "date", "--length", "4", "--hex"],
  ["listen", "0", "--broadcast", "--cert", "c.pem", "--key", "k.pem"],
  ["listen", "unix:/tmp/x", "--discard", "--fixed", "4"],
  ["proxy", "0", "h:1"],
  ["proxy", "0", "h:1", "--quiet"],
  ["proxy", "0", "h:1", "--length", "4", "--hex", "--tls"],
  ["proxy", "unix:/tmp/x", "h:1", "--json"],
  ["proxy", "0", "h:1", "--raw"],
  ["proxy", "0", "h:1", "--latency", "40ms"],
  ["proxy", "0", "h:1", "--rate", "64k", "--quiet"],
  ["proxy", "0", "h:1", "--cut", "3", "--json"],
  ["proxy", "0", "h:1", "--cut", "1-7", "--jitter", "5ms", "--seed", "7"],
  ["proxy", "0", "h:1", "--stall-after", "9", "--half-close-after", "7"],
  ["proxy", "0", "h:1", "--reset-after", "10", "--raw", "--tls"],
  ["proxy", "0", "h:1", "--record", "run.jsonl"],
  ["proxy", "0", "h:1", "--record", "x", "--quiet", "--length", "4"],
  ["proxy", "0", "h:1", "--record", "x", "--json-sequence", "--cut", "1-2"],
  ["proxy", "0", "h:1", "--pcap", "run.pcap", "--record", "x"],
  ["proxy", "0", "h:1", "--guess"],
  ["connect", "h:1", "--guess", "-m", "hi"],
  ["listen", "0", "--guess", "--once"],
  ["connect", "h:1", "-e"],
  ["connect", "h:1", "-e", "--netstrings", "--no-history"],
  ["listen", "0", "--json"],
  ["listen", "0", "-e", "--input", "text", "--hex"],
  ["bench", "h:1"],
  ["bench", "h:1", "--answers", "3", "--json"],
  ["connect", "h:1", "--heartbeat", "ping", "--receive-timeout", "1m"],
  [
    "listen",
    "0",
    "--heartbeat",
    "{}",
    "--heartbeat-interval",
    "1s",
    "--json-sequence",
  ],
  ["bench", "h:1", "--json-sequence", "-m", "[1]"],
  ["connect", "h:1", "--json-sequence", "--hex"],
  ["connect", "h:1", "--json-sequence", "-m", "{}"],
  ["connect", "h:1", "--content-length"],
  ["listen", "0", "--json-sequence", "--exec", "cat"],
  ["listen", "0", "--json-sequence", "--reply", '{"ok":true}'],
  ["listen", "0", "--content-length", "--exec", "cat"],
  ["proxy", "0", "h:1", "--json-sequence"],
  [
    "bench",
    "h:1",
    "-m",
    "a",
    "-m",
    "b",
    "-r",
    "10",
    "-P",
    "3",
    "--length",
    "4",
  ],
];

Deno.test("The program of listen waits for slow answers although its connections are limited", async () => {
  for (const limit of [["--once"], ["--max-connections", "3"], []]) {
    const { output } = await runTool(["listen", "0", ...limit, "--print-code"]);
    assertEquals(
      output.includes("halfClosedTimeout: 2147483647"),
      limit.length > 0,
    );
  }
});

Deno.test("Programs of --print-code type-check", async () => {
  await using programs = await Programs.make();
  const recording = `${programs.folder}/run.jsonl`;
  await Deno.writeTextFile(
    recording,
    '{"recording":1,"framing":["--netstrings"]}\n{"time":1,"from":"client","text":"a"}\n',
  );
  const all = [
    ...CHECKED,
    ["replay", recording, "h:1"],
    ["replay", recording, "h:1", "--speed", "max", "--diff"],
    ["replay", recording, "h:1", "--speed", "2.5", "--lines"],
    ["replay", recording, "h:1", "--json-sequence", "--diff"],
    ["replay", recording, "h:1", "--hex", "--wait", "2s"],
    ["replay", recording, "h:1", "--lines", "--json"],
    ["replay", recording, "h:1", "--quiet"],
    ["replay", recording, "h:1", "--quiet", "--diff"],
  ];
  const paths = await Promise.all(
    all.map((args, index) => programs.print(`program${index}`, args)),
  );
  const { success, stderr } = await new Deno.Command("deno", {
    args: ["check", "--quiet", ...paths],
    cwd: programs.folder,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
});

Deno.test("The program of connect does what connect does", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      for await (const line of connection) {
        await connection.send(
          line.toUpperCase(),
        );
      }
    },
  );
  const args = ["connect", `${server.addr.port}`];
  const cases: [string[], string][] = [
    [args, "a\nb"],
    [[...args, "-n", "1"], "a\nb\n"],
    [[...args, "-m", "6869", "--wait", "100ms", "--hex"], ""],
    [[...args, "-n", "3"], "a\n"],
  ];
  for (const [args, input] of cases) {
    const expected = await runTool(args, { input });
    const { code, output } = await programs.run(args, input);
    assertEquals(
      [code, output],
      [expected.code, expected.output],
      args.join(" "),
    );
  }
});

Deno.test("The program of listen does what listen does", async () => {
  await using programs = await Programs.make();
  const answer = async (args: string[]) => {
    let received: string | undefined;
    const output = await programs.serve(
      ["listen", "0", ...args],
      async (port) => {
        await using client = await connect({ port, framing: lines() });
        received = await client.request("hello");
      },
    );
    return [received, output];
  };
  assertEquals(await answer(["--echo"]), ["hello", "hello\n"]);
  assertEquals(await answer(["--exec", "tr a-z A-Z"]), ["HELLO", "hello\n"]);
});

Deno.test("The program of proxy forwards both directions and shows them", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  const args = ["proxy", "0", `${server.addr.port}`, "--length", "4"];
  const output = await programs.serve(args, async (port) => {
    await using client = await connect({ port, framing: lengthPrefixed() });
    await client.request("hello");
  });
  assertEquals(output, "> hello\n< hello\n");
});

Deno.test("The programs of replay and bench do what replay and bench do", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      for await (const line of connection) {
        await connection.send(
          line.toUpperCase(),
        );
      }
    },
  );
  const port = `${server.addr.port}`;
  const recording = `${programs.folder}/run.jsonl`;
  await Deno.writeTextFile(
    recording,
    [
      { time: 1, connection: 1, from: "client", text: "a" },
      { time: 2, connection: 1, from: "server", text: "A" },
      { time: 3, connection: 1, from: "client", text: "b" },
      { time: 4, connection: 1, from: "server", text: "other" },
    ].map((each) => `${JSON.stringify(each)}\n`).join(""),
  );
  assertEquals(
    (await programs.run(["replay", recording, port])).output,
    "#1 > a\n#1 < A\n#1 > b\n#1 < B\n",
  );
  const { code, output } = await programs.run([
    "replay",
    recording,
    port,
    "--diff",
  ]);
  assertEquals([code, output], [1, "- other\n+ B\n"]);
  const bench = await programs.run([
    "bench",
    port,
    "-t",
    "100ms",
    "-c",
    "2",
    "-P",
    "2",
  ]);
  assertMatch(
    bench.output,
    /^\d+ requests a second\np50 [\d.]+ ms\np90 .*\np99 .*\np99\.9 /,
  );
});

Deno.test("The program of proxy with faults cuts at the same bytes as proxy", async () => {
  await using programs = await Programs.make();
  // Where the reads of each connection end, and their bytes.
  const reads: { ends: number[]; text: string }[] = [];
  await using server = serve(
    { ...HOST, framing: unframed() },
    async (connection) => {
      const ofConnection: typeof reads[number] = { ends: [], text: "" };
      reads.push(ofConnection);
      for await (const bytes of connection) {
        ofConnection.text += new TextDecoder().decode(bytes);
        ofConnection.ends.push(ofConnection.text.length);
      }
    },
  );
  const args = ["proxy", "0", `${server.addr.port}`, "--raw", "--quiet"];
  const faults = ["--cut", "1-7", "--jitter", "1ms", "--seed", "3"];
  const text = "The quick brown fox jumps over the lazy dog";
  const sendText = async (port: number) => {
    await using client = await connect({ port, framing: unframed() });
    await client.send(text);
    await client.closeWrite();
    assertEquals(await client.receive(), undefined);
  };
  await programs.serve([...args, ...faults], sendText);
  await using tool = new Running([...args, ...faults]);
  await sendText(await tool.port());

  // A read may end at a cut; on a busy machine one read takes two pieces.
  const random = randomFrom(3 + 2);
  const cuts = new Set([text.length]);
  for (let at = 0; at < text.length;) {
    at += 1 + Math.floor(random() * 7);
    cuts.add(at);
  }
  assertEquals(reads.map(({ text }) => text), [text, text]);
  for (const { ends } of reads) {
    assertEquals(ends.filter((end) => !cuts.has(end)), []);
  }
});

Deno.test("The program of proxy resets, half-closes and stalls at the given bytes", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: unframed() },
    (connection) => connection.send("123456789"),
  );
  const receivedBy = async (...faults: string[]) => {
    let received = "";
    const args = ["proxy", "0", `${server.addr.port}`, "--raw", "--quiet"];
    await programs.serve([...args, ...faults], async (port) => {
      await using client = await connect({ port, framing: unframed() });
      try {
        for await (const bytes of client) {
          received += new TextDecoder().decode(bytes);
          if (faults[0] === "--stall-after" && received.length >= 5) break;
        }
        received += " end";
      } catch (error) {
        received += ` ${error instanceof Error ? error.name : error}`;
      }
    });
    return received;
  };
  assertEquals(await receivedBy("--half-close-after", "3"), "123 end");
  assertEquals(await receivedBy("--stall-after", "5"), "12345 end");
  // A reset may lose the bytes in flight.
  assertMatch(
    await receivedBy("--reset-after", "4", "--cut", "4"),
    /^(1234)? ConnectionReset$/,
  );
});

Deno.test("The program of proxy records a file that replay reads, and runs the tool for --pcap", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  const port = `${server.addr.port}`;
  const file = `${programs.folder}/run.jsonl`;
  const capture = `${programs.folder}/run.pcap`;
  const request = async (port: number) => {
    await using client = await connect({ port, framing: lengthPrefixed() });
    await client.request("hello");
    await client.request(new Uint8Array([0xff]));
  };
  await programs.serve(
    ["proxy", "0", port, "--length", "4", "--record", file],
    request,
  );
  const replayed = await runTool(["replay", file, port, "--diff"]);
  assertEquals(replayed, {
    code: 0,
    output: "",
    errors: "Sent 2, received 2 of 2 recorded answers: none differs\n",
  });
  const ofProgram = await programs.run(["replay", file, port, "--hex"]);
  assertEquals(
    ofProgram.output,
    "#1 > 68656c6c6f\n#1 < 68656c6c6f\n#1 > ff\n#1 < ff\n",
  );
  const args = ["proxy", "0", port, "--length", "4", "--pcap", capture];
  await programs.serve(args, request);
  assert((await Deno.stat(capture)).size > 200);
});

Deno.test("The programs of connect read escapes and lines of JSON as connect does", async () => {
  await using programs = await Programs.make();
  await using server = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) await connection.send(message);
    },
  );
  const args = ["connect", `${server.addr.port}`, "--length", "4"];
  const cases: [string[], string][] = [
    [[...args, "-e", "--hex", "--input", "text"], "a\\n\\xff\\\\\n"],
    [[...args, "--hex", "--input", "json"], '{"hex":"ff"}\n"a"\n'],
  ];
  for (const [args, input] of cases) {
    const { output } = await programs.run(args, input);
    assertEquals(output, (await runTool(args, { input })).output);
    assert(output.length > 0);
  }
  // Only the times differ.
  const withoutTime = ({ output }: { output: string }) =>
    output.replace(/"time":[\d.]+,/g, "");
  const input = '{"from":"client","text":"a"}\nb\n{"hex":"fe"}\n{"x":1}\n';
  const json = [...args, "--json"];
  const ofTool = withoutTime(await runTool(json, { input }));
  assertEquals(withoutTime(await programs.run(json, input)), ofTool);
  assertEquals(ofTool.split("\n").length, 5);
  // `--guess` has no program: only the tool itself guesses.
  const guess = ["connect", `${server.addr.port}`, "--guess"];
  const bytes = "\0\0\0\x02hi\0\0\0\x05hello".repeat(4);
  assertEquals(
    (await programs.run(guess, bytes)).output,
    (await runTool(guess, { input: bytes })).output,
  );
});
