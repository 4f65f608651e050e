// A Worker over the sockets of Cloudflare Workers, for workerd_test.ts.
import { connect } from "cloudflare:sockets";
import { Connection } from "@framed/tcp/connection";
import { lines } from "@framed/tcp/framing";

function dial(port, options) {
  const socket = connect({ hostname: "127.0.0.1", port }, {
    allowHalfOpen: true,
  });
  return new Connection(socket, { framing: lines(), ...options });
}

const routes = {
  async echo(port) {
    await using connection = dial(port);
    return await connection.request("hello");
  },

  /** The request is over while its connection is open, with timers that are running. */
  async leave(port) {
    const connection = dial(port, {
      idleTimeout: 30_000,
      heartbeat: { interval: 10_000, message: "beat" },
    });
    const answer = await connection.request("hello");
    connection.receive().catch(() => {});
    return answer;
  },

  async idle(port) {
    await using connection = dial(port, { idleTimeout: 50 });
    return await connection.receive();
  },

  async tls(port) {
    await using connection = dial(port);
    return await connection.startTls({ serverName: "localhost" });
  },
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const port = Number(searchParams.get("port"));
    try {
      return new Response(await routes[pathname.slice(1)](port));
    } catch (error) {
      return new Response(`${error.name}: ${error.message}`);
    }
  },

  async connect(socket) {
    await using connection = new Connection(socket, { framing: lines() });
    for await (const line of connection) await connection.send(line);
  },
};
