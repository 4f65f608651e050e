import { assertEquals } from "@std/assert";
import { Connection } from "../connection.ts";
import { lines } from "../framing.ts";
import { connectionPair } from "../testing.ts";
import { Quiet } from "./_quiet.ts";

Deno.test("Quiet does not count the time between two calls of receive()", async () => {
  await using pair = connectionPair({ framing: lines() });
  using quiet = new Quiet(50);
  quiet.begin();
  await pair.far.send("one");
  assertEquals(await quiet.receive(pair.near), "one");

  // A timer of the same length that was set earlier would fire before this one.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await pair.far.send("two");
  await pair.far.flush();
  assertEquals(await quiet.receive(pair.near), "two");
  assertEquals(quiet.isOver, false);
  assertEquals(await quiet.receive(pair.near), undefined);
  assertEquals(quiet.isOver, true);
});

Deno.test("Quiet counts from the last byte, not from the last message", async () => {
  await using pair = connectionPair({ framing: lines() });
  using quiet = new Quiet(50);
  quiet.begin();
  const received = quiet.receive(pair.near);
  await pair.farTransport.write(new TextEncoder().encode("o"));

  // A timer that was set later fires after the one above.
  await new Promise((resolve) => setTimeout(resolve, 55));
  await pair.farTransport.write(new TextEncoder().encode("ne\n"));
  assertEquals(await received, "one");
  assertEquals(await quiet.receive(pair.near), undefined);
});

Deno.test("Quiet takes a message that came while the process was stopped", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using peer = await Deno.connect({ port: listener.addr.port });
  await using connection = new Connection(await listener.accept(), {
    framing: lines(),
  });
  using quiet = new Quiet(50);
  quiet.begin();
  const received = quiet.receive(connection);
  const written = peer.write(new TextEncoder().encode("one\n"));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  assertEquals(await received, "one");
  await written;
});
