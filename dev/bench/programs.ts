// deno-lint-ignore-file no-console

/** The programs that take part: how to build, start and name each. */

import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

/** The names of all programs, the module's own first. */
export const PROGRAM_NAMES = [
  "framed",
  "0.1",
  "std",
  "deno",
  "framed-node",
  "node",
  "framed-bun",
  "bun",
  "go",
  "tokio",
] as const;

/** The known programs. */
export type ProgramName = typeof PROGRAM_NAMES[number];

/** The program of a subject such as `node/echo`. */
export function programOf(subject: string): ProgramName {
  const name = PROGRAM_NAMES.find((name) => subject.startsWith(`${name}/`));
  if (name === undefined) {
    throw new TypeError(`No program begins the subject "${subject}"`);
  }
  return name;
}

/** A program that can be started. */
export interface Program {
  command: string[];
  env: Record<string, string>;
  version: string;
}

const DENO_VERSION = `Deno ${Deno.version.deno}`;
const SPLIT2 = "split2@4.2.0";

/** The last commit of version 0.1. */
const COMMIT_OF_01 = "1b8e541";

const PEERS = new URL("./peers/", import.meta.url);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TEST_DATA = fileURLToPath(new URL("../testdata/", import.meta.url));
const BUILD_TIMEOUT_MS = 300_000;

/** The folder of Debian's packages of Rust crates. */
const DEBIAN_CRATES = "/usr/share/cargo/registry";

/** The folder that keeps built programs for the next run. */
function cacheFolder(): string {
  const home = Deno.env.get("HOME") ?? "/tmp";
  return `${
    Deno.env.get("XDG_CACHE_HOME") ?? `${home}/.cache`
  }/framed_tcp_bench`;
}

async function output(
  command: string,
  args: string[],
  cwd?: string,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    ...(cwd && { cwd }),
    stdin: "null",
    signal: AbortSignal.timeout(BUILD_TIMEOUT_MS),
  }).output();
  if (!success) {
    const lastLine = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    throw new Error(`${command} failed: ${lastLine}`);
  }
  return new TextDecoder().decode(stdout).trim();
}

function peerPath(name: string): string {
  return fileURLToPath(new URL(name, PEERS));
}

/** Copies a folder, except files that are the same: build tools compare file times. */
async function copySources(name: string): Promise<string> {
  const target = `${cacheFolder()}/${name}`;
  await copyFolder(peerPath(name), target);
  return target;
}

async function copyFolder(source: string, target: string): Promise<void> {
  await Deno.mkdir(target, { recursive: true });
  for await (const entry of Deno.readDir(source)) {
    const [from, to] = [`${source}/${entry.name}`, `${target}/${entry.name}`];
    if (entry.isDirectory) {
      await copyFolder(from, to);
    } else {
      const text = await Deno.readTextFile(from);
      const before = await Deno.readTextFile(to).catch(() => undefined);
      if (text !== before) await Deno.writeTextFile(to, text);
    }
  }
}

function denoProgram(
  file: string,
  version: string,
  flags: string[] = [`--allow-read=${TEST_DATA}`],
): Program {
  return {
    command: [
      Deno.execPath(),
      "run",
      "--quiet",
      "--allow-net=127.0.0.1",
      ...flags,
      peerPath(file),
    ],
    env: {},
    version,
  };
}

/** Checks version 0.1 out of git while the programs are needed. */
async function prepare01(stack: AsyncDisposableStack): Promise<Program> {
  const folder = await Deno.makeTempDir({ prefix: "framed_tcp_0_1_" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const archive = `${folder}/0.1.tar`;
  try {
    await output("git", ["archive", "-o", archive, COMMIT_OF_01], ROOT);
  } catch (error) {
    throw new Error(`${messageOf(error)}; a shallow clone does not have it`);
  }
  await output("tar", ["-xf", archive, "-C", folder]);
  // With its own configuration, so that it gets its own dependencies.
  const version = `@framed/tcp 0.1, commit ${COMMIT_OF_01}`;
  const program = denoProgram("framed_0_1.ts", version, [
    `--config=${folder}/deno.json`,
    "--allow-read", // modules that are imported by a computed path
    "--allow-env=BENCH_FRAMED_0_1",
  ]);
  return { ...program, env: { BENCH_FRAMED_0_1: folder } };
}

async function prepareStd(): Promise<Program> {
  // A stand-in has no meaningful version; its rows say that it is one.
  const isReal = "DelimiterStream" in await import("@std/streams");
  const version = isReal ? config.imports["@std/streams"] : DENO_VERSION;
  return denoProgram("std_streams.ts", version);
}

/** The current version, under the name that `.ci/run` gives it, or the installed one. */
async function nodeCommand(): Promise<string> {
  try {
    await output("node-current", ["--version"]);
    return "node-current";
  } catch {
    return "node";
  }
}

async function prepareNode(): Promise<Program> {
  const node = await nodeCommand();
  const version = `Node ${await output(node, ["--version"])}`;
  return await withSplit2([node, peerPath("node.mjs")], version);
}

async function prepareBun(): Promise<Program> {
  const version = `Bun ${await output("bun", ["--version"])}`;
  return await withSplit2(["bun", peerPath("node.mjs")], version);
}

/** The module over node:net, in one of the runtimes that have it. */
async function prepareFramedNode(
  runtime: "node" | "bun",
  stack: AsyncDisposableStack,
): Promise<Program> {
  const command = runtime === "bun" ? "bun" : await nodeCommand();
  const version = await output(command, ["--version"]);
  const folder = await Deno.makeTempDir({ prefix: "framed_tcp_node_" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const file = `${folder}/framed_node.mjs`;
  const bundle = ["bundle", "--quiet", "--platform=browser"];
  await output(Deno.execPath(), [
    ...bundle,
    "--external=node:*",
    `--output=${file}`,
    peerPath("framed_node.ts"),
  ], ROOT);
  return {
    command: [command, file],
    env: {},
    version: runtime === "bun" ? `Bun ${version}` : `Node ${version}`,
  };
}

async function withSplit2(
  command: string[],
  version: string,
): Promise<Program> {
  const folder = `${cacheFolder()}/node`;
  await Deno.mkdir(folder, { recursive: true });
  const install = [
    "install",
    "--prefix",
    folder,
    "--ignore-scripts",
    "--no-audit",
    SPLIT2,
  ];
  try {
    await Deno.stat(`${folder}/node_modules/split2`).catch(() =>
      output("npm", install)
    );
  } catch (error) {
    console.error(`split2 cannot be installed: ${messageOf(error)}`);
    return { command, env: {}, version };
  }
  return {
    command,
    env: { BENCH_NODE_FOLDER: folder },
    version: `${version}, ${SPLIT2}`,
  };
}

async function prepareGo(): Promise<Program> {
  const version = await output("go", ["version"]);
  const folder = await copySources("go");
  await output("go", ["build", "-o", "bench", "."], folder);
  const [, number] = /go(\d\S*)/.exec(version) ?? [];
  return { command: [`${folder}/bench`], env: {}, version: `Go ${number}` };
}

async function prepareTokio(): Promise<Program> {
  const crates: string[] = [];
  for await (const { name } of Deno.readDir(DEBIAN_CRATES)) {
    if (/^tokio(-util)?-\d/.test(name)) crates.push(name);
  }
  const folder = await copySources("tokio");
  const offline = [
    'source.crates-io.replace-with="debian"',
    `source.debian.directory="${DEBIAN_CRATES}"`,
  ].flatMap((setting) => ["--config", setting]);
  await output(
    "cargo",
    ["build", "--release", "--offline", ...offline],
    folder,
  );
  const [, number] = /(\d\S*)/.exec(await output("rustc", ["--version"])) ?? [];
  return {
    command: [`${folder}/target/release/bench`],
    env: {},
    version: `Rust ${number}, ${crates.sort().join(", ")}`,
  };
}

const PROGRAMS: Record<
  ProgramName,
  (stack: AsyncDisposableStack) => Program | Promise<Program>
> = {
  framed: () => denoProgram("framed.ts", DENO_VERSION),
  "0.1": prepare01,
  std: prepareStd,
  deno: () => denoProgram("deno.ts", DENO_VERSION),
  "framed-node": (stack) => prepareFramedNode("node", stack),
  node: prepareNode,
  "framed-bun": (stack) => prepareFramedNode("bun", stack),
  bun: prepareBun,
  go: prepareGo,
  tokio: prepareTokio,
};

/** The message of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The programs that can run here, and the reasons why the others cannot. Temporary
 * resources are put on the stack.
 */
export async function preparePrograms(
  names: Iterable<ProgramName>,
  stack: AsyncDisposableStack,
): Promise<{
  programs: Map<ProgramName, Program>;
  missing: Map<ProgramName, string>;
}> {
  const programs = new Map<ProgramName, Program>();
  const missing = new Map<ProgramName, string>();
  for (const name of new Set(names)) {
    try {
      programs.set(name, await PROGRAMS[name](stack));
    } catch (error) {
      missing.set(name, messageOf(error));
    }
  }
  return { programs, missing };
}
