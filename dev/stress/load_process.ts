/** A server in a process of its own, so that its descriptors and memory can be counted. */
import { FrameDecoderStream, lines } from "../../framing.ts";

/** What {@linkcode ServerProcess.start} may be told. */
export interface ServerProcessOptions {
  /** Arguments of the program. */
  readonly args?: string[];
  /** How many descriptors the process may have. By default as many as the system allows. */
  readonly maxDescriptors?: number;
}

// After how long without an answer, or an end, a server is killed.
const STUCK_MS = 20_000;

/** A program of this folder, which prints its port first, and answers lines with lines. */
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

  /** Starts a program, whose first line is given too. */
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

  /** Sends a line, and gives the line that answers it. */
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

  /** Waits for its end, and gives how it ended and what it printed to standard error. */
  async end(): Promise<{ code: number; stderr: string }> {
    const [{ code }, stderr] = await this.#unlessStuck(
      Promise.all([this.#child.status, this.#errors]),
    );
    return { code, stderr };
  }

  /** Ends it, by the end of its input. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {}); // it may have ended before
    await this.end();
    await this.#lines.return?.();
  }

  /** Waits for something of the process, which is killed if that takes too long. */
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
