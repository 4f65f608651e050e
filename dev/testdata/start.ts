import { FrameDecoderStream, lines } from "../../framing.ts";
import { isPending } from "../../connection/_testing.ts";

/** A started program, which ends at the end of its scope. */
export interface Program extends AsyncDisposable {
  /** Its output. */
  readonly lines: AsyncIterableIterator<string>;
  /** Its exit status. */
  readonly ended: Promise<{ code: number; stderr: string }>;
  kill(signal: Deno.Signal): void;
}

/** Starts a program of this folder, or of another one, in its own process. */
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
      } catch (error) { // it has just ended, and its status is not known yet
        if (!(error instanceof TypeError)) throw error;
      }
      await ended;
      await output.return?.();
    },
  };
}
