import type { Bytes } from "../framing.ts";

/** What a shell command has made of a message. */
export interface CommandAnswer {
  readonly output: Bytes;
  readonly code: number;
}

/**
 * Gives a message to the standard input of a shell command, and takes what it prints;
 * without the newline at its end with `isLine`, as `$(…)` does. Ends the command when
 * `signal` is aborted, and rejects with its reason.
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
  // What the shell has started may go on, and keep the output open: it is let go of.
  const taken = child.stdout.pipeThrough(new TransformStream(), { signal });
  try {
    const [output, { code }] = await Promise.all([
      new Response(taken).bytes(),
      child.status,
    ]);
    await fed;
    return { output: isLine ? withoutNewline(output) : output, code };
  } catch (error) {
    // It has been told to end.
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    await child.status;
    clearTimeout(timer);
    throw error;
  }
}

// For how long a command may go on that is to end.
const KILL_MS = 1000;

const LF = 0x0a;
const CR = 0x0d;

function withoutNewline(bytes: Bytes): Bytes {
  if (bytes.at(-1) !== LF) return bytes;
  return bytes.subarray(0, bytes.at(-2) === CR ? -2 : -1);
}
