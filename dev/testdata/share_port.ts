// deno-lint-ignore-file no-console -- its output is read by the test
// Started with --unstable-net. Ends once both servers have had a connection.
import { connect, lines, serve } from "../../mod.ts";

const framing = lines();
const options = { hostname: "127.0.0.1", reusePort: true, framing };
await using one = serve(
  { ...options, port: 0 },
  (connection) => connection.send("one"),
);
const { port } = one.addr;
await using _two = serve(
  { ...options, port },
  (connection) => connection.send("two"),
);
const answers = new Set<string | undefined>();
while (answers.size < 2) {
  await using client = await connect({ port, framing });
  answers.add(await client.receive());
}
console.log([...answers].sort().join());
