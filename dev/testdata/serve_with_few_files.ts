// deno-lint-ignore-file no-console -- its output is read by the test
// Started with a low limit of open files. Tells the port, and each error.
import { lines, serve } from "../../mod.ts";

const { addr } = serve({
  hostname: "127.0.0.1",
  port: 0,
  framing: lines(),
  onError(error, connection) {
    console.log(`${error} at ${connection === undefined ? "accept" : "work"}`);
  },
}, async (connection) => {
  for await (const line of connection) await connection.send(line);
});
console.log(addr.port);
