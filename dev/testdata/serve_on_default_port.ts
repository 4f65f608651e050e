// Started without the permission to listen, it tells where it would.
import { type Bytes, type Sendable, serve, type Server } from "../../mod.ts";

const server: Server<Bytes, Sendable, Deno.NetAddr> = serve((connection) =>
  connection.close()
);
await server.shutdown();
