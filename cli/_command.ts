import type { Flags } from "./_flags.ts";
import type { Shell } from "./_shell.ts";

/** A command line, parsed with the flags of its verb. */
export interface Command {
  readonly flags: Flags;
  /** The arguments after the verb. */
  readonly args: readonly string[];
}

/** The code of a verb. */
export interface VerbModule {
  /** Does the work; returns the exit code. */
  run(command: Command, shell: Shell): Promise<number>;
  /** The program that does the same. */
  code(command: Command): Promise<string> | string;
}
