/**
 * The tool as people use it: in pipes, in a terminal, and with the programs that it
 * talks to.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { lines, serve } from "../../mod.ts";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerFile,
  peerTest,
  type Program,
  start,
  temporaryFolder,
} from "./_peers.ts";

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const HOST = { hostname: "127.0.0.1", port: 0 } as const;
const framing = lines();

/** The command of the tool. */
function tool(...args: string[]): string[] {
  const permissions = [
    "--allow-net",
    "--allow-read",
    "--allow-write",
  ];
  return [
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    ...permissions,
    CLI,
    ...args,
  ];
}

interface Output {
  readonly code: number;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly errors: string;
}

/** Runs a command with these bytes as its standard input. */
async function runCommand(
  [command = "", ...args]: string[],
  input: Uint8Array | string = "",
  env: Record<string, string> = { NO_COLOR: "1" },
): Promise<Output> {
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env,
  }).spawn();
  const bytes = typeof input === "string" ? input : new Uint8Array(input);
  const fed = new Blob([bytes]).stream().pipeTo(child.stdin).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await fed;
  const decoder = new TextDecoder();
  return {
    code,
    bytes: stdout,
    text: decoder.decode(stdout),
    errors: decoder.decode(stderr),
  };
}

/** Starts a listening command of the tool, and returns its port. */
async function startListening(
  ...args: string[]
): Promise<{ program: Program; port: string }> {
  const program = start(tool(...args));
  const [port = ""] = await lineThat(
    program.stderr,
    /(?:Listening on|Passing) [\d.]+:(\d+)/,
  );
  return { program, port };
}

function capitals() {
  return serve({ ...HOST, framing }, async (connection) => {
    for await (const line of connection) {
      await connection.send(line.toUpperCase());
    }
  });
}

const hasShell = await isInstalled("sh");
const hasPython = await isInstalled("python3");
const hasNetcat = await isInstalled("nc");
const hasSocat = await isInstalled("socat");
const hasRedis = await isInstalled("redis-server");
const hasMemcached = await isInstalled("memcached");
const hasTshark = await isInstalled("tshark");

/** A command line, quoted for the shell. */
function quoted(command: string[]): string {
  return command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

peerTest(
  hasShell,
  "The tool works as a filter between other programs",
  async () => {
    await using server = capitals();
    const filter = quoted(tool("connect", `${server.addr.port}`));
    const { text, code, errors } = await runCommand([
      "sh",
      "-c",
      `printf 'b\\na\\n' | ${filter} | sort; echo "$?"`,
    ]);
    assertEquals([code, text, errors], [0, "A\nB\n0\n", ""]);
  },
);

peerTest(
  hasShell,
  "The tool ends silently when the reader of its output stops",
  async () => {
    await using server = serve(
      { ...HOST, framing, onError: () => {} },
      async (connection) => {
        for (;;) await connection.send("again");
      },
    );
    const filter = quoted(tool("connect", `${server.addr.port}`));
    const { text, errors } = await runCommand([
      "sh",
      "-c",
      `${filter} </dev/null | head -n 2`,
    ]);
    assertEquals([text, errors], ["again\nagain\n", ""]);
  },
);

Deno.test("Without a permission, the tool names it in one line", async () => {
  const command = ["deno", "run", "--quiet", "--no-prompt", CLI];
  const { code, text, errors } = await runCommand([
    ...command,
    "connect",
    "127.0.0.1:1",
  ]);
  assertEquals([code, text], [1, ""]);
  assertMatch(errors, /^framed: .*--allow-net.*\n$/);
  assertEquals((await runCommand([...command, "help"])).code, 0);
});

Deno.test("Ctrl-C ends a server of the tool cleanly", async () => {
  const { program, port } = await startListening("listen", "0", "--echo");
  await using _program = program;
  using conn = await Deno.connect({ port: Number(port) });
  await conn.write(new TextEncoder().encode("hello\n"));
  assertEquals((await program.stdout.next()).value, "hello");
  program.interrupt();
  assertEquals((await program.status).code, 0);
});

/** Runs the tool in a terminal, and returns its exit code and the screen. */
async function runInTerminal(
  steps: [wait: string, type: string][],
  args: string[],
  env: Record<string, string> = { NO_COLOR: "1", TERM: "xterm" },
): Promise<Output> {
  return await runCommand(
    [
      "python3",
      peerFile("terminal.py"),
      JSON.stringify(steps),
      ...tool(...args),
    ],
    "",
    env,
  );
}

/** A screen without control sequences. */
function plainScreen(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r", "");
}

peerTest(
  hasPython,
  "In a terminal, connect sends each typed line as a message",
  async () => {
    await using server = capitals();
    const { code, text } = await runInTerminal([
      ["/help lists", "hello\r"],
      ["HELLO", "/hex 68 69\r"],
      ["HI", "/stats\r"],
      ["received  2 messages", "//slash\r"],
      ["/SLASH", "/hex\r"],
      ["shown and read as hex", "6f6b\r"],
      ["|OK|", "/nope\r"],
      ["no command /nope", "/close\r"],
    ], ["connect", `${server.addr.port}`, "--no-history"]);
    assertEquals(code, 0, text);
    assertMatch(plainScreen(text), /< +\+[\d.]+ .?s +5 B {2}HELLO/);
    assertMatch(text, /Closed\r\n$/);
  },
);

peerTest(
  hasPython,
  "In a terminal, lines can be edited and recalled",
  async () => {
    await using server = capitals();
    const [up, left] = ["\x1b[A", "\x1b[D"];
    const { code, text } = await runInTerminal([
      ["/help lists", `ac${left}b\r`],
      ["ABC", `${up}d\r`],
      ["ABCD", "/sta\t"],
      ["/stats", "\r"],
      ["sent ", "\x03"],
    ], ["connect", `${server.addr.port}`, "--no-history"]);
    assertEquals(code, 0, text);
  },
);

peerTest(
  hasPython,
  "Ctrl-D and /half half-close, and the peer can still answer",
  async () => {
    await using server = serve({ ...HOST, framing }, async (connection) => {
      let count = 0;
      for await (const _line of connection) count++;
      await connection.send(`${count} lines`);
    });
    for (const end of ["\x04", "/half\r"]) {
      const { code, text } = await runInTerminal([
        ["/help lists", "a\r"],
        ["a\r", "b\r"],
        ["b\r", end],
        ["2 lines", ""],
      ], ["connect", `${server.addr.port}`, "--no-history"]);
      assertEquals(code, 0, text);
      assertMatch(
        plainScreen(text),
        /This side has ended[^]*The peer has ended the connection\n$/,
      );
    }
  },
);

peerTest(
  hasPython,
  "In a terminal, fewer messages than -n are an error",
  async () => {
    await using server = serve({ ...HOST, framing }, async (connection) => {
      await connection.send("one");
      await connection.receive();
    });
    const args = ["connect", `${server.addr.port}`, "--no-history", "-n"];
    const fewer = await runInTerminal([["one", "a\r"]], [...args, "2"]);
    assertEquals(fewer.code, 1, fewer.text);
    assertMatch(fewer.text, /framed: Received 1 of 2 messages, and then/);
    const closed = await runInTerminal([["one", "\x03"]], [...args, "2"]);
    assertEquals(closed.code, 0, closed.text);
    assertEquals((await runInTerminal([["one", ""]], [...args, "1"])).code, 0);
  },
);

peerTest(
  hasPython,
  "The tool prints colours in a terminal, unless NO_COLOR is set",
  async () => {
    const output = async (env: Record<string, string>) =>
      (await runInTerminal([["Verbs", ""]], ["help"], env)).text;
    const color = "\x1b[1mVerbs:";
    assert((await output({ TERM: "xterm", NO_COLOR: "" })).includes(color));
    assert(!(await output({ TERM: "xterm", NO_COLOR: "1" })).includes(color));
  },
);

peerTest(hasPython, "A peer cannot control the terminal", async () => {
  await using server = serve({ ...HOST, framing }, async (connection) => {
    await connection.receive();
    await connection.send("\x1b]0;owned\x07\x1b[2J");
  });
  const { text } = await runInTerminal(
    [["/help lists", "a\r"], ["\\x1b]0;owned\\x07\\x1b[2J", ""]],
    ["connect", `${server.addr.port}`, "--no-history"],
  );
  assert(!text.includes("\x1b[2J") && !text.includes("\x1b]0;"), text);
});

peerTest(
  hasPython,
  "listen in a terminal sends typed lines to all clients",
  async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/socket`;
    const answer = start([
      "python3",
      peerFile("terminal.py"),
      JSON.stringify([["Listening", ""], ["question", "answer\r"], [
        "ended",
        "\x03",
      ]]),
      ...tool("listen", `unix:${path}`, "--no-history"),
    ]);
    await using _answer = answer;
    let hasEnded = false;
    answer.status.then(() => hasEnded = true);
    let conn: Deno.UnixConn | undefined;
    while (conn === undefined) {
      assert(!hasEnded);
      // The terminal prints its own output last.
      conn = await Deno.connect({ transport: "unix", path }).catch(() =>
        undefined
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    using client = conn;
    await client.write(new TextEncoder().encode("question\n"));
    const buffer = new Uint8Array(100);
    const length = await client.read(buffer) ?? 0;
    assertEquals(
      new TextDecoder().decode(buffer.subarray(0, length)),
      "answer\n",
    );
    await client.closeWrite();
    await assertSuccess(answer);
  },
);

peerTest(hasPython, "bench shows a bar in a terminal", async () => {
  await using server = capitals();
  const { code, text } = await runInTerminal(
    [["a second", ""]],
    ["bench", `${server.addr.port}`, "-t", "500ms"],
  );
  assertEquals(code, 0);
  assertMatch(text, /\[#+-+\] \d+ % {2}[\d,]+ a second/);
  assertMatch(plainScreen(text), /Latency {3}min/);
});

peerTest(
  hasNetcat,
  "nc and the tool pass every byte to each other",
  async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const { program, port } = await startListening(
      "listen",
      "0",
      "--echo",
      "--raw",
      "--quiet",
    );
    await using _program = program;
    const echoed = await runCommand(["nc", "-N", "127.0.0.1", port], bytes);
    assertEquals(echoed.bytes, bytes);
  },
);

peerTest(
  hasSocat,
  "connect talks to socat, over TCP and over a Unix socket",
  async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/socket`;
    await using unix = start([
      "socat",
      "-d",
      "-d",
      `UNIX-LISTEN:${path}`,
      "EXEC:cat",
    ]);
    await lineThat(unix.stderr, /listening on/);
    const message = "no newline is added\0 or swallowed";
    const overUnix = await runCommand(
      tool("connect", `unix:${path}`, "--raw"),
      message,
    );
    assertEquals([overUnix.code, overUnix.text], [0, message]);

    await using tcp = start([
      "socat",
      "-d",
      "-d",
      "TCP-LISTEN:0,bind=127.0.0.1",
      "EXEC:cat",
    ]);
    const [port = ""] = await lineThat(tcp.stderr, /listening on .*:(\d+)$/);
    const overTcp = await runCommand(
      tool("connect", port, "--length", "4"),
      "one\ntwo\n",
    );
    assertEquals([overTcp.code, overTcp.text], [0, "one\ntwo\n"]);
  },
);

/** Redis on a Unix socket, so that it needs no free port. */
async function startRedis(
  folder: string,
): Promise<{ program: Program; address: string }> {
  const path = `${folder}/redis.sock`;
  const program = start([
    ...["redis-server", "--port", "0", "--unixsocket", path],
    ...["--save", "", "--appendonly", "no", "--dir", folder],
  ]);
  await lineThat(
    program.stdout,
    /Ready to accept connections|ready to accept connections at/,
  );
  return { program, address: `unix:${path}` };
}

peerTest(
  hasRedis,
  "connect, proxy, replay and bench talk to Redis",
  async () => {
    await using folder = await temporaryFolder();
    const { program: redis, address } = await startRedis(folder.path);
    await using _redis = redis;
    const once = await runCommand(
      tool("connect", address, "-m", "PING", "-n", "1"),
    );
    assertEquals([once.code, once.text], [0, "+PONG\n"]);
    const pipe = await runCommand(
      tool("connect", address),
      "SET a 1\nINCR a\nGET a\n",
    );
    assertEquals([pipe.code, pipe.text], [0, "+OK\n:2\n$1\n2\n"]);

    const recording = `${folder.path}/run.jsonl`;
    const { program, port } = await startListening(
      "proxy",
      "0",
      address,
      "--record",
      recording,
    );
    await using proxy = program;
    const through = await runCommand(
      tool("connect", port),
      "SET a 1\nINCR a\n",
    );
    assertEquals(through.text, "+OK\n:2\n");
    await lineThat(proxy.stderr, /#1 ended/);
    proxy.interrupt();
    assertEquals((await proxy.status).code, 0);
    const replayed = await runCommand(
      tool("replay", recording, address, "--diff"),
    );
    assertEquals([replayed.code, replayed.text], [0, ""]);

    const load = ["-m", "PING", "-c", "5", "-P", "10", "-t", "300ms", "--json"];
    const bench = await runCommand(tool("bench", address, ...load));
    assertEquals([bench.code, bench.errors], [0, ""]);
    const { requests, unanswered } = JSON.parse(bench.text);
    assert(requests > 100, bench.text);
    assertEquals(unanswered, 0);

    const guessed = await runCommand(
      tool("connect", address, "--guess", "--wait", "200ms"),
      "PING\r\nECHO hello\r\n",
    );
    assertMatch(guessed.text, /likely +--lines --eol crlf/);
  },
);

peerTest(hasMemcached, "connect talks to memcached", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/memcached.sock`;
  await using memcached = start(["memcached", "-vv", "-u", "root", "-s", path]);
  await lineThat(memcached.stderr, /server listening/);
  const args = ["connect", `unix:${path}`, "--eol", "crlf", "-n", "4"];
  const { code, text } = await runCommand(
    tool(...args),
    "set a 0 0 2\nhi\nget a\n",
  );
  assertEquals([code, text], [0, "STORED\nVALUE a 0 2\nhi\nEND\n"]);
});

peerTest(
  hasTshark,
  "tshark opens a capture of proxy and finds no errors",
  async () => {
    await using folder = await temporaryFolder();
    const capture = `${folder.path}/run.pcap`;
    await using server = capitals();
    const { program, port } = await startListening(
      ...["proxy", "0", `${server.addr.port}`, "--pcap", capture, "--quiet"],
    );
    await using proxy = program;
    const text = "abcdefghij".repeat(20_000);
    for (const input of ["hello\n", `${text}\n`]) {
      await runCommand(tool("connect", port), input);
    }
    await lineThat(proxy.stderr, /#2 ended/);
    proxy.interrupt();
    assertEquals((await proxy.status).code, 0);

    const tshark = async (...args: string[]) => {
      const checks = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
      ];
      const { code, text, errors } = await runCommand([
        "tshark",
        "-r",
        capture,
        ...checks,
        ...args,
      ]);
      assertEquals(code, 0, errors);
      return text;
    };
    const suspicious =
      "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0";
    assertEquals(await tshark("-Y", `${suspicious} || _ws.malformed`), "");
    const stream = await tshark("-q", "-z", "follow,tcp,ascii,0");
    assertMatch(stream, /\n6\nhello[^]*\t6\nHELLO/);
    const lengths = await tshark(
      "-Y",
      "tcp.stream == 1",
      "-T",
      "fields",
      "-e",
      "tcp.len",
    );
    const total = lengths.trim().split("\n").reduce(
      (sum, each) => sum + Number(each),
      0,
    );
    assertEquals(total, 2 * (text.length + 1));
  },
);

peerTest(hasShell, "bash completes verbs, flags and values", async () => {
  const complete = `
    command -v bash >/dev/null || { echo none; exit; }
    ${quoted(tool("completion", "bash"))} > "$1/framed.bash"
    bash --norc -c '
      source "$1/framed.bash"
      complete_line() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _framed; echo "\${COMPREPLY[*]}"
      }
      complete_line framed pro
      complete_line framed connect --nets
      complete_line framed listen 1 --eol ""
    ' bash "$1"`;
  await using folder = await temporaryFolder();
  const { text } = await runCommand(["sh", "-c", complete, "sh", folder.path]);
  if (text === "none\n") return; // bash is not installed
  assertEquals(text, "proxy\n--netstrings\nlf crlf\n");
});

peerTest(hasPython, "zsh completes verbs, flags and values", async () => {
  await using folder = await temporaryFolder();
  const script = `${folder.path}/framed.zsh`;
  await Deno.writeTextFile(
    script,
    (await runCommand(tool("completion", "zsh"))).text,
  );
  const hasZsh = await runCommand(["sh", "-c", "command -v zsh"]);
  if (hasZsh.code !== 0) return; // zsh is not installed
  const steps = [
    [
      "",
      `PS1='> '; autoload -U compinit; compinit -D -u; source ${script}; echo rea''dy\r`,
    ],
    ["ready", "framed pro\t"],
    ["framed proxy", "1 2 --nets\t"],
    ["--netstrings", "--eol cr\t"],
    // Ctrl-U, because zsh ignores Ctrl-C during a completion.
    ["crlf ", "\x15exit\r"],
  ];
  const { code, text, errors } = await runCommand(
    ["python3", peerFile("terminal.py"), JSON.stringify(steps), "zsh", "-f"],
    "",
    { TERM: "dumb" },
  );
  assert(text.includes("crlf"), `${code} ${text}${errors}`);
});
