/**
 * Shared by the tests of the tool: a shell in memory, and functions that run the tool
 * in it.
 *
 * @module
 */
import { run } from "./_run.ts";
import { Interrupted, type Shell } from "./_shell.ts";

/** A shell whose streams are in memory. */
export class FakeShell implements Shell {
  readonly input: ReadableStream<Uint8Array>;
  readonly isInputTerminal = false;
  readonly isOutputTerminal: boolean;
  readonly isErrorTerminal = false;
  readonly hasColor: boolean;
  readonly #isOutputFull: boolean | number;
  readonly #controller = new AbortController();
  readonly #waiting: {
    pattern: RegExp;
    found(match: RegExpExecArray): void;
  }[] = [];
  readonly #output: Uint8Array[] = [];
  /** What was written to standard error. */
  errors = "";

  constructor(
    {
      input = "",
      isTerminal = false,
      hasColor = false,
      isOutputFull = false,
    }: {
      input?: string | Uint8Array | ReadableStream<Uint8Array>;
      isTerminal?: boolean;
      hasColor?: boolean;
      /**
       * Whether a write to standard output stays pending, as if its reader did not
       * read; or for how many milliseconds.
       */
      isOutputFull?: boolean | number;
    } = {},
  ) {
    this.input = input instanceof ReadableStream
      ? input
      : new Blob([typeof input === "string" ? input : new Uint8Array(input)])
        .stream();
    this.isOutputTerminal = isTerminal;
    this.hasColor = hasColor;
    this.#isOutputFull = isOutputFull;
  }

  /** What was written to standard output. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#output.flatMap((each) => [...each]));
  }

  /** The same, as text. */
  get output(): string {
    return new TextDecoder().decode(this.bytes);
  }

  write(output: Uint8Array | string): Promise<void> {
    this.#output.push(
      typeof output === "string"
        ? new TextEncoder().encode(output)
        : new Uint8Array(output),
    );
    this.#look();
    const isFull = this.#isOutputFull;
    if (isFull === false) return Promise.resolve();
    return new Promise((resolve) => {
      if (isFull !== true) setTimeout(resolve, isFull);
    });
  }

  note(line: string): void {
    this.noteRaw(`${line}\n`);
  }

  noteRaw(text: string): void {
    this.errors += text;
    this.#look();
  }

  get interrupted(): AbortSignal {
    return this.#controller.signal;
  }

  /** Sends Ctrl-C. */
  interrupt(): void {
    this.#controller.abort(new Interrupted("Interrupted"));
  }

  /** Waits until either stream has text that matches, and returns the groups. */
  async seen(pattern: RegExp): Promise<string[]> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray>();
    this.#waiting.push({ pattern, found: resolve });
    this.#look();
    return (await promise).slice(1);
  }

  #look(): void {
    for (const waiting of [...this.#waiting]) {
      const match = waiting.pattern.exec(this.errors) ??
        waiting.pattern.exec(this.output);
      if (match === null) continue;
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.found(match);
    }
  }
}

/** Output and exit code of a command. */
export interface Ended {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs a command line to its end. */
export async function runTool(
  args: readonly string[],
  options?: ConstructorParameters<typeof FakeShell>[0],
): Promise<Ended> {
  const shell = new FakeShell(options);
  const code = await run(args, shell);
  const { output, errors } = shell;
  return { code, output, errors };
}

/** A command that runs until it is interrupted or ends by itself. */
export class Running implements AsyncDisposable {
  readonly shell: FakeShell;
  readonly #code: Promise<number>;

  constructor(
    args: readonly string[],
    options?: ConstructorParameters<typeof FakeShell>[0],
  ) {
    this.shell = new FakeShell(options);
    this.#code = run(args, this.shell);
  }

  /** The port in the tool's message that it listens. */
  async port(): Promise<number> {
    const [port] = await this.shell.seen(
      /(?:Listening on|Passing) [\d.]+:(\d+)/,
    );
    return Number(port);
  }

  /** Waits for the command to end by itself. */
  async end(): Promise<Ended> {
    const code = await this.#code;
    const { output, errors } = this.shell;
    return { code, output, errors };
  }

  /** Sends Ctrl-C, and returns the result. */
  interrupt(): Promise<Ended> {
    this.shell.interrupt();
    return this.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.interrupt();
  }
}
