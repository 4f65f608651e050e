import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
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
const program = fileURLToPath(new URL("fan_out.ts", import.meta.url));

function fanOut(...flags: string[]): Program {
  return startExample("fan_out.ts", ["--allow-run=nats-server"], flags);
}

/** Whether the package is installed or can be downloaded; prints a note if not. */
async function hasClientOfNats(): Promise<boolean> {
  await using got = start(["deno", "cache", program]);
  const { success } = await got.status;
  if (!success) {
    // deno-lint-ignore no-console -- a skipped test must be visible
    console.log("Skipped the tests with NATS, whose client cannot be got");
  }
  return success;
}

const hasNats = await isInstalled("nats-server") && await hasClientOfNats();

/** Starts a broker, and returns its address. */
async function startBroker(): Promise<{ program: Program; address: string }> {
  const program = start(["nats-server", "-a", "127.0.0.1", "-p", "-1"]);
  const [address = ""] = await lineThat(
    program.stderr,
    /client connections on (.*:\d+)$/,
  );
  return { program, address };
}

interface RoomServer {
  program: Program;
  port: number;
}

async function startServer(name: string, broker: string): Promise<RoomServer> {
  const program = fanOut("--server", name, "--broker", broker, "--port", "0");
  const [port] = await lineThat(program.stdout, /listening on port (\d+)/);
  return { program, port: Number(port) };
}

async function enter(
  { port }: RoomServer,
): Promise<Connection<string, string>> {
  const client = await connect({ port, framing });
  await client.receive(); // the greeting: later lines reach this client
  return client;
}

async function hear(
  client: Connection<string, string>,
  count: number,
): Promise<(string | undefined)[]> {
  const heard: (string | undefined)[] = [];
  while (heard.length < count) heard.push(await client.receive());
  return heard;
}

peerTest(
  hasNats && Deno.build.os !== "windows",
  "fan_out.ts continues without one server, and when the broker is back",
  async () => {
    await using program = fanOut();
    const printed = await assertSuccess(program);
    const heardBy = (name: string) =>
      printed.flatMap((line) =>
        line.match(`^${name} hears "(.*)"$`)?.[1] ?? []
      );
    assertEquals(heardBy("Ann"), [
      "A: I am Ann",
      "B: I am Ben",
      "A: Are you still there, Ben?",
      "* the broker is away",
      '* Perhaps lost: "Hello?"',
      "* the broker is back",
      "B: Back again",
    ]);
    assertEquals(heardBy("Ben"), [
      "A: I am Ann",
      "B: I am Ben",
      "A: Are you still there, Ben?",
      "* the broker is away",
      "* the broker is back",
      "B: Back again",
    ]);
    assertEquals(heardBy("Cat"), ["A: I am Ann", "B: I am Ben", "* C closes"]);
  },
);

peerTest(
  hasNats && Deno.build.os !== "windows",
  "fan_out.ts sends all clients of three servers each line once, in order",
  async () => {
    const { program, address } = await startBroker();
    await using _broker = program;
    const servers = await Promise.all(
      ["A", "B", "C"].map((name) => startServer(name, address)),
    );
    await using stack = new AsyncDisposableStack();
    for (const { program } of servers) stack.use(program);
    const [a, b, c] = servers;
    if (a === undefined || b === undefined || c === undefined) return;
    const clients = await Promise.all([a, a, b, b, c, c].map(enter));
    for (const client of clients) stack.use(client);

    const count = 50;
    const numbers = Array.from({ length: count }, (_, i) => `${i}`);
    const heard = await Promise.all(clients.map(async (client, sender) => {
      for (const number of numbers) await client.send(`${sender} ${number}`);
      return await hear(client, clients.length * count);
    }));
    for (const all of heard) {
      for (const sender of clients.keys()) {
        const prefix = `${"AABBCC"[sender]}: ${sender} `;
        const own = all.filter((line) => line?.startsWith(prefix));
        assertEquals(own, numbers.map((number) => `${prefix}${number}`));
      }
    }

    const [first, second, third, fourth, fifth, sixth] = clients;
    await b.program[Symbol.asyncDispose](); // like kill -9
    for (const client of [third, fourth]) {
      assertEquals(await client?.receive(), undefined);
    }
    await fifth?.send("Are you there?");
    for (const client of [first, second, fifth, sixth]) {
      assertEquals(await client?.receive(), "C: Are you there?");
    }

    c.program.interrupt();
    for (const client of [fifth, sixth]) {
      assertEquals(await client?.receive(), "* C closes");
      assertEquals(await client?.receive(), undefined);
      await client?.close();
    }
    await assertSuccess(c.program);
    await first?.send("Alone?");
    assertEquals(await second?.receive(), "A: Alone?");
  },
);

peerTest(
  hasNats,
  "fan_out.ts disconnects only a client that does not read",
  async () => {
    const { program, address } = await startBroker();
    await using _broker = program;
    const server = await startServer("A", address);
    await using _server = server.program;
    await using talker = await enter(server);
    await using reader = await enter(server);
    await using _sleeper = await enter(server);

    // More than the kernel's buffers and the queue hold.
    const text = "x".repeat(3900);
    const sent = Array.from({ length: 5000 }, (_, i) => `${i} ${text}`);
    const [, ...heard] = await Promise.all([
      (async () => {
        for (const line of sent) await talker.send(line);
      })(),
      hear(talker, sent.length),
      hear(reader, sent.length),
    ]);
    for (const all of heard) {
      const wrong = all.findIndex((line, i) => line !== `A: ${sent[i]}`);
      assertEquals(wrong, -1, `line ${wrong} is another`);
    }
    await lineThat(
      server.program.stdout,
      /lost a client: .*it reads too slowly/,
    );
  },
);
