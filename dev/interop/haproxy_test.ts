/**
 * HAProxy in front of a server, sending the clients' addresses.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { connect, lines, serve } from "../../mod.ts";
import { caCerts, certificate } from "../testdata/certificates.ts";
import { type PeerServer, startListening } from "./_listening.ts";
import { isInstalled, peerTest, temporaryFolder } from "./_peers.ts";

const framing = lines();
const hasHaproxy = await isInstalled("haproxy");
// HAProxy's own options first, then those that add fields (TLV) to the header.
const HEADERS = [
  "send-proxy",
  "send-proxy-v2",
  "send-proxy-v2 proxy-v2-options unique-id,crc32c",
];

/** Starts HAProxy, which forwards connections to `port`. */
function startHaproxy(
  folder: string,
  port: number,
  options: string,
): Promise<PeerServer> {
  return startListening((ownPort) => {
    const file = `${folder}/haproxy.cfg`;
    Deno.writeTextFileSync(
      file,
      `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  unique-id-format %Ts
listen clients
  bind 127.0.0.1:${ownPort}
  server ours 127.0.0.1:${port} ${options}
`,
    );
    return ["haproxy", "-db", "-q", "-f", file];
  });
}

for (const options of HEADERS) {
  peerTest(
    hasHaproxy,
    `serve() reads client addresses from HAProxy with ${options}`,
    async () => {
      await using folder = await temporaryFolder();
      await using server = serve({
        hostname: "127.0.0.1",
        port: 0,
        framing,
        proxyProtocol: true,
      }, async (connection, { remoteAddr }) => {
        await connection.send(`${remoteAddr.hostname} ${remoteAddr.port}`);
        for await (const line of connection) await connection.send(line);
      });
      await using haproxy = await startHaproxy(
        folder.path,
        server.addr.port,
        options,
      );
      for (let round = 0; round < 3; round++) {
        await using client = await connect({ port: haproxy.port, framing });
        const { localAddr } = client;
        const port = localAddr !== undefined && "port" in localAddr
          ? localAddr.port
          : undefined;
        assertEquals(await client.receive(), `127.0.0.1 ${port}`);
        assertEquals(
          await client.request("x".repeat(100_000)),
          "x".repeat(100_000),
        );
      }
    },
  );
}

peerTest(
  hasHaproxy,
  "serve() starts TLS through HAProxy after its header",
  async () => {
    await using folder = await temporaryFolder();
    await using server = serve({
      hostname: "127.0.0.1",
      port: 0,
      framing,
      proxyProtocol: true,
    }, async (connection, { remoteAddr }) => {
      await connection.startTls({ side: "server", ...certificate });
      await connection.send(`${remoteAddr.port}`);
      for await (const line of connection) await connection.send(line);
    });
    await using haproxy = await startHaproxy(
      folder.path,
      server.addr.port,
      "send-proxy-v2",
    );
    await using client = await connect({
      port: haproxy.port,
      framing,
      tls: { caCerts },
    });
    const { localAddr } = client;
    assertEquals(
      await client.receive(),
      localAddr !== undefined && "port" in localAddr
        ? `${localAddr.port}`
        : undefined,
    );
    assertEquals(await client.request("secret"), "secret");
  },
);

peerTest(
  hasHaproxy,
  "serve() with proxyProtocol gives HAProxy's address for its own checks",
  async () => {
    await using folder = await temporaryFolder();
    const handled = Promise.withResolvers<string>();
    await using server = serve({
      hostname: "127.0.0.1",
      port: 0,
      framing,
      proxyProtocol: true,
    }, (_connection, { remoteAddr }) => handled.resolve(remoteAddr.hostname));
    await using _haproxy = await startHaproxy(
      folder.path,
      server.addr.port,
      "send-proxy-v2 check inter 100ms",
    );
    assertEquals(await handled.promise, "127.0.0.1");
  },
);

peerTest(
  hasHaproxy,
  "serve() with proxyProtocol refuses HAProxy if it sends no header",
  async () => {
    await using folder = await temporaryFolder();
    const report = Promise.withResolvers<unknown>();
    await using server = serve({
      hostname: "127.0.0.1",
      port: 0,
      framing,
      proxyProtocol: true,
      onError: report.resolve,
    }, () => {});
    await using haproxy = await startHaproxy(folder.path, server.addr.port, "");
    await using client = await connect({ port: haproxy.port, framing });
    client.send("hello");
    assertMatch(`${await report.promise}`, /PROXY header/);
    assertEquals(await client.receive().catch(() => undefined), undefined);
  },
);
