import { FrameDecoderStream, lines } from "../../framing.ts";
import { isPending } from "../../connection/_testing.ts";

/** A program that was started; it does not outlive its scope. */
export interface Program extends AsyncDisposable {
  /** What it prints. */
  readonly lines: AsyncIterableIterator<string>;
  /** How it ended. */
  readonly ended: Promise<{ code: number; stderr: string }>;
  kill(signal: Deno.Signal): void;
}

/** Starts a program of this folder, or of another, in a process of its own. */
export function start(
  command: string,
  args: string[],
  cwd: string | URL = new URL(".", import.meta.url),
): Program {
  const child = new Deno.Command(command, {
    args,
    cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.stdout
    .pipeThrough(new FrameDecoderStream(lines()))[Symbol.asyncIterator]();
  const stderr = new Response(child.stderr).text();
  const ended = child.status.then(async ({ code }) => ({
    code,
    stderr: await stderr,
  }));
  return {
    lines: output,
    ended,
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      try {
        if (await isPending(child.status)) child.kill("SIGKILL");
      } catch (error) { // it has just ended, which its status tells later
        if (!(error instanceof TypeError)) throw error;
      }
      await ended;
      await output.return?.();
    },
  };
}
