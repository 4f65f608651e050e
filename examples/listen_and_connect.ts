/**
 * Lesson 1: listen, connect, accept, write, read.
 *
 * A server prints what it receives. A new client connects every second, sends a
 * line, reads the answer and closes.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/listen_and_connect.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { setTimeout as delay } from "node:timers/promises";
import { connect, lines, serve, type Server } from "@framed/tcp";
import { runLesson } from "./_lesson.ts";

// Both sides must agree on where messages begin and end.
const framing = lines();

function listen(port: number): Server<string, string, Deno.NetAddr> {
  return serve({
    hostname: "127.0.0.1",
    port,
    framing,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
  }, async (connection) => {
    // This function runs once for each accepted connection.
    console.log("Server: accepted a connection");
    for await (const message of connection) {
      console.log(`Server: received "${message}"`);
      await connection.send(`I heard "${message}"`);
    }
    console.log("Server: the client has closed");
  });
}

async function dial(port: number): Promise<void> {
  for (let number = 1; number <= 3; number++) {
    if (number > 1) await delay(1000);
    // `await using` closes the connection at the end of the block, after
    // sending what is queued.
    await using connection = await connect({ port, framing });
    console.log(`Client ${number}: connected`);
    await connection.send(`hello from client ${number}`);
    console.log(`Client ${number}: received "${await connection.receive()}"`);
  }
}

await runLesson({ file: "examples/listen_and_connect.ts", listen, dial });
