import { run } from "./_run.ts";
import { ProcessShell } from "./_shell.ts";

/**
 * Runs the tool with the arguments of a command line. An error is one line on standard
 * error.
 *
 * @param args The arguments, without the name of the program.
 * @returns The exit code: 0, 1 for an error, 2 for wrong usage, or 130 if Ctrl-C ended a
 * command that would have continued.
 *
 * @example What a command line gives
 * ```ts
 * import { main } from "@framed/tcp/cli";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(await main(["--version"]), 0);
 * assertEquals(await main(["connect", "nowhere"]), 2); // an address has a port
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  return await run(args, new ProcessShell());
}
