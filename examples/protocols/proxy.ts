/**
 * A TCP proxy: it forwards a client's bytes to another server, and the server's answers
 * back. It reads no protocol, so it works for all of them.
 *
 * ```text
 * client ──► serve() ── batches() ── forward() ──► connect() ──► the other server
 *        ◄──         ── forward() ── batches() ──            ◄──
 * ```
 *
 * Three things are easy to get wrong, and are one line each here:
 *
 * - When one side half-closes, the other may still have much to send. So the end is
 *   forwarded with `closeWrite()`, in each direction separately.
 * - A slow receiver must slow the sender down, or the proxy's memory grows. So more is
 *   read only after `await forward()`.
 * - When one side breaks, the other must not wait forever: it is aborted.
 *
 * The other server sees the proxy's address instead of the client's. The PROXY protocol
 * names the client, in one line before everything else. `serve()` reads it with
 * `proxyProtocol`.
 *
 * ```text
 * PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\n
 * ```
 *
 * ```sh
 * deno run --allow-net examples/protocols/proxy.ts --port 8080 --to example.com:80
 * curl -H 'Host: example.com' http://127.0.0.1:8080/
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { connect, serve, unframed } from "@framed/tcp";
import type { Address, Bytes, Connection, Sendable, Server } from "@framed/tcp";

/** Options for {@linkcode proxy}. */
export interface ProxyOptions {
  /** The port to listen on, only on this machine. */
  port: number;
  /** The server that clients are connected to. */
  to: { hostname: string; port: number };
  /** Whether another proxy is in front of this one, and names the client's address. */
  proxyProtocol?: boolean;
  /** Whether to send that server the client's address first. */
  sendProxyHeader?: boolean;
  /** Called with the reason when a client is lost. */
  onError?: (error: unknown) => void;
}

/** Connects each client to another server. */
export function proxy(
  options: ProxyOptions,
): Server<Bytes, Sendable, Deno.NetAddr> {
  const { to, sendProxyHeader = false, ...others } = options;
  const framing = unframed();
  return serve(
    { ...others, hostname: "127.0.0.1", framing },
    async (client, { remoteAddr }) => {
      // Aborted with the client; and if it breaks itself, this handler fails.
      const { signal } = client;
      await using server = await connect({ ...to, framing, signal });
      if (sendProxyHeader) {
        await server.send(proxyHeader(remoteAddr, client.localAddr));
      }
      await Promise.all([pass(client, server), pass(server, client)]);
    },
  );
}

/** Forwards what one side sends, and then its end. */
async function pass(from: Connection, to: Connection): Promise<void> {
  for await (const batch of from.batches()) await to.forward(batch);
  await to.closeWrite();
}

/** The first line of the PROXY protocol, version 1: who the client is. */
export function proxyHeader(from: Address, to: Address | undefined): string {
  if (!("hostname" in from) || to === undefined || !("hostname" in to)) {
    return "PROXY UNKNOWN\r\n";
  }
  const family = from.hostname.includes(":") ? "TCP6" : "TCP4";
  return `PROXY ${family} ${from.hostname} ${to.hostname} ${from.port} ${to.port}\r\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "8080" },
      to: { type: "string", default: "127.0.0.1:8000" },
      "accept-proxy": { type: "boolean", default: false },
      "send-proxy": { type: "boolean", default: false },
    },
  });
  const to = new URL(`tcp://${values.to}`);
  const server = proxy({
    port: Number(values.port),
    to: { hostname: to.hostname, port: Number(to.port) },
    proxyProtocol: values["accept-proxy"],
    sendProxyHeader: values["send-proxy"],
    onError: (error) => console.log(`Lost a client: ${error}`),
  });
  console.log(`Passing port ${server.addr.port} on to ${values.to}`);
  await server.finished;
}
