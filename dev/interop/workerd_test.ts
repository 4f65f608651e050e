/**
 * Connections in workerd, the runtime of Cloudflare Workers.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect, serve, type Server } from "../../mod.ts";
import { lines } from "../../framing.ts";
import {
  bundleFile,
  isInstalled,
  peerFile,
  peerTest,
  type Program,
  start,
  temporaryFolder,
} from "./_peers.ts";

const framing = lines();
const loopback = { hostname: "127.0.0.1", port: 0, framing };

/** Two services of one Worker: over HTTP without and with Node's modules, and over TCP. */
const CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "plain", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-04-01",
      compatibilityFlags = ["experimental"],
      globalOutbound = "network",
    )),
    (name = "node", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-04-01",
      compatibilityFlags = ["nodejs_compat"],
      globalOutbound = "network",
    )),
    (name = "network", network = (allow = ["private"])),
  ],
  sockets = [
    (name = "plain", address = "127.0.0.1:0", http = (), service = "plain"),
    (name = "node", address = "127.0.0.1:0", http = (), service = "node"),
    (name = "inbound", address = "127.0.0.1:0", tcp = (), service = "plain"),
  ],
);
`;

/** A running Worker, and the ports of its sockets by name. */
interface Worker extends AsyncDisposable {
  readonly ports: ReadonlyMap<string, number>;
}

async function startWorker(): Promise<Worker> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const config = `${folder.path}/config.capnp`;
  await Deno.writeTextFile(config, CONFIG);
  await Deno.writeTextFile(
    `${folder.path}/worker.js`,
    await bundleFile(peerFile("worker.js"), { external: "cloudflare:sockets" }),
  );
  const program = stack.use(
    start(["workerd", "serve", config, "--experimental", "--control-fd=1"]),
  );
  const ports = await portsOf(program);
  const moved = stack.move();
  return { ports, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** The ports that workerd prints: `{"event":"listen","socket":"plain","port":4000}`. */
async function portsOf(program: Program): Promise<Map<string, number>> {
  const ports = new Map<string, number>();
  while (ports.size < 3) {
    const { value, done } = await program.stdout.next();
    if (done) {
      throw new Error((await Array.fromAsync(program.stderr)).join("\n"));
    }
    const { socket, port } = JSON.parse(value);
    ports.set(socket, port);
  }
  return ports;
}

function serveEcho(): Server<string, string, Deno.NetAddr> {
  return serve(loopback, async (connection) => {
    for await (const line of connection) await connection.send(line);
  });
}

const hasWorkerd = await isInstalled("workerd");

for (const service of ["plain", "node"]) {
  peerTest(
    hasWorkerd,
    `Connections work in workerd after requests that left theirs open (${service})`,
    async () => {
      await using worker = await startWorker();
      await using server = serveEcho();
      const ask = async (route: string, port = server.addr.port) => {
        const origin = `http://127.0.0.1:${worker.ports.get(service)}`;
        const response = await fetch(`${origin}/${route}?port=${port}`);
        return await response.text();
      };
      // Many: what they held together must not run out.
      for (let request = 0; request < 20; request++) {
        assertEquals(await ask("leave"), "hello");
      }
      assertMatch(await ask("idle"), /^TimeoutError: .*idle/);
      assertEquals(
        await Promise.all(Array.from({ length: 20 }, () => ask("echo"))),
        Array(20).fill("hello"),
      );
      assertMatch(await ask("echo", 1), /connect/);
      assertMatch(await ask("tls"), /^\w*Error: Cannot start TLS/);
    },
  );
}

peerTest(
  hasWorkerd,
  "Connections of an inbound handler in workerd answer everything",
  async () => {
    await using worker = await startWorker();
    const port = worker.ports.get("inbound");
    assert(port !== undefined);
    await Promise.all(Array.from({ length: 20 }, async () => {
      await using client = await connect({ ...loopback, port });
      client.send("a");
      client.send("b");
      await client.closeWrite();
      assertEquals(await Array.fromAsync(client), ["a", "b"]);
    }));
  },
);
