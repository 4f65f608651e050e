// deno-lint-ignore-file no-console -- it tells the test by it
// Waits for connections, though it was told once that it need not.
import { lines, serve } from "../../mod.ts";

const server = serve(
  { hostname: "127.0.0.1", port: 0, framing: lines() },
  (connection) => connection.send("here"),
);
server.unref();
server.ref();
console.log(server.addr.port);
