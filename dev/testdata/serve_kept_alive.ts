// deno-lint-ignore-file no-console -- its output is read by the test
// Waits for connections, though it was told once that it need not, and while there is
// room for no more.
import { lines, serve } from "../../mod.ts";

const server = serve(
  { hostname: "127.0.0.1", port: 0, framing: lines(), maxConnections: 1 },
  async (connection) => {
    await connection.send("here");
    await connection.peerEnded; // does not keep the process alive
  },
);
server.unref();
server.ref();
console.log(server.addr.port);
