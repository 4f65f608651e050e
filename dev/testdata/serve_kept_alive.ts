// deno-lint-ignore-file no-console -- it tells the test by it
// Waits for connections, though it was told once that it need not, and while there is
// room for no more.
import { lines, serve } from "../../mod.ts";

const server = serve(
  { hostname: "127.0.0.1", port: 0, framing: lines(), maxConnections: 1 },
  async (connection) => {
    await connection.send("here");
    await connection.peerEnded; // which keeps no process alive
  },
);
server.unref();
server.ref();
console.log(server.addr.port);
