import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect } from "../client.ts";
import { lines } from "../framing/lines.ts";
import { serve } from "../server.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { Connection } from "./connection.ts";
import type {
  ConnectionCloseMessage,
  ConnectionOpenMessage,
} from "./diagnostics.ts";
import { run, until } from "./_testing.ts";

const framing = lines();
const OPEN = "framed_tcp.connection.open";
const CLOSE = "framed_tcp.connection.close";

interface Heard extends Disposable {
  readonly opened: ConnectionOpenMessage[];
  readonly closed: ConnectionCloseMessage[];
}

/** Collects what the channels publish from now on. */
function listen(): Heard {
  const opened: ConnectionOpenMessage[] = [];
  const closed: ConnectionCloseMessage[] = [];
  const onOpen = (message: unknown) =>
    void opened.push(message as ConnectionOpenMessage);
  const onClose = (message: unknown) =>
    void closed.push(message as ConnectionCloseMessage);
  subscribe(OPEN, onOpen);
  subscribe(CLOSE, onClose);
  return {
    opened,
    closed,
    [Symbol.dispose]() {
      unsubscribe(OPEN, onOpen);
      unsubscribe(CLOSE, onClose);
    },
  };
}

Deno.test("A connection that is aborted by a subscriber of the open channel leaves no listener", () => {
  const onOpen = (message: unknown) =>
    (message as ConnectionOpenMessage).connection.abort();
  subscribe(OPEN, onOpen);
  const { signal } = new AbortController();
  let listeners = 0;
  signal.addEventListener = () => listeners++;
  signal.removeEventListener = () => listeners--;
  const [transport] = transportPair();
  const connection = new Connection(transport, { framing, signal });
  unsubscribe(OPEN, onOpen);
  assertEquals([connection.hasEnded, listeners], [true, 0]);
});

Deno.test("The channels report once that a connection opens and once that it closes", async () => {
  using heard = listen();
  await using pair = connectionPair({ framing });
  const { near, far } = pair;
  assertEquals(heard.opened, [{ connection: near }, { connection: far }]);
  assertEquals(heard.closed, []);
  await near.send("hello");
  await far.receive();
  await Promise.all([near.close(), far.close()]);
  await near.close();
  near.abort();

  assertEquals(heard.closed.length, 2);
  for (const message of heard.closed) {
    assertEquals(Object.keys(message), ["connection"]);
  }
  const sent = heard.closed.find(({ connection }) => connection === near);
  assertEquals(sent?.connection.stats().messagesSent, 1);
});

Deno.test("The close channel reports when stats() are final, except for messages that are received later", async () => {
  using heard = listen();
  await using pair = connectionPair({ framing });
  const { near, far } = pair;
  await far.send("one");
  await far.send("two");
  assertEquals(await near.receive(), "one");
  await near.close();
  assertStrictEquals(heard.closed[0]?.connection, near);
  const told = near.stats();
  assertEquals(await near.receive(), "two");
  assertEquals({ ...near.stats(), messagesReceived: 1 }, told);
  assertEquals(near.stats().messagesReceived, 2);
});

Deno.test("The close channel reports the error before closed rejects", async () => {
  using heard = listen();
  await using pair = connectionPair({ framing });
  const error = new Error("No heartbeat");
  let toldBefore: number | undefined;
  const closed = pair.near.closed.catch(() => toldBefore = heard.closed.length);
  pair.near.abort(error);
  await closed;

  assertEquals(toldBefore, 1);
  assertStrictEquals(heard.closed[0]?.connection, pair.near);
  assertStrictEquals(heard.closed[0]?.error, error);
});

Deno.test("The channels report a connection whose signal was aborted before", async () => {
  using heard = listen();
  const [near, far] = transportPair();
  const signal = AbortSignal.abort(new Error("Too late"));
  const connection = new Connection(near, { framing, signal });
  assertEquals(heard.opened.length, 1);
  await assertRejects(() => connection.closed, Error, "Too late");
  assertEquals(heard.closed.length, 1);
  far.close();
});

Deno.test("The open channel does not report a connection whose constructor throws", () => {
  using heard = listen();
  const [near, far] = transportPair();
  try {
    new Connection(near, { framing, readBufferSize: 0 });
  } catch (error) {
    assertEquals(error instanceof RangeError, true);
  }
  assertEquals(heard.opened, []);
  near.close();
  far.close();
});

Deno.test("The open channel reports what opened a connection, and the server's address as it was dialled", async () => {
  using heard = listen();
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing },
    (connection) => connection.send("welcome"),
  );
  const { port } = server.addr;
  await using client = await connect({ hostname: "localhost", port, framing });
  await client.receive();

  const [byClient, byServer] = ["client", "server"].map((role) =>
    heard.opened.find((message) => message.role === role)
  );
  assertStrictEquals(byClient?.connection, client);
  assertEquals([byClient?.address, byClient?.port], ["localhost", port]);
  assertEquals(
    byServer && Object.keys(byServer).sort(),
    ["connection", "role"],
  );
  await client.close();
  await until(() => heard.closed.length === 2);
});

Deno.test("A connection works if the runtime has no diagnostics channels", async () => {
  const { output, code } = await run(`
    process.getBuiltinModule = undefined;
    const { lines } = await import("${new URL(
    "../framing.ts",
    import.meta.url,
  )}");
    const { connectionPair } = await import("${new URL(
    "../testing.ts",
    import.meta.url,
  )}");
    await using pair = connectionPair({ framing: lines() });
    await pair.near.send("hello");
    console.log(await pair.far.receive());
  `);
  assertEquals([output, code], ["hello\n", 0]);
});
