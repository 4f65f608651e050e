/**
 * The programs that `--print-code` prints: all are type-checked, and the ones of every
 * verb run.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { connect } from "../client.ts";
import { lengthPrefixed, lines } from "../framing.ts";
import { serve } from "../server.ts";
import { runTool } from "./_testing.ts";

const HOST = { hostname: "127.0.0.1", port: 0 } as const;
const SPECIFIER = `jsr:${config.name}@^${config.version}`;

/** A folder with programs, in which the package is this one. */
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
    };
    await Deno.writeTextFile(
      `${folder}/deno.json`,
      JSON.stringify({ lock: false, imports }),
    );
    return new Programs(folder);
  }

  /** Writes the program of a command line; gives its path. */
  async print(name: string, args: string[]): Promise<string> {
    const { code, output, errors } = await runTool([...args, "--print-code"]);
    assertEquals([code, errors], [0, ""], args.join(" "));
    assert(output.includes(`"${SPECIFIER}"`), output);
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

  /** Runs `act` with the port of a program that listens, and ends it; gives its output. */
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
      port = /port: (\d+)/.exec(text)?.[1];
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
  ["bench", "h:1"],
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

Deno.test("Programs of --print-code are right by their types", async () => {
  await using programs = await Programs.make();
  const recording = `${programs.folder}/run.jsonl`;
  await Deno.writeTextFile(
    recording,
    '{"recording":1,"framing":["--netstrings"]}\n',
  );
  const all = [
    ...CHECKED,
    ["replay", recording, "h:1"],
    ["replay", recording, "h:1", "--speed", "max", "--diff"],
    ["replay", recording, "h:1", "--speed", "2.5", "--lines"],
    ["replay", recording, "h:1", "--json-sequence", "--diff"],
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

Deno.test("The program of proxy passes both directions on, and shows them", async () => {
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

Deno.test("The programs of replay and bench do what they do", async () => {
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

Deno.test("--print-code says what it has no program for", async () => {
  const cases: [string[], RegExp][] = [
    [["connect", "1", "--guess"], /no program for --guess/],
    [["connect", "1", "-e"], /--escapes in flags alone/],
    [["listen", "1", "--guess"], /no program for --guess/],
    [["proxy", "1", "2", "--latency", "1s"], /no program for faults/],
    [["proxy", "1", "2", "--pcap", "x"], /no program for --pcap/],
    [["bench", "1", "--answers", "2"], /no program for --answers/],
  ];
  for (const [args, message] of cases) {
    const { code, errors } = await runTool([...args, "--print-code"]);
    assertEquals(code, 2);
    assertMatch(errors, message);
  }
});
