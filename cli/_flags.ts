/**
 * The flags of a command line, as typed values.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { reasonOf } from "./_reason.ts";
import {
  parseChoice,
  parseCount,
  parseDuration,
  parseSize,
  UsageError,
} from "./_values.ts";

/** One flag, for help and completion. */
export interface Flag {
  /** Its name, without dashes. */
  readonly name: string;
  /** One letter, for `-n`. */
  readonly short?: string;
  /** The name of its value, if it has one. */
  readonly value?: string;
  /** All values that it may have. */
  readonly choices?: readonly string[];
  /** Whether its value is a file. */
  readonly isFile?: boolean;
  /** Whether it may be given several times. */
  readonly isMultiple?: boolean;
  /** What it does, in a few words. */
  readonly help: string;
}

/** Flags that belong together, with their heading in the help. */
export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

/** The flags that were given. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #known: readonly Flag[];

  constructor(
    values: ReadonlyMap<string, readonly string[]>,
    known: readonly Flag[],
  ) {
    this.#values = values;
    this.#known = known;
  }

  /** The names of those that were given. */
  get names(): string[] {
    return [...this.#values.keys()];
  }

  /** The flags as words of a command line, without `left`. */
  words(left: string): string[] {
    return [...this.#values].filter(([name]) => name !== left)
      .flatMap(([name, values]) => {
        const flag = this.#known.find((each) => each.name === name);
        return flag?.value === undefined
          ? [`--${name}`]
          : values.map((value) => `--${name}=${value}`);
      });
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** All values of a flag that may be given several times. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** `true` if it was given, for options whose default is `false`. */
  on(name: string): true | undefined {
    return this.has(name) ? true : undefined;
  }

  duration(name: string): number | undefined {
    return this.#parsed(name, parseDuration);
  }

  size(name: string): number | undefined {
    return this.#parsed(name, parseSize);
  }

  count(name: string, minimum = 1): number | undefined {
    return this.#parsed(name, (of, text) => parseCount(of, text, minimum));
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    return this.#parsed(name, (of, text) => parseChoice(of, text, choices));
  }

  #parsed<T>(
    name: string,
    parse: (name: string, text: string) => T,
  ): T | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parse(`--${name}`, text);
  }
}

/** A parsed command line. */
export interface ParsedArgs {
  readonly flags: Flags;
  readonly positionals: readonly string[];
}

/**
 * Parses a command line; throws a {@linkcode UsageError} for an unknown flag.
 */
export function parseFlags(
  args: readonly string[],
  known: readonly Flag[],
): ParsedArgs {
  const options = Object.fromEntries(known.map(({ name, short, value }) => [
    name,
    {
      type: value === undefined ? "boolean" as const : "string" as const,
      multiple: true,
      ...(short !== undefined && { short }),
    },
  ]));
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw wrongFlag(error, known);
  }
  const values = new Map<string, string[]>();
  for (const [name, given] of Object.entries(parsed.values)) {
    const all = Array.isArray(given) ? given : [given];
    const flag = known.find((each) => each.name === name);
    if (all.length > 1 && flag?.value !== undefined && !flag.isMultiple) {
      throw new UsageError(`--${name} may be given once only`);
    }
    values.set(name, all.map(String));
  }
  return { flags: new Flags(values, known), positionals: parsed.positionals };
}

/** What is wrong with a flag, in one sentence. */
function wrongFlag(error: unknown, known: readonly Flag[]): UsageError {
  const [reason = ""] = reasonOf(error).split(/\. To |\. Did /);
  const [, unknown] = /^Unknown option '--([\w-]+)/.exec(reason) ?? [];
  if (unknown === undefined) {
    return new UsageError(
      // Node's message for a value such as -1.
      reason.replace(
        / is ambiguous\.?$/,
        " begins with a dash: write it after =",
      ),
    );
  }
  const meant = known.filter(({ name }) =>
    name.startsWith(unknown) || unknown.startsWith(name)
  ).map(({ name }) => `--${name}`);
  return new UsageError(
    meant.length === 0
      ? reason
      : `${reason}: did you mean ${meant.join(" or ")}?`,
  );
}
