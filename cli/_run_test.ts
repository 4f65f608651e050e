import { assert, assertEquals, assertMatch } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { run } from "./_run.ts";
import { OutputClosed } from "./_shell.ts";
import { FakeShell, runTool } from "./_testing.ts";
import { flagsOf, VERBS } from "./_verbs.ts";

Deno.test("Without arguments and with help, the tool lists its verbs", async () => {
  for (
    const args of [
      [],
      ["help"],
      ["--help"],
      ["-h"],
      ["help", "help"],
      ["help", "completion"],
      ["completion", "--help"],
    ]
  ) {
    const { code, output, errors } = await runTool(args);
    assertEquals([code, errors], [0, ""]);
    for (const { name } of VERBS) assert(output.includes(`\n  ${name} `), name);
  }
});

for (const verb of VERBS) {
  Deno.test(`The help of ${verb.name} has every flag and valid examples`, async () => {
    const { code, output } = await runTool(["help", verb.name]);
    assertEquals(code, 0);
    assertEquals((await runTool([verb.name, "--help"])).output, output);
    for (const { name } of flagsOf(verb)) {
      assert(output.includes(`--${name}`), name);
    }
    assert(verb.examples.length > 0);
    for (const line of output.split("\n")) {
      // Only example lines may be longer.
      assert(line.length <= 80 || line.startsWith("  framed"), line);
    }
    // Parsed, but not up to opening the files that some examples name.
    for (const [example] of verb.examples) {
      const words = wordsOf(example.replace(/ [<>] \S+$/, ""));
      const { code, errors } = await runTool([...words, "--print-code"]);
      assert(
        code === 0 || /run\.jsonl/.test(errors),
        `${example}: ${errors}`,
      );
    }
  });
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) =>
    quoted ?? plain ?? ""
  );
}

Deno.test("Flags of a verb have different names and letters", () => {
  for (const verb of VERBS) {
    const names = flagsOf(verb).flatMap(({ name, short }) =>
      short ? [name, short] : [name]
    );
    assertEquals(names.length, new Set(names).size, verb.name);
  }
});

Deno.test("--version prints the version of the package", async () => {
  assertEquals(
    (await runTool(["--version"])).output,
    `framed ${config.version}\n`,
  );
});

Deno.test("Wrong usage prints one line and exits with code 2", async () => {
  const cases: [string[], string][] = [
    [
      ["conect"],
      'There is no verb "conect", only connect, listen, proxy, replay, bench (see framed help)',
    ],
    [
      ["help", "x"],
      'There is no verb "x", only connect, listen, proxy, replay, bench (see framed help)',
    ],
    [
      ["connect"],
      "connect needs ADDRESS: ADDRESS is missing (see framed connect --help)",
    ],
    [
      ["proxy", "1"],
      "proxy needs LISTEN TARGET: TARGET is missing (see framed proxy --help)",
    ],
    [
      ["connect", "localhost", "80"],
      'connect takes ADDRESS alone, not "80": an address is written localhost:80 (see framed connect --help)',
    ],
    [
      ["connect", "x"],
      'The address must be HOST:PORT, PORT or unix:PATH: current value is "x" (see framed connect --help)',
    ],
    [
      ["connect", "1", "--nettring"],
      "Unknown option '--nettring' (see framed connect --help)",
    ],
    [
      ["connect", "1", "--net"],
      "Unknown option '--net': did you mean --netstrings? (see framed connect --help)",
    ],
    [
      ["connect", "1", "--text", "--hex"],
      "--text and --hex are two formats: give one (see framed connect --help)",
    ],
    [
      ["connect", "1", "--wait", "-1"],
      "Option '--wait' argument begins with a dash: write it after = (see framed connect --help)",
    ],
    ...["connect", "bench"].map((verb): [string[], string] => [
      [verb, "1", "--netstrings", "--max-length", "3", "-m", "four"],
      `--message does not fit: Cannot encode message of 4 bytes: longer than maxLength of 3 bytes (see framed ${verb} --help)`,
    ]),
    [
      ["listen", "1", "--netstrings", "--max-length", "3", "--reply", "four"],
      "--reply does not fit: Cannot encode message of 4 bytes: longer than maxLength of 3 bytes (see framed listen --help)",
    ],
    [
      ["bench", "1", "-t", "0"],
      "bench needs a --time above 0 (see framed bench --help)",
    ],
    [
      ["completion"],
      "completion needs the name of a shell: bash or zsh (see framed help)",
    ],
  ];
  for (const [args, message] of cases) {
    assertEquals(await runTool(args), {
      code: 2,
      output: "",
      errors: `framed: ${message}\n`,
    });
  }
});

Deno.test("Only terminals get colours, and not with NO_COLOR", async () => {
  const output = async (isTerminal: boolean, hasColor: boolean) =>
    (await runTool(["help"], { isTerminal, hasColor })).output.includes(
      "\x1b[",
    );
  assertEquals(
    [
      await output(true, true),
      await output(true, false),
      await output(false, true),
    ],
    [true, false, false],
  );
});

Deno.test("The tool ends silently when the reader of its output stops", async () => {
  const shell = new FakeShell();
  shell.write = () => Promise.reject(new OutputClosed("closed"));
  assertEquals(await run(["help"], shell), 0);
  assertEquals(shell.errors, "");
});

Deno.test("completion offers every verb and every flag", async () => {
  for (const name of ["bash", "zsh"]) {
    const { code, output } = await runTool(["completion", name]);
    assertEquals(code, 0);
    for (const verb of VERBS) {
      assertMatch(output, new RegExp(`\\n +${verb.name}\\)`));
      for (const { name } of flagsOf(verb)) {
        assert(output.includes(`--${name}`), name);
      }
    }
  }
});
