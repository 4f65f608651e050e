// deno-lint-ignore-file no-console -- its parent reads its output
/**
 * The server under load. Its first line is its address; then it answers each line of
 * its input with its state, and ends with its input.
 */
import { broadcast } from "../../connection/broadcast.ts";
import type { Connection } from "../../connection/connection.ts";
import { FrameDecoderStream, lines } from "../../framing.ts";
import type { ConnectionHandler } from "../../server/handler.ts";
import { serve } from "../../server/serve.ts";
import { certificate } from "../testdata/certificates.ts";
import { heldMemory } from "./held_memory.ts";
import type { LoadServerAddress, LoadServerState } from "./load_state.ts";

const BLOCK = "x".repeat(64 * 1024);

// The runtime opens a pair of sockets for signals some time after the start. With a
// listener it does so immediately, so they exist when descriptors are counted.
Deno.addSignalListener("SIGINT", () => Deno.exit());

const subscribers = new Set<Connection<string, string>>();
let errors = 0;
let shortages = 0;
let leftOut = 0;

const options = {
  framing: lines({ maxLength: 2 * 1024 * 1024, trailing: "error" }),
  idleTimeout: 600_000,
  messageTimeout: 60_000,
  sendTimeout: 60_000,
  onError(error: unknown) {
    if (`${error}`.includes("Too many open files")) shortages++;
    else errors++;
  },
};

const handler: ConnectionHandler<string, string> = async (connection) => {
  try {
    for await (const line of connection) {
      const [word] = line.split(" ", 1);
      if (word === "last") return await connection.send(line);
      if (word === "fail") throw new Error(line);
      if (word === "publish") await publish(line);
      else if (word === "flood") { for (;;) await connection.send(BLOCK); }
      else {
        if (word === "subscribe") subscribers.add(connection);
        await connection.send(line);
      }
    }
  } finally {
    subscribers.delete(connection);
  }
};

/** Sends a line to all subscribers but the slow ones. */
async function publish(line: string): Promise<void> {
  const { slow } = await broadcast(subscribers, line, { slow: "drop" });
  leftOut += slow.length;
}

const folder = Deno.makeTempDirSync();
const path = `${folder}/socket`;
const loopback = { ...options, hostname: "127.0.0.1", port: 0 };
const servers = [
  serve(loopback, handler),
  serve({ ...loopback, tls: certificate }, handler),
  serve({ ...options, path }, handler),
] as const;
const address: LoadServerAddress = {
  port: servers[0].addr.port,
  tlsPort: servers[1].addr.port,
  path,
};
console.log(JSON.stringify(address));

function state(): LoadServerState {
  const { rss, heapUsed, external } = heldMemory();
  const status = Deno.readTextFileSync("/proc/self/status");
  const connections = servers.flatMap((each) => [...each.connections]);
  return {
    connections: connections.length,
    blockedTime: Math.max(0, ...connections.map((c) => c.stats().blockedTime)),
    descriptors: [...Deno.readDirSync("/proc/self/fd")].length,
    heap: heapUsed + external,
    resident: rss,
    peakResident: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024,
    errors,
    shortages,
    leftOut,
  };
}

const input = Deno.stdin.readable.pipeThrough(new FrameDecoderStream(lines()));
for await (const _ of input) console.log(JSON.stringify(state()));
for (const server of servers) server.shutdown({ timeout: 100 });
await Promise.all(servers.map(({ finished }) => finished));
Deno.removeSync(folder, { recursive: true });
