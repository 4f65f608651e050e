import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { drawRun, type Sample } from "./_plot.ts";

// The permissions of each lesson, as in the task that runs them all.
const LESSONS = {
  listenAndConnect: ["--allow-net=127.0.0.1", "listen_and_connect.ts"],
  backpressure: [
    "--allow-net=127.0.0.1",
    "--allow-run=cat",
    "backpressure.ts",
  ],
  framing: ["--allow-net=127.0.0.1", "framing.ts"],
} as const;

type Lesson = (typeof LESSONS)[keyof typeof LESSONS];

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** A lesson that runs in its own process. */
class Program implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #stdout: ReadableStreamDefaultReader<string>;
  readonly #stderr: Promise<string>;
  #text = "";

  constructor(lesson: Lesson, flags: string[] = []) {
    const [file = "", ...permissions] = [...lesson].reverse();
    this.#process = new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        ...permissions,
        file,
        ...flags,
      ],
      cwd: new URL(".", import.meta.url),
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    this.#stderr = new Response(this.#process.stderr).text();
  }

  /** Reads the output up to a match of `pattern`. */
  async until(pattern: RegExp): Promise<RegExpMatchArray> {
    while (true) {
      const match = this.#text.match(pattern);
      if (match !== null) return match;
      const hasMore = await this.#read();
      assert(hasMore, `${pattern} is not in the output: ${this.#text}`);
    }
  }

  interrupt(): void {
    this.#process.kill("SIGINT");
  }

  async end(): Promise<Result> {
    while (await this.#read());
    const { code } = await this.#process.status;
    return { code, stdout: this.#text, stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    await this.end();
  }

  async #read(): Promise<boolean> {
    const { value, done } = await this.#stdout.read();
    this.#text += value ?? "";
    return !done;
  }
}

async function run(lesson: Lesson, flags: string[] = []): Promise<Result> {
  await using program = new Program(lesson, flags);
  return await program.end();
}

/** Runs each side in its own process; Ctrl-C ends the server. */
async function runApart(
  lesson: Lesson,
): Promise<{ server: Result; client: Result }> {
  await using serverProgram = new Program(lesson, ["--server", "--port", "0"]);
  const [, port = ""] = await serverProgram.until(/listening on port (\d+)/);
  const client = await run(lesson, ["--client", "--port", port]);
  serverProgram.interrupt();
  return { server: await serverProgram.end(), client };
}

function assertSuccess(...results: Result[]): void {
  for (const { code, stderr } of results) {
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  }
}

/**
 * Asserts that each page with the lessons shows the command of this lesson, and an
 * output with the same lines as `stdout` except for the figures.
 *
 * @returns The output on each page.
 */
async function outputsInPages(
  lesson: Lesson,
  stdout: string,
): Promise<string[]> {
  const file = lesson.at(-1);
  const permissions = lesson.slice(0, -1).join(" ");
  const opening =
    `\`\`\`sh\ndeno run ${permissions} examples/${file}\n\`\`\`\n\n\`\`\`text\n`;
  const outputs: string[] = [];
  for (const page of ["lesson.md", "lesson.ko.md"]) {
    const url = new URL(`../docs/${page}`, import.meta.url);
    const text = await Deno.readTextFile(url);
    const [, rest = ""] = text.split(opening);
    const [output = ""] = rest.split("```");
    assertEquals(kindsOfLines(output), kindsOfLines(stdout), page);
    outputs.push(output);
  }
  return outputs;
}

/** The distinct lines of an output, sorted, without figures, states and quotes. */
function kindsOfLines(output: string): string[] {
  const lines = output.trimEnd().split("\n")
    .filter((line) => !line.startsWith('  "')) // Reads may end at other bytes.
    .map((line) =>
      line.trim().replace(/ +/g, " ").replace(/[\d.,]+/g, "0")
        .replace(/running|stopped|done/, "running")
    );
  return [...new Set(lines)].sort();
}

/** On Windows no signal can end a process gracefully. */
const cannotInterrupt = Deno.build.os === "windows";

Deno.test("listen_and_connect.ts serves one client after another", async () => {
  const result = await run(LESSONS.listenAndConnect);

  assertSuccess(result);
  for (const number of [1, 2, 3]) {
    assertStringIncludes(
      result.stdout,
      `Server: received "hello from client ${number}"\n`,
    );
  }
  assertEquals(result.stdout.match(/the client has closed/g)?.length, 3);
  await outputsInPages(LESSONS.listenAndConnect, result.stdout);
});

Deno.test({
  name: "listen_and_connect.ts runs its sides as two processes",
  ignore: cannotInterrupt,
  async fn() {
    const { server, client } = await runApart(LESSONS.listenAndConnect);

    assertSuccess(server, client);
    assertStringIncludes(server.stdout, 'received "hello from client 3"');
    assertStringIncludes(
      client.stdout,
      'Client 3: received "I heard "hello from client 3""',
    );
  },
});

/** The states of the sender in the timeline, without repetitions. */
function senderStates(stdout: string): string[] {
  const states = stdout.matchAll(/^ +[\d.]+ s +(running|stopped|done) /gm);
  return [...states].map(([, state = ""]) => state)
    .filter((state, index, all) => state !== all[index - 1]);
}

function assertBackpressureSeen(stdout: string): void {
  assertEquals(
    senderStates(stdout).slice(0, 3),
    ["running", "stopped", "running"],
  );
  const [, made, read] =
    stdout.match(/^Sender: made ([\d,]+) bytes, receiver: read ([\d,]+)$/m) ??
      [];
  assert(made !== undefined && made === read, `${made} made, ${read} read`);
  assertMatch(stdout, /^Answer: yes.* stood still for [\d.]+ s/m);
}

// One test for all, so that the slow runs are parallel.
Deno.test("backpressure.ts shows a sender stop and continue, as text and as SVG, and runs its sides as two processes", async () => {
  const [result, drawing, apart] = await Promise.all([
    run(LESSONS.backpressure),
    run(LESSONS.backpressure, ["--svg"]),
    cannotInterrupt ? undefined : runApart(LESSONS.backpressure),
  ]);

  assertSuccess(result);
  assertBackpressureSeen(result.stdout);
  const outputs = await outputsInPages(LESSONS.backpressure, result.stdout);
  outputs.forEach(assertBackpressureSeen);
  assertEquals(drawing.code, 0, drawing.stderr);
  assertMatch(drawing.stderr, /^Answer: yes/m);
  assertDrawn(drawing.stdout);
  const shown = new URL("../docs/lesson.svg", import.meta.url);
  assertDrawn(await Deno.readTextFile(shown));

  if (apart === undefined) return;
  const { server, client } = apart;
  assertSuccess(server, client);
  assertBackpressureSeen(client.stdout);
  assertStringIncludes(server.stdout, "reading 7 bytes at a time");
});

/** Asserts that an SVG is well-formed and shows a possible run. */
function assertDrawn(drawing: string): void {
  // `deno fmt` may have changed the line breaks.
  const svg = drawing.replace(/\s+/g, " ");
  assertWellFormed(svg);
  const samples = drawnSamples(svg);
  for (const [index, sample] of samples.entries()) {
    const before = samples[index - 1] ?? sample;
    const { made, sent, received, queued, kernel } = sample;
    const figures = JSON.stringify(sample);
    assertEquals(made, sent + queued, figures);
    assert(made >= before.made && sent >= before.sent, figures);
    assert(received >= before.received, figures);
    // The kernel may have finished a write that the process has not seen yet, and bytes
    // that have arrived but are not acknowledged count at both ends: the difference is
    // at most a queue or a receive buffer.
    assert(Math.abs(sent - received - kernel) <= 256 * 1024, figures);
  }
  const last = samples.at(-1);
  assert(last !== undefined && last.made > 0);
  const { made, sent, received, queued, kernel } = last;
  assertEquals([sent, received], [made, made]);
  assertEquals([queued, kernel], [0, 0]);
  assertMatch(svg, /the sender stands still: [\d.]+ s/);

  const [sentLine = [], receivedLine = []] = linesIn(svg);
  assertEquals(sentLine.length, samples.length);
  assertEquals(sentLine.at(-1), receivedLine.at(-1));
}

/** Asserts that all tags are nested and closed, and no other text is left. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  const rest = svg.trim().replace(
    /<(\/?)(\w+)((?: [\w:-]+="[^"<]*")*) ?(\/?)>/g,
    (_, close, name, _attributes, isEmpty) => {
      if (close) assertEquals(open.pop(), name);
      else if (!isEmpty) open.push(name);
      return "";
    },
  );
  assertEquals(open, []);
  assert(svg.startsWith("<svg ") && svg.trim().endsWith("</svg>"));
  assertEquals(rest.match(/<|&(?!amp;|lt;)/g), null);
}

/** The figures in the tooltips of a drawing. */
function drawnSamples(svg: string) {
  const titles = [...svg.matchAll(/<title>(.*?)<\/title>/g)];
  return titles.map(([, title = ""]) => {
    const [made = NaN, sent = NaN, received = NaN, queued = NaN, ...kernel] = [
      ...title.matchAll(/(?<=: | )[\d,]+(?= |,|;|$)/g),
    ]
      .map(([digits]) => Number(digits.replaceAll(",", "")));
    const inKernel = kernel.reduce((sum, bytes) => sum + bytes, 0);
    return { made, sent, received, queued, kernel: inKernel };
  });
}

/** The points of each line in a drawing. */
function linesIn(svg: string): string[][] {
  return [...svg.matchAll(/<polyline points="([^"]*)"/g)]
    .map(([, points = ""]) => points.split(" "));
}

Deno.test("drawRun() draws each figure to scale", () => {
  const samples: Sample[] = [
    [0, 0, 0, 0, 0, 0],
    [1000, 110, 100, 20, 60, 20],
    [3000, 110, 100, 20, 60, 20],
    [4000, 200, 200, 200, 0, 0],
  ].map(([time = 0, made = 0, sent = 0, received = 0, near = 0, far = 0]) => (
    { time, made, sent, received, sendBuffer: near, farBuffer: far }
  ));
  const svg = drawRun(samples);

  assertWellFormed(svg);
  assertStringIncludes(svg, "the sender stands still: 2.0 s");
  const heights = linesIn(svg).map((points) => {
    const ys = points.map((point) => Number(point.split(",")[1]));
    const [bottom = NaN] = ys;
    const scale = bottom - Math.min(...ys);
    return ys.map((y) => Math.round((bottom - y) / scale * 100));
  });
  assertEquals(heights, [
    [0, 50, 50, 100],
    [0, 10, 10, 100],
    [0, 100, 100, 0],
    [0, 100, 100, 0],
    [0, 100, 100, 0],
  ]);
});

Deno.test("drawRun() draws both kernel buffers as one if their figures are unknown", () => {
  const svg = drawRun([0, 1000, 1500].map((time) => ({
    time,
    made: time,
    sent: time,
    received: time / 2,
    sendBuffer: undefined,
    farBuffer: undefined,
  })));

  assertWellFormed(svg);
  assertStringIncludes(svg, "Waiting in the kernel, on both sides");
  assertEquals(drawnSamples(svg).map(({ kernel }) => kernel), [0, 500, 750]);
  assert(!svg.includes("stands still:"), svg);
});

Deno.test({
  name: "backpressure.ts shows the bytes that wait in the kernel",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using program = new Program(LESSONS.backpressure);
    const [, queued = "", sendBuffer = "", farBuffer = ""] = await program
      .until(/stopped +[\d,]+ +([\d,]+) +([\d,]+) +([\d,]+)\n/);

    for (const count of [queued, sendBuffer, farBuffer]) {
      assert(Number(count.replaceAll(",", "")) > 0, `${count} is not above 0`);
    }
  },
});

/** The texts below one of two titles. */
function listed(stdout: string, title: string): string[] {
  const [, list = ""] = stdout.split(title);
  return [...list.split("Server:")[0]?.matchAll(/^ {2}(".*")$/gm) ?? []]
    .map(([, json = ""]) => JSON.parse(json));
}

function assertFramed(stdout: string): void {
  const messages = Array.from({ length: 10 }, (_, i) => `>>>${i + 1}<<< `);
  assertEquals(listed(stdout, "Framed,"), messages);
  const chunks = listed(stdout, "Unframed,");
  const bytes = messages.map((message) => `${message}\n`).join("");
  assertEquals(chunks.join(""), bytes);
  // Reads and messages differ in size, so some messages are cut.
  assert(chunks.some((chunk) => !chunk.endsWith("\n")));
}

Deno.test("framing.ts shows the same bytes unframed and framed", async () => {
  const result = await run(LESSONS.framing);

  assertSuccess(result);
  assertFramed(result.stdout);
  const outputs = await outputsInPages(LESSONS.framing, result.stdout);
  outputs.forEach(assertFramed);
});

Deno.test({
  name: "framing.ts runs its sides as two processes",
  ignore: cannotInterrupt,
  async fn() {
    const { server, client } = await runApart(LESSONS.framing);

    assertSuccess(server, client);
    assertFramed(server.stdout);
    assertStringIncludes(client.stdout, "sent 10 messages");
  },
});

for (const lesson of Object.values(LESSONS)) {
  const file = lesson.at(-1);

  Deno.test(`${file} prints its usage for wrong flags`, async () => {
    for (
      const flags of [
        ["--nope"],
        ["--port"],
        ["--port", "many"],
        ["--port", "65536"],
        ["more"],
      ]
    ) {
      const { code, stdout, stderr } = await run(lesson, flags);

      assertEquals(code, 2, flags.join(" "));
      assertEquals(stdout, "");
      assertStringIncludes(stderr, `Usage: deno run -N examples/${file}`);
      assert(!stderr.includes("    at "), stderr);
    }
  });

  Deno.test(`${file} reports in one line that there is no server`, async () => {
    // A free port: its server has ended.
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const { code, stderr } = await run(lesson, [
      "--client",
      "--port",
      `${port}`,
    ]);

    assertEquals(code, 1);
    assertMatch(stderr, /^Cannot run examples\/\w+\.ts: .+\n$/);
  });

  Deno.test({
    name: `${file} ends its server at Ctrl-C`,
    ignore: cannotInterrupt,
    async fn() {
      await using program = new Program(lesson, ["--server", "--port", "0"]);
      await program.until(/listening on port/);
      program.interrupt();

      assertSuccess(await program.end());
    },
  });
}

for (const lesson of [LESSONS.listenAndConnect, LESSONS.backpressure]) {
  Deno.test({
    name: `${lesson.at(-1)} ends both sides at Ctrl-C`,
    ignore: cannotInterrupt,
    async fn() {
      await using program = new Program(lesson);
      await program.until(/listening on port/);
      program.interrupt();
      const { code, stderr } = await program.end();

      assertEquals({ code, stderr }, { code: 130, stderr: "" });
    },
  });
}

Deno.test({
  name: "backpressure.ts reports in one line that its receiver has gone",
  ignore: cannotInterrupt,
  async fn() {
    const lesson = LESSONS.backpressure;
    await using server = new Program(lesson, ["--server", "--port", "0"]);
    const [, port = ""] = await server.until(/listening on port (\d+)/);
    await using client = new Program(lesson, ["--client", "--port", port]);
    await client.until(/stopped/);
    server.interrupt();
    const { code, stderr } = await client.end();

    assertEquals(code, 1);
    assertMatch(stderr, /^Cannot run examples\/backpressure\.ts: .+\n$/);
    assertSuccess(await server.end());
  },
});

Deno.test("The lessons list their flags with --help", async () => {
  const { code, stdout, stderr } = await run(LESSONS.framing, ["--help"]);

  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertMatch(stdout, /--server .*\n.*--client .*\n.*--port /);
});
