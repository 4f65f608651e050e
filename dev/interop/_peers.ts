/**
 * Shared by the tests against other programs.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { type Connection, type Framing, serve } from "../../mod.ts";
import { FrameDecoderStream, lines } from "../../framing.ts";

// After this time a test that waits in vain fails.
const WATCHDOG_MS = 180_000;

/** A started program, which ends at the end of its scope. */
export interface Program extends AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  /** The lines that it prints. */
  readonly stdout: AsyncIterableIterator<string>;
  /** The lines of its standard error. */
  readonly stderr: AsyncIterableIterator<string>;
  /** Its exit status. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Sends Ctrl-C. */
  interrupt(): void;
}

/** Starts a program. Its standard input is `input`, then the end. */
export function start(
  [command = "", ...args]: string[],
  input: string[] = [],
): Program {
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // The pipe breaks if the program ends before it has read everything.
  const fed = ReadableStream.from(input.map((line) => `${line}\n`))
    .pipeThrough(new TextEncoderStream()).pipeTo(child.stdin).catch(() => {});
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) =>
    stream.pipeThrough(new FrameDecoderStream(lines({ maxLength: Infinity })))
      [Symbol.asyncIterator]()
  ) as [Program["stdout"], Program["stderr"]];
  let hasEnded = false;
  const status = child.status.finally(() => hasEnded = true);
  const kill = () => {
    if (!hasEnded) child.kill("SIGKILL");
  };
  const watchdog = setTimeout(kill, WATCHDOG_MS);
  return {
    pid: child.pid,
    stdout,
    stderr,
    status,
    interrupt: () => child.kill("SIGINT"),
    async [Symbol.asyncDispose]() {
      clearTimeout(watchdog);
      kill();
      await Promise.all([status, fed, stdout.return?.(), stderr.return?.()]);
    },
  };
}

/** Starts one of the examples with these permissions. */
export function startExample(
  file: string,
  permissions: string[],
  flags: string[],
): Program {
  return start([
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    ...permissions,
    fileURLToPath(new URL(`../../examples/${file}`, import.meta.url)),
    ...flags,
  ]);
}

/** Asserts that a program ends by itself with success; returns the rest of its output. */
export async function assertSuccess(program: Program): Promise<string[]> {
  const [stdout, stderr, { code }] = await Promise.all([
    Array.fromAsync(program.stdout),
    Array.fromAsync(program.stderr),
    program.status,
  ]);
  assertEquals(code, 0, stderr.join("\n"));
  return stdout;
}

/** Reads the lines of a program up to one that matches, and returns its groups. */
export async function lineThat(
  output: AsyncIterator<string>,
  pattern: RegExp,
): Promise<string[]> {
  for (;;) {
    const { value, done } = await output.next();
    assert(!done, `No line matches ${pattern}`);
    const match: string[] | null = value.match(pattern);
    if (match !== null) return match.slice(1);
  }
}

/** Whether a program is installed and may be run; prints a note if not. */
export async function isInstalled(command: string): Promise<boolean> {
  const { state } = await Deno.permissions.query({ name: "run", command });
  try {
    if (state === "granted") {
      await using program = start([command, "--version"]);
      await program.status;
      return true;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const reason = state === "granted" ? "is not installed" : "may not be run";
  // deno-lint-ignore no-console -- a skipped test must be visible
  console.log(`Skipped the tests with ${command}, which ${reason}`);
  return false;
}

/** A test that needs a program, and is skipped if that is not installed. */
export function peerTest(
  hasPeer: boolean,
  name: string,
  fn: () => Promise<void>,
): void {
  Deno.test({ name, ignore: !hasPeer, fn });
}

/** `make`, which runs once: all calls get the same result. */
export function sharing<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}

/** A folder that is removed at the end of its scope. */
export async function temporaryFolder(): Promise<
  AsyncDisposable & { readonly path: string }
> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** The path of a file in the folder `peers`. */
export function peerFile(name: string): string {
  return fileURLToPath(new URL(`peers/${name}`, import.meta.url));
}

const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** The text of a program as one module for another runtime. */
export async function bundleFile(
  path: string,
  { external = "node:*", config = CONFIG }: {
    /** What the module still imports. */
    readonly external?: string;
    readonly config?: string;
  } = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: [
      "bundle",
      "--quiet",
      "--platform=browser",
      `--external=${external}`,
      `--config=${config}`,
      path,
    ],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
// With every character that could end a line or a string.
const CONTROLS = "\n\0\r\n,:a\u007f<\t";

// Every size up to 300 bytes, sizes around powers of two, and more than the kernel's
// two buffers hold.
const SIZES = [
  ...Array(300).keys(),
  ...[1024, 4096, 65_536, 131_072, 1_048_576].flatMap((size) => [
    size - 1,
    size,
    size + 1,
  ]),
  12 * 1024 * 1024,
];

/** The longest message; echoes are not longer. */
export const MAX_LENGTH = 16 * 1024 * 1024;

/** Messages of all sizes, each different from its neighbours. */
export function messagesUpTo(
  maxLength: number,
  alphabet: "letters" | "controls",
): string[] {
  const letters = alphabet === "letters" ? LETTERS : CONTROLS;
  const sizes = SIZES.filter((size) => size <= maxLength);
  // If no single message fills the kernel's buffers, many do.
  if (maxLength < MAX_LENGTH) sizes.push(...Array(200).fill(maxLength));
  const text = letters.repeat(
    Math.ceil(Math.max(...sizes) / letters.length) + 1,
  );
  return sizes.map((size, index) => {
    const first = index % letters.length;
    return text.slice(first, first + size);
  });
}

/** Like `assertEquals`, which would print megabytes of messages. */
export function assertSameMessages(
  actual: readonly (string | undefined)[],
  expected: readonly string[],
): void {
  for (const [index, message] of expected.entries()) {
    assert(
      actual[index] === message,
      `Message ${index} has ${
        actual[index]?.length
      } bytes, and differs from the ${message.length} bytes sent`,
    );
  }
  assertEquals(actual.length, expected.length);
}

/** Sends all messages, and returns the same number of received ones. */
async function exchange(
  connection: Connection<string, string>,
  messages: string[],
): Promise<(string | undefined)[]> {
  const received: (string | undefined)[] = [];
  await Promise.all([
    (async () => {
      for (const message of messages) await connection.send(message);
    })(),
    (async () => {
      while (received.length < messages.length) {
        received.push(await connection.receive());
      }
    })(),
  ]);
  return received;
}

/** Ends this side first; an echoing peer then sends a last message. */
async function endFirst(
  connection: Connection<string, string>,
  messages: string[],
): Promise<void> {
  const [received] = await Promise.all([
    Array.fromAsync(connection),
    (async () => {
      for (const message of messages) await connection.send(message);
      await connection.closeWrite();
    })(),
  ]);
  assertSameMessages(received, [...messages, "end"]);
  await connection.closed;
}

/** Lets the peer end its side first, and continues to send. */
async function endLast(
  connection: Connection<string, string>,
  messages: string[],
): Promise<void> {
  assertSameMessages(await exchange(connection, messages), messages);
  await connection.send("bye");
  assertEquals(await connection.receive(), undefined);
  for (const message of messages) await connection.send(message);
  await connection.closeWrite();
  await connection.closed;
}

/** A framing of a peer, and the matching framing of this module. */
export interface Agreement {
  /** The name of the framing in the peer's program. */
  name: string;
  framing: Framing<string, string>;
  messages: string[];
}

/** Runs the two rounds with a peer that listens on the printed `port`. */
export async function assertEchoesOf(
  program: Program,
  { framing, messages }: Agreement,
  connectTo: (
    port: number,
    framing: Framing<string, string>,
  ) => Promise<Connection<string, string>>,
): Promise<void> {
  const port = Number((await program.stdout.next()).value);
  {
    await using connection = await connectTo(port, framing);
    await endFirst(connection, messages);
  }
  await using connection = await connectTo(port, framing);
  await endLast(connection, messages);
  assertEquals((await program.stdout.next()).value, `${messages.length}`);
}

/** Runs the two rounds with a peer that dials twice. */
export async function assertEchoesTo(
  startProgram: (port: number) => Program,
  { framing, messages }: Agreement,
): Promise<void> {
  const rounds = [endFirst, endLast];
  const errors: unknown[] = [];
  await using server = serve({
    hostname: "127.0.0.1",
    port: 0,
    framing,
    onError: (error) => void errors.push(error),
  }, async (connection) => {
    await rounds.shift()?.(connection, messages);
  });
  await using program = startProgram(server.addr.port);
  const printed = await assertSuccess(program);
  await server.shutdown();
  assertEquals(errors, []);
  assertEquals(printed, [`${messages.length}`]);
}
