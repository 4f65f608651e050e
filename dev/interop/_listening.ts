/**
 * Starts servers of other projects for the tests.
 *
 * @module
 */
import { delay } from "@std/async/delay";
import { type Program, start } from "./_peers.ts";

const PAUSE_MS = 10;
const MAX_TRIES = 10;

/** A server on its own port, which ends at the end of its scope. */
export interface PeerServer extends AsyncDisposable {
  readonly port: number;
  readonly program: Program;
}

/**
 * Starts a server on a free port, because it cannot choose one itself, and waits until
 * it listens.
 *
 * @param command Gives the command for a port.
 */
export async function startListening(
  command: (port: number) => string[],
): Promise<PeerServer> {
  for (let tries = 1;; tries++) {
    const port = freePort();
    const program = start(command(port));
    if (await listensOn(port, program)) {
      return {
        port,
        program,
        [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
      };
    }
    const said = await Array.fromAsync(program.stderr);
    await program[Symbol.asyncDispose]();
    // Another program may have taken the port meanwhile.
    if (tries === MAX_TRIES) throw new Error(said.join("\n"));
  }
}

/** A free port. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Tries to connect until it succeeds or the program has ended. */
async function listensOn(port: number, program: Program): Promise<boolean> {
  let hasEnded = false;
  program.status.then(() => hasEnded = true);
  while (!hasEnded) {
    try {
      using _conn = await Deno.connect({ hostname: "127.0.0.1", port });
      return true;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await delay(PAUSE_MS);
    }
  }
  return false;
}
