/** What the suites of this folder found, each as small as it could be made. */
import { assertEquals } from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import { connect } from "../client.ts";
import { serve } from "../server.ts";

Deno.test("serve() goes on at once after peers that were gone before it accepted them", async () => {
  const errors: unknown[] = [];
  await using server = serve({
    hostname: "127.0.0.1",
    port: 0,
    maxConnections: 1,
    onError: (error) => void errors.push(error),
  }, async (connection) => {
    for await (const message of connection) await connection.send(message);
  });
  const { port } = server.addr;
  const first = await connect({ port });
  await first.request("first");
  // While the server accepts nobody, these come and are reset.
  for (let count = 0; count < 3; count++) {
    const socket = net.connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.resetAndDestroy();
    await once(socket, "close");
  }
  await first.close();
  await using second = await connect({ port });
  await second.request("second");

  // An error would have been told, and accepting have paused.
  assertEquals(errors, []);
});
