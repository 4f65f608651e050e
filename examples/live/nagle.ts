/**
 * How long write, write, read takes, with Nagle's algorithm and without.
 *
 * @module
 */

/** The milliseconds of each round. */
export interface NagleTimes {
  /** With Nagle's algorithm. */
  on: number[];
  /** Without it: `TCP_NODELAY`. */
  off: number[];
}

const ROUNDS = 8;

/** Measures both, one after the other. */
export async function measureNagle(): Promise<NagleTimes> {
  return { on: await measure(false), off: await measure(true) };
}

async function measure(noDelay: boolean): Promise<number[]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  using server = await listener.accept();
  client.setNoDelay(noDelay);

  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    await writeWriteRead(client, server);
    times.push(performance.now() - startedAt);
  }
  return times;
}

async function writeWriteRead(
  client: Deno.Conn,
  server: Deno.Conn,
): Promise<void> {
  // shown: nagle
  await client.write(header);
  await client.write(body); // waits in the kernel for the header's ACK
  await server.read(buffer);
  await server.read(buffer);
  await server.write(answer); // brings the ACK along
  await client.read(buffer);
  // end
}

const header = new Uint8Array(1);
const body = new Uint8Array(1);
const answer = new Uint8Array(1);
const buffer = new Uint8Array(1);
