import { assert, assertEquals, assertMatch } from "@std/assert";
import { lengthPrefixed, lines } from "../framing.ts";
import { serve } from "../server.ts";
import { Running, runTool } from "./_testing.ts";

const HOST = { hostname: "127.0.0.1", port: 0 } as const;

function echo() {
  return serve({ ...HOST, framing: lines() }, async (connection) => {
    for await (const batch of connection.batches()) {
      for (const line of batch) connection.send(line);
      await connection.flush();
    }
  });
}

interface Result {
  requests: number;
  requestsPerSecond: number;
  unanswered: number;
  seconds: number;
  bytesSent: number;
  bytesReceived: number;
  latency: {
    min: number;
    p50: number;
    p90: number;
    "p99.9": number;
    max: number;
  };
}

async function bench(port: number, ...flags: string[]): Promise<Result> {
  const { code, output, errors } = await runTool(
    ["bench", `${port}`, "-t", "150ms", "--json", ...flags],
  );
  assertEquals([code, errors], [0, ""]);
  return JSON.parse(output);
}

Deno.test("bench counts answers and measures their latency", async () => {
  await using server = echo();
  const result = await bench(
    server.addr.port,
    "-c",
    "3",
    "-P",
    "8",
    "-m",
    "hello",
  );
  assert(result.requests > 24, `${result.requests}`);
  assertEquals(result.unanswered, 0);
  assertEquals(result.bytesSent, result.bytesReceived);
  assertEquals(result.bytesSent % 6, 0);
  const { min, p50, "p99.9": high, max } = result.latency;
  assert(
    0 < min && min <= p50 && p50 <= high && high <= max,
    JSON.stringify(result),
  );
});

Deno.test("bench --rate sends that many requests a second over all connections", async () => {
  await using server = echo();
  const { requests, unanswered } = await bench(
    server.addr.port,
    "-c",
    "4",
    "-r",
    "200",
  );
  assertEquals([requests, unanswered], [30, 0]);
});

Deno.test("bench --rate sends the requests that came due while the thread was busy until the end", async () => {
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      let received = 0;
      for await (const line of connection) {
        await connection.send(line);
        if (++received !== 20) continue;
        const end = performance.now() + 150;
        while (performance.now() < end);
      }
    },
  );
  const { requests, unanswered } = await bench(server.addr.port, "-r", "200");
  assertEquals([requests, unanswered], [30, 0]);
});

Deno.test("bench --rate measures latency from the time a request was due, not from the time it was sent", async () => {
  // A server that blocks its thread half of the time, and otherwise answers
  // immediately.
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      let isFirst = true;
      for await (const line of connection) {
        if (isFirst) await new Promise((resolve) => setTimeout(resolve, 75));
        isFirst = false;
        await connection.send(line);
      }
    },
  );
  const { latency } = await bench(server.addr.port, "-r", "200");
  // One request at a time: all requests due meanwhile have waited, although only one
  // was sent.
  assert(latency.p90 > 30 && latency.max >= 70, JSON.stringify(latency));
});

Deno.test("bench sends several messages in turn, in any framing", async () => {
  const seen = new Set<string>();
  await using server = serve(
    { ...HOST, framing: lengthPrefixed() },
    async (connection) => {
      for await (const message of connection) {
        seen.add(new TextDecoder().decode(message));
        await connection.send(message);
      }
    },
  );
  const flags = [
    "--length",
    "4",
    "-m",
    "a",
    "-m",
    "b\\n",
    "-m",
    "c",
    "-e",
    "-P",
    "2",
  ];
  await bench(server.addr.port, ...flags);
  assertEquals([...seen].sort(), ["a", "b\n", "c"]);
});

Deno.test("bench --answers says how many messages answer a request", async () => {
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      for await (const line of connection) {
        for (let count = 0; count < 3; count++) connection.send(line);
        await connection.flush();
      }
    },
  );
  const { requests, bytesReceived } = await bench(
    server.addr.port,
    "--answers",
    "3",
  );
  assert(bytesReceived >= 15 * requests);
  const { code, errors } = await runTool([
    "bench",
    `${server.addr.port}`,
    "-t",
    "100ms",
  ]);
  assertEquals(code, 1);
  assertMatch(errors, /1 of 1 connections failed: More answers came/);
});

Deno.test("bench prints a readable result, and Ctrl-C ends it with the result so far", async () => {
  await using server = echo();
  await using tool = new Running(["bench", `${server.addr.port}`, "-t", "1h"]);
  while (server.connections.size === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { code, output } = await tool.interrupt();
  assertEquals(code, 0);
  assertMatch(
    output,
    /^Requests {2}[\d,]+ in [\d.]+ s, [\d,]+ a second\nBytes .*\nLatency {3}min .*p99\.9 .*\n$/,
  );
});

Deno.test("Ctrl-C ends bench with code 130 while it connects", async () => {
  using listener = Deno.listen(HOST);
  const args = ["bench", `${listener.addr.port}`, "--tls"];
  await using tool = new Running(args);
  using _silent = await listener.accept(); // so the handshake waits
  const { code, output, errors } = await tool.interrupt();
  assertEquals([code, output, errors], [130, "", ""]);
});

Deno.test("bench reports failed connections and exits with code 1", async () => {
  await using server = serve(
    { ...HOST, framing: lines() },
    async (connection) => {
      await connection.receive();
    },
  );
  const ended = await runTool(["bench", `${server.addr.port}`, "-c", "2"]);
  assertEquals(ended.code, 1);
  assertMatch(
    ended.errors,
    /^framed: 2 of 2 connections failed: The peer has ended/,
  );
  assert(!ended.output.includes("Latency"), ended.output);
});

Deno.test("bench refuses options with which it cannot measure", async () => {
  const cases: [string[], RegExp][] = [
    [["--raw"], /bench counts messages/],
    [["--fixed", "3"], /--message does not fit: .*exactly 3 bytes/],
    [["--hex", "-m", "x"], /--message must be hexadecimal/],
    [["-c", "0"], /--connections must be/],
  ];
  for (const [flags, message] of cases) {
    const { code, errors } = await runTool(["bench", "1", ...flags]);
    assertEquals(code, 2);
    assertMatch(errors, message);
  }
});
