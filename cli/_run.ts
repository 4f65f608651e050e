/**
 * Runs a command line: finds the verb, and turns errors into one line and a code.
 *
 * @module
 */
import { parseFlags } from "./_flags.ts";
import { reasonOf } from "./_reason.ts";
import { Interrupted, OutputClosed, type Shell } from "./_shell.ts";
import { UsageError } from "./_values.ts";
import { flagsOf, type Verb, VERBS } from "./_verbs.ts";

const FAILED = 1;
const WRONG_USAGE = 2;
// What a shell gives for a program that Ctrl-C has ended.
const INTERRUPTED = 130;

/** Runs a command line; returns its exit code. Every error is printed as one line. */
export async function run(
  args: readonly string[],
  shell: Shell,
): Promise<number> {
  const [name, ...rest] = args;
  try {
    return await dispatch(name, rest, shell);
  } catch (error) {
    if (error instanceof OutputClosed) return 0;
    if (error instanceof Interrupted) return INTERRUPTED;
    const isUsage = error instanceof UsageError;
    const verb = VERBS.find((each) => each.name === name);
    const hint = isUsage
      ? ` (see framed ${verb === undefined ? "help" : `${verb.name} --help`})`
      : "";
    shell.note(`framed: ${reasonOf(error)}${hint}`);
    return isUsage ? WRONG_USAGE : FAILED;
  }
}

async function dispatch(
  name: string | undefined,
  rest: readonly string[],
  shell: Shell,
): Promise<number> {
  switch (name) {
    case undefined:
    case "help":
    case "--help":
    case "-h":
      return await printHelp(rest[0], shell);
    case "--version":
    case "-V": {
      await shell.write(`framed ${await version()}\n`);
      return 0;
    }
    case "completion": {
      if (rest.includes("--help") || rest.includes("-h")) {
        return await printHelp(name, shell);
      }
      const { completion } = await import("./_completion.ts");
      await shell.write(completion(rest));
      return 0;
    }
  }
  const verb = verbOf(name);
  const { flags, positionals } = parseFlags(rest, flagsOf(verb));
  if (flags.has("help")) return await printHelp(name, shell);
  checkArgs(verb, positionals);
  const command = { flags, args: positionals };
  const { run, code } = await verb.load();
  if (flags.has("print-code")) {
    await shell.write(await code(command));
    return 0;
  }
  return await run(command, shell);
}

function verbOf(name: string): Verb {
  const verb = VERBS.find((each) => each.name === name);
  if (verb === undefined) {
    throw new UsageError(
      `There is no verb "${name}", only ${
        VERBS.map((each) => each.name).join(", ")
      }`,
    );
  }
  return verb;
}

function checkArgs(verb: Verb, args: readonly string[]): void {
  const missing = verb.args[args.length];
  if (missing !== undefined) {
    throw new UsageError(
      `${verb.name} needs ${verb.args.join(" ")}: ${missing} is missing`,
    );
  }
  const extra = args[verb.args.length];
  if (extra !== undefined) {
    const isPort = /^\d+$/.test(extra) && args.length === verb.args.length + 1;
    const place = `${args.at(-2)}:${extra}`;
    throw new UsageError(
      `${verb.name} takes ${verb.args.join(" ")} alone, not "${extra}"${
        isPort ? `: an address is written ${place}` : ""
      }`,
    );
  }
}

async function printHelp(
  name: string | undefined,
  shell: Shell,
): Promise<number> {
  const { heading, helpOfTool, helpOfVerb } = await import("./_help.ts");
  const head = heading(shell.hasColor && shell.isOutputTerminal);
  // The help of the tool covers completion and help.
  const isOfTool = [undefined, "completion", "help", "--help", "-h"]
    .includes(name);
  const text = name === undefined || isOfTool
    ? helpOfTool(head)
    : helpOfVerb(verbOf(name), head);
  await shell.write(`${text}\n`);
  return 0;
}

async function version(): Promise<string> {
  const { default: { version } } = await import("../deno.json", {
    with: { type: "json" },
  });
  return version;
}
