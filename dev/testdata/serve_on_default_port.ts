// Started without the permission to listen: the error names the address.
import { lines, serve } from "../../mod.ts";

const server = serve({ framing: lines() }, (connection) => connection.close());
await server.shutdown();
