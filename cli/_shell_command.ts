import type { Bytes } from "../framing.ts";

/** What a shell command has made of a message. */
export interface CommandAnswer {
  readonly output: Bytes;
  readonly code: number;
}

/**
 * Gives a message to the standard input of a shell command, and takes what it prints;
 * without the newline at its end with `isLine`, as `$(…)` does.
 */
export async function answerOf(
  command: string,
  message: Bytes,
  isLine: boolean,
): Promise<CommandAnswer> {
  const [shell, flag] = Deno.build.os === "windows"
    ? ["cmd", "/c"]
    : ["sh", "-c"];
  const child = new Deno.Command(shell, {
    args: [flag, command],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  // A command that does not read all of its input breaks the pipe.
  const fed = new Blob([message]).stream().pipeTo(child.stdin).catch(() => {});
  const { stdout, code } = await child.output();
  await fed;
  return { output: isLine ? withoutNewline(stdout) : stdout, code };
}

const LF = 0x0a;
const CR = 0x0d;

function withoutNewline(bytes: Bytes): Bytes {
  if (bytes.at(-1) !== LF) return bytes;
  return bytes.subarray(0, bytes.at(-2) === CR ? -2 : -1);
}
