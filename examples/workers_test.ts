import { assert, assertEquals } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  type Program,
  start,
  startExample,
} from "../dev/interop/_peers.ts";
import { connect, type Connection } from "../mod.ts";
import { lines } from "../framing.ts";

const framing = lines();

// A worker that still runs makes a test fail, not hang.
const idleTimeout = 20_000;

// On other systems processes cannot share a port.
const isLinux = Deno.build.os === "linux";

function workers(...flags: string[]): Program {
  return startExample("workers.ts", ["--allow-run=deno"], flags);
}

/** Starts workers, and returns the process of each, by its number, and their port. */
async function startWorkers(count: number): Promise<
  { program: Program; port: number; processes: Map<string, string> }
> {
  const program = workers("--server", "--port", "0", "--workers", `${count}`);
  const processes = new Map<string, string>();
  while (processes.size < count) {
    const [number = "", id = ""] = await lineThat(
      program.stdout,
      /^Worker (\d+) is process (\d+)$/,
    );
    processes.set(number, id);
  }
  const [port] = await lineThat(program.stdout, /are listening on port (\d+)/);
  return { program, port: Number(port), processes };
}

interface Client {
  connection: Connection<string, string>;
  /** The number of the worker that answers. */
  worker: string;
}

/** Opens connections until each worker has some. */
async function openMany(port: number): Promise<Client[]> {
  return await Promise.all(
    Array.from({ length: 40 }, async () => {
      const connection = await connect({ port, framing, idleTimeout });
      return { connection, worker: await connection.request("who?") };
    }),
  );
}

async function closeAll(clients: Client[]): Promise<void> {
  for (const { connection } of clients) await connection.close();
}

peerTest(
  isLinux,
  "workers.ts distributes connections, and ends a single worker",
  async () => {
    await using program = workers();
    const printed = (await assertSuccess(program)).join("\n");
    const counts = [
      ...printed.matchAll(/answered (\d+) requests on (\d+) connections/g),
    ].map(([, requests, connections]) => [
      Number(requests),
      Number(connections),
    ]);
    assertEquals(counts.length, 2, printed);
    assertEquals(counts.map(([n = 0]) => n).reduce((a, b) => a + b), 16_000);
    assertEquals(counts.map(([, n = 0]) => n).reduce((a, b) => a + b), 32);
    const [, stayed, moved] =
      printed.match(/(\d+) went on, and (\d+) were ended/) ?? [];
    assertEquals(Number(stayed) + Number(moved), 32, printed);
    assert(Number(stayed) > 0 && Number(moved) > 0, printed);
  },
);

peerTest(
  isLinux && await isInstalled("sh"),
  "workers.ts continues when one worker gets SIGTERM, and drains at Ctrl-C",
  async () => {
    const { program, port, processes } = await startWorkers(3);
    await using _program = program;
    const clients = await openMany(port);
    assertEquals(
      [...new Set(clients.map(({ worker }) => worker))].sort(),
      ["1", "2", "3"],
    );

    await using kill = start(["sh", "-c", `kill ${processes.get("2")}`]);
    await assertSuccess(kill);
    await lineThat(program.stdout, /^Worker 2 has ended with code 0$/);
    const ended = clients.filter(({ worker }) => worker === "2");
    const others = clients.filter(({ worker }) => worker !== "2");
    for (const { connection } of ended) {
      assertEquals(await connection.receive(), undefined);
    }
    for (const { connection, worker } of others) {
      assertEquals(await connection.request("still there?"), worker);
    }
    const later = await openMany(port);
    assertEquals(
      [...new Set(later.map(({ worker }) => worker))].sort(),
      ["1", "3"],
    );

    program.interrupt();
    for (const { connection } of [...others, ...later]) {
      assertEquals(await connection.receive(), undefined);
    }
    await closeAll([...clients, ...later]);
    await assertSuccess(program);
  },
);

peerTest(isLinux, "workers.ts leaves no worker running", async () => {
  const { program, port } = await startWorkers(2);
  const clients = await openMany(port);
  await program[Symbol.asyncDispose](); // like kill -9
  for (const { connection } of clients) {
    assertEquals(await connection.receive(), undefined);
  }
  await closeAll(clients);
});
