// deno-lint-ignore-file no-console -- its output is read by the test
/**
 * A server program that ends on SIGTERM as in the README. It prints its port, the
 * pending request, and at its end the number of requests it has read. Its argument is
 * the timeout.
 */
import { delay } from "@std/async/delay";
import { lines, serve } from "../../mod.ts";

const timeout = Number(Deno.args[0]);
const signalled = Promise.withResolvers<void>();
let read = 0;

const server = serve(
  { hostname: "127.0.0.1", port: 0, framing: lines() },
  async (connection) => {
    try {
      for await (const line of connection) {
        await work(line);
        await connection.send(line.toUpperCase());
      }
    } finally {
      read += connection.stats().messagesReceived;
    }
  },
);
console.log(server.addr.port);

Deno.addSignalListener("SIGTERM", async () => {
  signalled.resolve();
  await server.shutdown({ timeout });
  console.log(read);
  Deno.exit();
});

async function work(line: string): Promise<void> {
  if (line.startsWith("a while")) await delay(1);
  if (line === "beyond the signal") {
    console.log(line);
    await signalled.promise;
    await delay(20);
  }
  if (line === "for ever") {
    console.log(line);
    for (;;) await delay(1000);
  }
}
