/**
 * Shared by the tests of the protocols.
 *
 * @module
 */
import { connect, type Connection, type Framing } from "@framed/tcp";

/** A free port of this machine. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

const DEADLINE_MS = 20_000;

/** Connects to a program that was just started as soon as it listens. */
export async function connectWhenReady<In, Out>(
  port: number,
  framing: Framing<In, Out>,
): Promise<Connection<In, Out>> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await connect({ hostname: "127.0.0.1", port, framing });
    } catch (error) {
      const isStarting = error instanceof Deno.errors.ConnectionRefused;
      if (!isStarting || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
