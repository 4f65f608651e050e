/** A process that answers lines with lines: a subject, or the load. */

const ANSWER_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 2_000;

/** As many open files as this machine allows: each process may hold 10,000 sockets. */
const RAISE_LIMIT = 'ulimit -Sn "$(ulimit -Hn)"; exec "$@"';

/** CPU time and memory that a process has used so far. */
export interface Usage {
  cpuNanoseconds: number;
  residentBytes: number;
  peakResidentBytes: number;
}

/** A process that answers lines with lines, and ends when its input does. */
export class Child implements AsyncDisposable {
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #unread = "";

  /** Starts a command; `env` is added to this process's environment. */
  constructor(command: string[], env: Record<string, string> = {}) {
    const names = command.slice(-4).map((word) => word.split("/").at(-1));
    this.#name = names.join(" ");
    this.#process = new Deno.Command("sh", {
      args: ["-c", RAISE_LIMIT, "sh", ...command],
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#output = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  /** Sends a line, and returns the line that answers it. */
  async ask(line: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    return await this.read();
  }

  /** Returns the next line; kills a process that takes too long. */
  async read(): Promise<string> {
    const timer = setTimeout(() => this.#kill(), ANSWER_TIMEOUT_MS);
    try {
      for (;;) {
        const end = this.#unread.indexOf("\n");
        if (end !== -1) {
          const line = this.#unread.slice(0, end);
          this.#unread = this.#unread.slice(end + 1);
          return line;
        }
        const { done, value } = await this.#output.read();
        if (done) throw new Error(`${this.#name}: ended without an answer`);
        this.#unread += value;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** What all threads of the process have used so far. */
  usage(): Usage {
    const folder = `/proc/${this.#process.pid}`;
    let cpuNanoseconds = 0;
    for (const thread of Deno.readDirSync(`${folder}/task`)) {
      const times = Deno.readTextFileSync(
        `${folder}/task/${thread.name}/schedstat`,
      );
      cpuNanoseconds += Number(times.split(" ")[0]);
    }
    const status = Deno.readTextFileSync(`${folder}/status`);
    const kibibytes = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
    return {
      cpuNanoseconds,
      residentBytes: kibibytes("VmRSS") * 1024,
      peakResidentBytes: kibibytes("VmHWM") * 1024,
    };
  }

  /** Ends the process by closing its input, or kills it if that does not help. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#kill(), END_TIMEOUT_MS);
    // Both fail if the process has already ended, which does not matter here.
    await this.#input.close().catch(() => {});
    await this.#output.cancel().catch(() => {});
    await this.#process.status;
    clearTimeout(timer);
  }

  #kill(): void {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}
