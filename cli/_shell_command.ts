import type { Bytes } from "../framing.ts";

/** A shell command's answer to a message. */
export interface CommandAnswer {
  readonly output: Bytes;
  readonly code: number;
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
  const [shell, flag] = Deno.build.os === "windows"
    ? ["cmd", "/c"]
    : ["sh", "-c"];
  signal.throwIfAborted();
  const child = new Deno.Command(shell, {
    args: [flag, command],
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
