/** Programs that the machine may not have, or may refuse to run. */

/** A command that cannot be had here, and why. */
export class CommandError extends Error {
  constructor(command: string, args: readonly string[], reason: string) {
    super(`${[command, ...args].join(" ")}: ${reason}`);
    this.name = "CommandError";
  }
}

/** Starts a program, whose standard error is to be read. */
export function spawn(
  command: string,
  args: readonly string[],
): Deno.ChildProcess {
  try {
    return new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    throw unavailable(error, command, args);
  }
}

/**
 * Runs a program, and gives what it prints.
 *
 * @throws {CommandError} If it cannot be run, or fails.
 */
export async function run(command: string, ...args: string[]): Promise<string> {
  try {
    const { success, code, stdout, stderr } = await new Deno.Command(command, {
      args,
    }).output();
    const decoder = new TextDecoder();
    if (success) return decoder.decode(stdout);
    const reason = decoder.decode(stderr).trim();
    throw new CommandError(command, args, reason || `exit code ${code}`);
  } catch (error) {
    throw unavailable(error, command, args);
  }
}

function unavailable(
  error: unknown,
  command: string,
  args: readonly string[],
): unknown {
  if (error instanceof Deno.errors.NotFound) {
    return new CommandError(command, args, `${command} is not installed`);
  }
  if (error instanceof Deno.errors.NotCapable) {
    return new CommandError(command, args, `${command} may not be run`);
  }
  return error;
}
