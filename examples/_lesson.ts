// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";

/** A small program with two sides, which can run in one process or in two. */
export interface Lesson {
  /** The file of the program, for its usage. */
  file: string;
  /** Runs the server, until it is shut down. */
  listen(
    port: number,
  ): { readonly addr: Deno.NetAddr; shutdown(): Promise<void> };
  /** Runs the client, which ends by itself. */
  dial(port: number): Promise<void>;
}

interface Flags {
  server: boolean;
  client: boolean;
  port: number | undefined;
  help: boolean;
}

const DEFAULT_PORT = 8000;

/** Runs the sides that the command line names: by default both, in this process. */
export async function runLesson(lesson: Lesson): Promise<void> {
  const usage =
    `Usage: deno run -N ${lesson.file} [--server | --client] [--port <port>]

  --server         Run the server alone, until Ctrl-C
  --client         Run the client alone
  --port <port>    The port, ${DEFAULT_PORT} if one side runs alone and any free one if not
  --help           Show this text`;
  const flags = readFlags(usage);
  if (flags.help) {
    console.log(usage);
    return;
  }
  try {
    await runSides(lesson, flags);
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    console.error(`Cannot run ${lesson.file}: ${reason}`);
    Deno.exit(1);
  }
}

async function runSides(lesson: Lesson, flags: Flags): Promise<void> {
  const runsBoth = flags.server === flags.client;
  const port = flags.port ?? (runsBoth ? 0 : DEFAULT_PORT);
  if (runsBoth) {
    const server = lesson.listen(port);
    await lesson.dial(server.addr.port);
    await server.shutdown();
  } else if (flags.client) {
    await lesson.dial(port);
  } else {
    // Before the server says that it listens, so that Ctrl-C works from then on.
    const interrupt = nextInterrupt();
    const server = lesson.listen(port);
    await interrupt;
    await server.shutdown();
  }
}

/** Settles at Ctrl-C. A second one ends the program immediately. */
export async function nextInterrupt(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGINT", resolve);
  await promise;
  Deno.removeSignalListener("SIGINT", resolve);
}

function readFlags(usage: string): Flags {
  try {
    const { values } = parseArgs({
      args: Deno.args,
      options: {
        server: { type: "boolean", default: false },
        client: { type: "boolean", default: false },
        port: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    return { ...values, port: readPort(values.port) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n`);
    console.error(usage);
    Deno.exit(2);
  }
}

/** Reads the value of `--port`, if it was given. */
export function readPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) {
    throw new RangeError(
      `The port must be a whole number from 0 to 65535: current value is "${text}"`,
    );
  }
  return port;
}
