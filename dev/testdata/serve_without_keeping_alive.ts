// deno-lint-ignore-file no-console -- its output is read by the test
// Ends by itself, as neither the server nor its connections keep it alive.
import { connect, lines, serve } from "../../mod.ts";

const framing = lines();
const server = serve(
  { hostname: "127.0.0.1", port: 0, framing },
  async (connection) => {
    for await (const line of connection) await connection.send(line);
  },
);
// It waits for a PROXY header from silent peers.
const waiting = serve({
  hostname: "127.0.0.1",
  port: 0,
  framing,
  proxyProtocol: true,
  handshakeTimeout: 2 ** 31 - 1,
}, () => {});
await Deno.connect({ hostname: "127.0.0.1", port: waiting.addr.port });
const { port } = server.addr;
const before = await connect({ port, framing });
console.log(await before.request("accepted before unref"));
server.unref();
waiting.unref();
await Deno.connect({ hostname: "127.0.0.1", port: waiting.addr.port });
const after = await connect({ port, framing });
console.log(await after.request("accepted after unref"));
for (const client of [before, after]) {
  client.receive();
  client.unref();
}
