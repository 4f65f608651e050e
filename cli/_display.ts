/**
 * Shows messages as they pass, in a format for a person or a program.
 *
 * @module
 */
import { annotated, type Format, type Passed, plain } from "./_format.ts";
import type { Shell } from "./_shell.ts";

/** Options for {@linkcode Display}. */
export interface DisplayOptions {
  readonly format: Format;
  /**
   * Whether each message has its direction, time and length. JSON always has
   * them.
   */
  readonly isAnnotated: boolean;
  /** Writes a line; by default to standard output. */
  readonly print?: (line: string) => Promise<void> | void;
}

/** Shows messages. */
export class Display {
  format: Format;
  readonly #shell: Shell;
  readonly #isAnnotated: boolean;
  readonly #print: (line: string) => Promise<void> | void;
  // When the last message of each connection passed.
  readonly #last = new Map<number | undefined, number>();
  readonly #start = performance.now();

  constructor(
    shell: Shell,
    { format, isAnnotated, print }: DisplayOptions,
  ) {
    this.#shell = shell;
    this.format = format;
    this.#isAnnotated = isAnnotated;
    this.#print = print ?? ((line) => shell.write(`${line}\n`));
  }

  /** Milliseconds since the command began. */
  now(): number {
    return performance.now() - this.#start;
  }

  /** Shows a message; settles when it is written. */
  async show(message: Passed): Promise<void> {
    const { connection, time } = message;
    if (!this.#isAnnotated) {
      await this.#shell.write(
        plain(message, this.format, this.#shell.isOutputTerminal),
      );
      return;
    }
    const last = this.#last.get(connection);
    this.#last.set(connection, time);
    const hasColor = this.#shell.hasColor && this.#shell.isOutputTerminal;
    await this.#print(annotated(
      { ...message, sinceLast: last === undefined ? undefined : time - last },
      this.format,
      hasColor,
    ));
  }

  /** Notes the time of a message that is not shown. */
  note({ connection, time }: Pick<Passed, "connection" | "time">): void {
    this.#last.set(connection, time);
  }

  /** Forgets a connection that has ended. */
  forget(connection: number): void {
    this.#last.delete(connection);
  }
}
