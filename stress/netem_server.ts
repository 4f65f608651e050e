// deno-lint-ignore-file no-console -- it answers its parent by it
/**
 * The server at one end of a link. Its first line tells its ports; then it answers
 * each line of its input with what it has seen, and ends with its input.
 */
import type { Connection } from "../connection.ts";
import { FrameDecoderStream, lines } from "../framing.ts";
import { type ConnectionHandler, serve } from "../server.ts";
import type { FaultFraming } from "./fault_workloads.ts";
import {
  Arrivals,
  BROADCAST_CLIENTS,
  countOne,
  type NetemServerOptions,
  type NetemServerPorts,
  type NetemServerState,
  runLength,
  SOURCES,
} from "./netem_workloads.ts";

const options: NetemServerOptions = JSON.parse(Deno.args[0] ?? "");
const errors: Record<string, number> = {};
let handled = 0;
let wrong = 0;

type Handler = ConnectionHandler<unknown, unknown>;

function listen({ framing }: Pick<FaultFraming, "framing">, handler: Handler) {
  const { hostname, limits } = options;
  return serve({
    hostname,
    port: 0,
    framing,
    ...limits,
    onError: (error) => countOne(errors, `${error}`),
  }, handler);
}

/** Sends each message back. */
function echo(source: FaultFraming): Handler {
  return async (connection) => {
    const arrivals = new Arrivals(source);
    try {
      for await (const message of connection) {
        arrivals.add(message);
        await connection.send(message);
      }
    } finally {
      handled += arrivals.count;
      wrong += arrivals.wrong;
    }
  };
}

/** Sends all messages to so many clients once each of them has said something. */
function broadcast(source: FaultFraming): Handler {
  let group: Connection<unknown, unknown>[] = [];
  return async (connection) => {
    if (await connection.receive() === undefined) return;
    group.push(connection);
    if (group.length === BROADCAST_CLIENTS) {
      const clients = group;
      group = [];
      for (let i = 0; i < runLength(source, options.messages); i++) {
        const message = source.message(i);
        // One that has failed leaves the others alone; its own handler tells.
        await Promise.allSettled(clients.map((each) => each.send(message)));
      }
    }
    for await (const _ of connection); // until the client ends
  };
}

/** Answers when two messages have come. */
const answerPairs: Handler = async (connection) => {
  let isSecond = false;
  for await (const message of connection) {
    if (isSecond) await connection.send(message);
    isSecond = !isSecond;
  }
};

const echoes = SOURCES.map((source) => listen(source, echo(source)));
const broadcasts = SOURCES.map((source) => listen(source, broadcast(source)));
const pairs = listen(SOURCES[0]!, answerPairs); // there are some
const servers = [...echoes, ...broadcasts, pairs];
const ports: NetemServerPorts = {
  echo: echoes.map(({ addr }) => addr.port),
  broadcast: broadcasts.map(({ addr }) => addr.port),
  pairs: pairs.addr.port,
};
console.log(JSON.stringify(ports));

const input = Deno.stdin.readable.pipeThrough(new FrameDecoderStream(lines()));
for await (const _ of input) {
  const state: NetemServerState = {
    connections: servers.reduce((sum, { connections }) => {
      return sum + connections.size;
    }, 0),
    handled,
    wrong,
    errors,
  };
  console.log(JSON.stringify(state));
}
await Promise.all(servers.map((each) => each.shutdown({ timeout: 1000 })));
