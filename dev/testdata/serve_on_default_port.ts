// Started without the permission to listen, it tells where it would.
import { lines, serve } from "../../mod.ts";

const server = serve({ framing: lines() }, (connection) => connection.close());
await server.shutdown();
