import { connect, lines, serve, unframed } from "@framed/tcp";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  start,
  startExample,
  temporaryFolder,
} from "../../dev/interop/_peers.ts";
import { connectWhenReady, freePort } from "./_testing.ts";
import { proxy, proxyHeader } from "./proxy.ts";

const hostname = "127.0.0.1";
const framing = lines();

/** Answers with the number of lines, when its client has ended. */
function countingServer() {
  return serve({ hostname, port: 0, framing }, async (connection) => {
    const received = await Array.fromAsync(connection);
    await connection.send(`${received.length} lines, then the end`);
  });
}

Deno.test("proxy.ts forwards the end of each direction separately", async () => {
  await using counting = countingServer();
  await using passing = proxy({ port: 0, to: counting.addr });
  await using client = await connect({ port: passing.addr.port, framing });
  for (let i = 0; i < 1000; i++) await client.send("x".repeat(1000));
  await client.closeWrite();
  assertEquals(await client.receive(), "1000 lines, then the end");
  assertEquals(await client.receive(), undefined);
});

Deno.test("proxy.ts forwards the end of the server, and continues to send", async () => {
  const received = Promise.withResolvers<string[]>();
  await using server = serve(
    { hostname, port: 0, framing },
    async (connection) => {
      await connection.send("no more from here");
      await connection.closeWrite();
      received.resolve(await Array.fromAsync(connection));
    },
  );
  await using passing = proxy({ port: 0, to: server.addr });
  await using client = await connect({ port: passing.addr.port, framing });
  assertEquals(
    await Array.fromAsync(client),
    ["no more from here"],
  );
  await client.send("still here");
  await client.closeWrite();
  assertEquals(await received.promise, ["still here"]);
});

Deno.test("proxy.ts slows down a client whose server does not read", async () => {
  const goOn = Promise.withResolvers<void>();
  await using server = serve(
    { hostname, port: 0, framing: unframed() },
    async (connection) => {
      await goOn.promise;
      let length = 0;
      for await (const bytes of connection) length += bytes.length;
      await connection.send(`${length}`);
    },
  );
  await using passing = proxy({ port: 0, to: server.addr });
  await using client = await connect({
    port: passing.addr.port,
    framing: unframed(),
  });
  const piece = new Uint8Array(1_000_000);
  const total = 40;
  let sent = 0;
  const sending = (async () => {
    for (; sent < total; sent++) await client.send(piece);
    await client.closeWrite();
  })();
  // The proxy and the kernel hold some buffers, which is far less.
  while (client.stats().blockedTime < 200 && sent < total) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  goOn.resolve();
  assert(sent < total, "The proxy took everything");
  await sending;
  const answer = await client.receive();
  assertEquals(new TextDecoder().decode(answer), `${total * piece.length}`);
});

Deno.test("proxy.ts ends only the client whose server fails", async () => {
  const errors: unknown[] = [];
  await using server = serve(
    { hostname, port: 0, framing, onError: () => {} },
    async (connection) => {
      for await (const line of connection) {
        if (line === "break") throw new Error("Broken"); // with bytes unread
        await connection.send(line);
      }
    },
  );
  const onError = (error: unknown) => void errors.push(error);
  await using passing = proxy({ port: 0, to: server.addr, onError });
  const { port } = passing.addr;
  await using one = await connect({ port, framing });
  await using other = await connect({ port, framing });
  assertEquals(await one.request("hello"), "hello");
  one.send("break");
  for await (const _line of one);
  await one.close();
  assertEquals(await other.request("hello"), "hello");
  await other.close();
  await server.shutdown();

  // Then a client whose server is gone.
  await using late = await connect({ port, framing });
  assertEquals(await Array.fromAsync(late), []);
  assertStringIncludes(`${errors.at(-1)}`, `${server.addr.port}`);
});

peerTest(
  await isInstalled("socat"),
  "proxy.ts keeps the half-close of socat",
  async () => {
    await using counting = countingServer();
    const { port } = counting.addr;
    await using program = startExample("protocols/proxy.ts", [], [
      ...["--port", "0", "--to", `${hostname}:${port}`],
    ]);
    const [own = ""] = await lineThat(program.stdout, /^Passing port (\d+)/);
    await using socat = start(
      ["socat", "-t30", "STDIO", `TCP:${hostname}:${own}`],
      ["one", "two"],
    );
    assertEquals(await assertSuccess(socat), ["2 lines, then the end"]);
  },
);

peerTest(
  await isInstalled("haproxy"),
  "proxy.ts sends HAProxy the client's address",
  async () => {
    // HAProxy forwards the address that it received.
    await using server = serve(
      { hostname, port: 0, framing },
      async (connection) => {
        for await (const line of connection) await connection.send(line);
      },
    );
    await using folder = await temporaryFolder();
    const port = freePort();
    const config = `${folder.path}/haproxy.cfg`;
    await Deno.writeTextFile(
      config,
      `
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend in
  bind ${hostname}:${port} accept-proxy
  default_backend out
backend out
  server one ${hostname}:${server.addr.port} send-proxy
`,
    );
    await using _haproxy = start(["haproxy", "-db", "-f", config]);
    await (await connectWhenReady(port, framing)).close();
    await using passing = proxy({
      port: 0,
      to: { hostname, port },
      sendProxyHeader: true,
    });
    await using client = await connect({ port: passing.addr.port, framing });
    client.send("hello");
    const { localAddr } = client;
    if (localAddr?.transport !== "tcp") throw new TypeError("No address");
    assertEquals(
      await client.receive(),
      `PROXY TCP4 ${hostname} ${hostname} ${localAddr.port} ${passing.addr.port}`,
    );
    assertEquals(await client.receive(), "hello");
  },
);

Deno.test("proxy.ts forwards the address from another proxy", async () => {
  await using server = serve(
    { hostname, port: 0, framing, proxyProtocol: true },
    (connection) => {
      const { remoteAddr } = connection;
      if (remoteAddr?.transport !== "tcp") throw new TypeError("No address");
      return connection.send(`hello, port ${remoteAddr.port}`);
    },
  );
  const errors: unknown[] = [];
  await using second = proxy({
    port: 0,
    to: server.addr,
    proxyProtocol: true,
    sendProxyHeader: true,
    onError: (error) => void errors.push(error),
  });
  await using first = proxy({
    port: 0,
    to: second.addr,
    sendProxyHeader: true,
  });
  await using client = await connect({ port: first.addr.port, framing });
  const { localAddr } = client;
  if (localAddr?.transport !== "tcp") throw new TypeError("No address");
  assertEquals(await client.receive(), `hello, port ${localAddr.port}`);

  // A connection without the header is refused.
  await using stranger = await connect({ port: second.addr.port, framing });
  stranger.send("hello");
  // Its bytes are not read, so it may get a reset.
  await Array.fromAsync(stranger).catch(() => {});
  await second.shutdown();
  assertStringIncludes(`${errors}`, "PROXY");
});

Deno.test("proxyHeader() writes addresses of each family", () => {
  const from = { transport: "tcp", hostname: "::1", port: 1 } as const;
  const to = { transport: "tcp", hostname: "::2", port: 2 } as const;
  assertEquals(proxyHeader(from, to), "PROXY TCP6 ::1 ::2 1 2\r\n");
  const unix = { transport: "unix", path: "/x" } as const;
  assertEquals(proxyHeader(unix, to), "PROXY UNKNOWN\r\n");
});
