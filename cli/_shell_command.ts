import type { Bytes } from "../framing.ts";

/** A shell command's answer to a message. */
export interface CommandAnswer {
  readonly output: Bytes;
  readonly code: number;
}

/** A program that runs a command, and its arguments. */
export interface ShellProgram {
  readonly program: string;
  readonly args: readonly string[];
  /** Whether Deno passes the arguments on as they are, without adding quotes. */
  readonly windowsRawArguments: boolean;
}

/**
 * The system's shell for a command.
 *
 * @param os The system's name in Deno.
 */
export function shellFor(command: string, os: string): ShellProgram {
  // Deno writes a quote in an argument as \", which cmd takes as two characters. With /s,
  // cmd removes the outer quotes, and takes all between them as it is.
  return os === "windows"
    ? {
      program: "cmd",
      args: ["/d", "/s", "/c", `"${command}"`],
      windowsRawArguments: true,
    }
    : { program: "sh", args: ["-c", command], windowsRawArguments: false };
}

/**
 * Gives a message to the standard input of a shell command, and returns its output, with
 * `isLine` without the final newline, as `$(…)` does. Ends the command when `signal`
 * aborts, and rejects with its reason.
 */
export async function answerOf(
  command: string,
  message: Bytes,
  isLine: boolean,
  signal: AbortSignal,
): Promise<CommandAnswer> {
  const { program, args, windowsRawArguments } = shellFor(
    command,
    Deno.build.os,
  );
  signal.throwIfAborted();
  const child = new Deno.Command(program, {
    args: [...args],
    windowsRawArguments,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    signal,
  }).spawn();
  // A command that does not read all of its input breaks the pipe.
  const fed = new Blob([message]).stream().pipeTo(child.stdin).catch(() => {});
  // Processes started by the shell may run on and keep the output open: do not wait for
  // them.
  const taken = child.stdout.pipeThrough(new TransformStream(), { signal });
  try {
    const [output, { code }] = await Promise.all([
      new Response(taken).bytes(),
      child.status,
    ]);
    await fed;
    return { output: isLine ? withoutNewline(output) : output, code };
  } catch (error) {
    // The command has been told to end.
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    await child.status;
    clearTimeout(timer);
    throw error;
  }
}

// How long a command may take to end.
const KILL_MS = 1000;

const LF = 0x0a;
const CR = 0x0d;

function withoutNewline(bytes: Bytes): Bytes {
  if (bytes.at(-1) !== LF) return bytes;
  return bytes.subarray(0, bytes.at(-2) === CR ? -2 : -1);
}
