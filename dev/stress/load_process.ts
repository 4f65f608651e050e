/** A server in its own process, so that its descriptors and memory can be counted. */
import { FrameDecoderStream, lines } from "../../framing.ts";

/** Options for {@linkcode ServerProcess.start}. */
export interface ServerProcessOptions {
  /** Arguments of the program. */
  readonly args?: string[];
  /** The descriptor limit of the process. By default the system's limit. */
  readonly maxDescriptors?: number;
}

// A server that does not answer or end within this time is killed.
const STUCK_MS = 20_000;

/**
 * A program of this folder, which prints its address first, then answers lines with
 * lines.
 */
export class ServerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterableIterator<string>;
  readonly #errors: Promise<string>;
  #hasEnded = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#lines = child.stdout
      .pipeThrough(new FrameDecoderStream(lines()))[Symbol.asyncIterator]();
    this.#errors = new Response(child.stderr).text();
    child.status.then(() => this.#hasEnded = true);
  }

  /** Starts a program, and returns its first line too. */
  static async start(
    file: string,
    { args = [], maxDescriptors }: ServerProcessOptions = {},
  ): Promise<{ process: ServerProcess; line: string }> {
    const limit = maxDescriptors ?? '"$(ulimit -Hn)"';
    const child = new Deno.Command("sh", {
      args: [
        "-c",
        `ulimit -n ${limit}; exec "$@"`,
        "sh",
        ...["deno", "run", "--cached-only", "-A"],
        file,
        ...args,
      ],
      cwd: new URL(".", import.meta.url),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const process = new ServerProcess(child);
    return { process, line: await process.next() };
  }

  /** The next line that it prints. */
  async next(): Promise<string> {
    const { value, done } = await this.#unlessStuck(this.#lines.next());
    if (done) throw new Error(`The server has ended: ${await this.#errors}`);
    return value;
  }

  /** Sends a line. */
  async tell(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Sends a line, and returns the line that answers it. */
  async ask(line: string): Promise<string> {
    await this.tell(line);
    return await this.next();
  }

  /** Sends SIGTERM. */
  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  /** Sends a signal, such as SIGSTOP. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Waits for its end, and returns its status and its standard error. */
  async end(): Promise<{ code: number; stderr: string }> {
    const [{ code }, stderr] = await this.#unlessStuck(
      Promise.all([this.#child.status, this.#errors]),
    );
    return { code, stderr };
  }

  /** Ends it by closing its input. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {}); // it may have ended already
    await this.end();
    await this.#lines.return?.();
  }

  /** Waits for a promise of the process, and kills the process if it takes too long. */
  async #unlessStuck<T>(promise: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      if (!this.#hasEnded) this.#child.kill("SIGKILL");
    }, STUCK_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
