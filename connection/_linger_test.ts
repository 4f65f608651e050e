import { assert } from "@std/assert";
import { Linger } from "./_linger.ts";
import { overriding, sockets, turn } from "./_testing.ts";

Deno.test("Linger lets others have their turn while a peer sends without end", async () => {
  const [conn, peer] = await sockets();
  const most = 1_000_000; // without turns, all of them come first
  let reads = 0;
  const linger = new Linger({
    conn: overriding(conn, {
      read: ({ length }) => Promise.resolve(++reads < most ? length : null),
    }),
    sendEnd: () => Promise.resolve(),
    isPeerSending: () => true,
    onBytes() {},
  });
  await turn();
  assert(reads < most);
  reads = most;
  await linger.stopped;
  conn.close();
  peer.close();
});
