import { type Attributes, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import process from "node:process";
import { instrument } from "./instrument.ts";
import { connect } from "../client.ts";
import type { Connection } from "../connection/connection.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { serve } from "../server.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { type Point, telemetry } from "./_testing.ts";
import { turn } from "../connection/_testing.ts";

const framing = lines();

/** The value of the point with at least these attributes. */
function valueOf(
  points: readonly Point[] | undefined,
  attributes: Attributes = {},
): unknown {
  const point = points?.find((point) =>
    Object.entries(attributes).every(([name, value]) =>
      point.attributes[name] === value
    )
  );
  return point?.value;
}

async function echo(connection: Connection<string, string>): Promise<void> {
  for await (const line of connection) await connection.send(line);
}

Deno.test("instrument() makes a span for each side of a connection, with OpenTelemetry's names", async () => {
  await using otel = telemetry();
  const server = serve({ hostname: "127.0.0.1", port: 0, framing }, echo);
  const { port } = server.addr;
  const client = await connect({ hostname: "localhost", port, framing });
  const { localAddr, remoteAddr } = client;
  assert(localAddr?.transport === "tcp" && remoteAddr?.transport === "tcp");
  assertEquals(await client.request("hello"), "hello");
  assertEquals(otel.spans, []);
  await client.close();
  await server.shutdown();

  const network = { "network.transport": "tcp", "network.type": "ipv4" };
  const counts = {
    "framed_tcp.connection.bytes_received": 6,
    "framed_tcp.connection.bytes_sent": 6,
    "framed_tcp.connection.messages_received": 1,
    "framed_tcp.connection.messages_sent": 1,
  };
  const ofKind = (wanted: SpanKind) => {
    const span = otel.spans.find(({ kind }) => kind === wanted);
    assert(span !== undefined, `no span of kind ${wanted}`);
    assertEquals(span.name, "framed_tcp.connection");
    assertEquals(span.status.code, SpanStatusCode.UNSET);
    const {
      "framed_tcp.connection.blocked_time": blockedTime,
      ...attributes
    } = span.attributes;
    assertEquals(typeof blockedTime, "number");
    return attributes;
  };
  assertEquals(otel.spans.length, 2);
  assertEquals(ofKind(SpanKind.CLIENT), {
    ...network,
    ...counts,
    "framed_tcp.connection.role": "client",
    "server.address": "localhost",
    "server.port": port,
    "network.peer.address": remoteAddr.hostname,
    "network.peer.port": port,
    "network.local.address": localAddr.hostname,
    "network.local.port": localAddr.port,
  });
  assertEquals(ofKind(SpanKind.SERVER), {
    ...network,
    ...counts,
    "framed_tcp.connection.role": "server",
    "server.port": port,
    "network.peer.address": localAddr.hostname,
    "network.peer.port": localAddr.port,
    "network.local.address": remoteAddr.hostname,
    "network.local.port": port,
  });
});

Deno.test("instrument() counts the work of open and ended connections", async () => {
  await using otel = telemetry();
  const server = serve({ hostname: "127.0.0.1", port: 0, framing }, echo);
  const { port } = server.addr;
  const first = await connect({ port, framing });
  await first.request("hello");
  const second = await connect({ port, framing });
  await second.request("good bye");
  await first.close();
  await first.closed;

  const client = { "framed_tcp.connection.role": "client" };
  const sent = { ...client, "network.io.direction": "transmit" };
  const received = { ...client, "network.io.direction": "receive" };
  const before = await otel.collect();
  const clientValues = (metrics: typeof before) => ({
    active: valueOf(metrics.get("framed_tcp.connection.active"), client),
    opened: valueOf(metrics.get("framed_tcp.connection.opened"), client),
    bytesSent: valueOf(metrics.get("framed_tcp.connection.io"), sent),
    bytesReceived: valueOf(metrics.get("framed_tcp.connection.io"), received),
    messagesSent: valueOf(metrics.get("framed_tcp.connection.messages"), sent),
    messagesReceived: valueOf(
      metrics.get("framed_tcp.connection.messages"),
      received,
    ),
    buffered: valueOf(metrics.get("framed_tcp.connection.buffered"), client),
  });
  const expected = {
    active: 1,
    opened: 2,
    bytesSent: 15,
    bytesReceived: 15,
    messagesSent: 2,
    messagesReceived: 2,
    buffered: 0,
  };
  assertEquals(clientValues(before), expected);

  await second.close();
  await server.shutdown();
  const after = await otel.collect();
  assertEquals(clientValues(after), { ...expected, active: 0 });
  const durations = after.get("framed_tcp.connection.duration");
  assertEquals(countOf(valueOf(durations, client)), 2);
  assertEquals(countOf(valueOf(durations, { "server.port": port })), 2);
  assertEquals(after.get("framed_tcp.connection.errors"), undefined);
});

/** The number of values in a histogram. */
function countOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "count" in value
    ? value.count
    : undefined;
}

Deno.test("instrument() reports errors by their codes", async () => {
  await using otel = telemetry();
  const errors: [unknown, string][] = [
    [new DOMException("A timeout", "TimeoutError"), "TimeoutError"],
    [
      Object.assign(new Deno.errors.ConnectionReset("reset"), {
        code: "ECONNRESET",
      }),
      "ECONNRESET",
    ],
    [new Deno.errors.ConnectionReset("reset"), "ConnectionReset"],
    [new RangeError("mine"), "RangeError"],
    ["a text", "_OTHER"],
  ];
  for (const [error] of errors) {
    await using pair = connectionPair({ framing });
    pair.near.abort(error);
    await pair.near.closed.catch(() => {});
    await pair.far.close();
  }
  await using pair = connectionPair({
    near: { framing },
    far: { framing: lengthPrefixed({ maxLength: 4 }) },
  });
  await pair.near.send("hello");
  await assertRejects(() => pair.far.receive());
  await pair.near.close();
  await pair.far.closed.catch(() => {});

  const metrics = await otel.collect();
  const points = metrics.get("framed_tcp.connection.errors");
  const durations = metrics.get("framed_tcp.connection.duration");
  const types = [...errors.map(([, type]) => type), "too-long"];
  for (const type of types) {
    const attributes = { "error.type": type };
    assertEquals(valueOf(points, attributes), 1, type);
    assertEquals(countOf(valueOf(durations, attributes)), 1, type);
    const span = otel.spans.find((span) =>
      span.attributes["error.type"] === type
    );
    assertEquals(span?.status.code, SpanStatusCode.ERROR, type);
  }
  assertEquals(points?.length, types.length);
  const { status } =
    otel.spans.find(({ attributes }) =>
      attributes["error.type"] === "RangeError"
    ) ?? {};
  assertEquals(status?.message, "mine");
});

Deno.test("instrument() reports connections that a server has ended by its timeout and its signal", async () => {
  await using otel = telemetry();
  const endings = [
    (server: { shutdown(options: { timeout: number }): Promise<void> }) =>
      server.shutdown({ timeout: 1 }),
    (_server: unknown, controller: AbortController) => controller.abort(),
  ];
  for (const end of endings) {
    const controller = new AbortController();
    const accepted = Promise.withResolvers<void>();
    await using server = serve({
      hostname: "127.0.0.1",
      port: 0,
      framing,
      signal: controller.signal,
      onError: () => {},
    }, async (connection) => {
      accepted.resolve();
      await connection.closed;
    });
    await using client = await connect({ port: server.addr.port, framing });
    await accepted.promise;
    await end(server, controller);
    await server.finished;
    await client.receive().catch(() => {});
  }
  const ofServer = otel.spans.filter(({ kind }) => kind === SpanKind.SERVER);
  assertEquals(
    ofServer.map(({ attributes }) => attributes["error.type"]),
    ["TimeoutError", "AbortError"],
  );
});

/** The messages of spans whose connections were aborted with values of no known type. */
async function messagesOfAborts(
  values: readonly unknown[],
): Promise<(string | undefined)[]> {
  await using otel = telemetry();
  for (const value of values) {
    await using pair = connectionPair({ framing });
    pair.near.abort(value);
    await pair.near.closed.catch(() => {});
  }
  const failed = otel.spans.filter(({ attributes }) =>
    attributes["error.type"] === "_OTHER"
  );
  return failed.map(({ status }) => status.message);
}

Deno.test("instrument() ends the span of a connection that ended with any value", async () => {
  assertEquals(
    await messagesOfAborts([Object.create(null), Symbol("s"), null, "a text"]),
    ["An object that is no Error", "Symbol(s)", "null", "a text"],
  );
});

Deno.test("instrument() ends the span of a connection whose error cannot be read", async () => {
  const fail = () => {
    throw new Error("Cannot be read");
  };
  const unreadable = [
    Object.defineProperty(new Error("no code"), "code", { get: fail }),
    new Proxy({}, { getPrototypeOf: fail }),
  ];
  assertEquals(await messagesOfAborts(unreadable), [
    "no code",
    "what cannot be shown",
  ]);
});

Deno.test("instrument() ends the span of a connection whose error throws when it is converted to text", async () => {
  class SilentError extends Error {
    override get message(): string {
      throw new Error("no message");
    }
  }
  await using otel = telemetry();
  await using pair = connectionPair({ framing });
  pair.near.abort(new SilentError());
  await pair.near.closed.catch(() => {});
  const [span] = otel.spans;
  assertEquals(span?.status.message, "what cannot be shown");
});

Deno.test("instrument() reports a peer that does not read", async () => {
  await using otel = telemetry();
  await using pair = connectionPair({ framing, bufferSize: 1000 });
  const startedAt = performance.now();
  const sending = pair.near.send("x".repeat(100_000));
  let metrics = await otel.collect();
  const valueNow = (name: string) =>
    Number(valueOf(metrics.get(`framed_tcp.connection.${name}`)));
  while (!(valueNow("blocked_time") > 0)) {
    await turn();
    metrics = await otel.collect();
  }
  // Seconds, as everywhere in OpenTelemetry.
  assert(valueNow("blocked_time") <= (performance.now() - startedAt) / 1000);
  assert(valueNow("buffered") > 90_000);
  sending.catch(() => {});
});

// A counter keeps its last value.
const STILL_TOLD = [
  "framed_tcp.connection.active",
  "framed_tcp.connection.opened",
];

function activeAndNames(
  metrics: Map<string, readonly Point[]>,
): [unknown, string[]] {
  return [
    valueOf(metrics.get("framed_tcp.connection.active")),
    [...metrics.keys()].sort(),
  ];
}

Deno.test("instrument() replaces the previous instrumentation", async () => {
  await using otel = telemetry();
  const before = connectionPair({ framing });
  await using newer = telemetry();
  // The spans of open connections have ended, and neither instrumentation counts their
  // ends.
  assertEquals(otel.spans.length, 2);
  await before[Symbol.asyncDispose]();
  assertEquals(otel.spans.length, 2);
  await using _pair = connectionPair({ framing });
  assertEquals(activeAndNames(await otel.collect()), [0, STILL_TOLD]);
  const active = (await newer.collect()).get("framed_tcp.connection.active");
  assertEquals(valueOf(active), 2);
});

Deno.test("instrument() reports nothing when it is disposed of", async () => {
  await using otel = telemetry();
  await using _pair = connectionPair({ framing });
  otel.stop();
  await using _other = connectionPair({ framing });
  assertEquals(activeAndNames(await otel.collect()), [0, STILL_TOLD]);
  assertEquals(otel.spans.length, 2);
  otel.stop();
});

Deno.test("instrument() finds providers that are registered later", async () => {
  await using otel = telemetry(true);
  const pair = connectionPair({ framing });
  const active = (await otel.collect()).get("framed_tcp.connection.active");
  assertEquals(valueOf(active), 2);
  await pair[Symbol.asyncDispose]();
  assertEquals(otel.spans.length, 2);
});

Deno.test("instrument() names a Unix socket by its path", {
  ignore: Deno.build.os === "windows",
}, async () => {
  await using otel = telemetry();
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/socket`;
    await using server = serve({ path, framing }, echo);
    await using client = await connect({ path, framing });
    await client.request("hello");
    await client.close();
    await server.shutdown();
    const span = otel.spans.find(({ kind }) => kind === SpanKind.CLIENT);
    assertEquals(span?.attributes["server.address"], path);
    assertEquals(span?.attributes["network.peer.address"], path);
    assertEquals(span?.attributes["network.transport"], "unix");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("instrument() throws if the runtime has no diagnostics channels", () => {
  const { getBuiltinModule } = process;
  Object.assign(process, { getBuiltinModule: undefined });
  try {
    assertThrows(() => instrument(), TypeError, "diagnostics_channel");
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
});

Deno.test("instrument() refuses an invalid provider, and the previous instrumentation continues", () => {
  // Without the check, opening the first connection would end the process.
  for (const name of ["meterProvider", "tracerProvider"]) {
    assertThrows(() => instrument({ [name]: {} }), TypeError, name);
  }
});
