/**
 * What a collector receives from a program started with `OTEL_DENO=true`.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";

/** In OTLP's JSON form. */
interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}

interface OtlpSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly Attribute[];
}

interface Traces {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface Metrics {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly {
      readonly scope: { readonly name: string };
      readonly metrics: readonly { readonly name: string }[];
    }[];
  }[];
}

const PROGRAM = `
  import "@framed/tcp/otel";
  import { connect, lines, serve } from "@framed/tcp";
  import { trace } from "@opentelemetry/api";

  const framing = lines();
  await trace.getTracer("app").startActiveSpan("work", async (span) => {
    await using server = serve(
      { hostname: "127.0.0.1", port: 0, framing },
      async (connection) => {
        for await (const line of connection) await connection.send(line);
      },
    );
    const client = await connect({ port: server.addr.port, framing });
    await client.request("hello");
    await client.close();
    const failing = await connect({ port: server.addr.port, framing });
    await failing.request("hello");
    failing.abort(new RangeError("Enough"));
    await failing.closed.catch(() => {});
    span.end();
  });
  // Deno asks for what is read from connections at intervals, not at the end.
  for await (const _ of Deno.stdin.readable);
`;

const METRICS = [
  "framed_tcp.connection.active",
  "framed_tcp.connection.blocked_time",
  "framed_tcp.connection.buffered",
  "framed_tcp.connection.duration",
  "framed_tcp.connection.errors",
  "framed_tcp.connection.io",
  "framed_tcp.connection.messages",
  "framed_tcp.connection.opened",
];

Deno.test("A collector gets spans and metrics with OTEL_DENO=true and one import", async () => {
  const spans: OtlpSpan[] = [];
  const metrics = new Set<string>();
  const { promise: hasMetrics, resolve } = Promise.withResolvers<void>();
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v1/traces") {
        const { resourceSpans }: Traces = await request.json();
        spans.push(
          ...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans)
            .flatMap(({ spans }) => spans),
        );
      } else if (pathname === "/v1/metrics") {
        const { resourceMetrics }: Metrics = await request.json();
        resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics)
          .filter(({ scope }) => scope.name === "@framed/tcp")
          .flatMap(({ metrics }) => metrics)
          .forEach(({ name }) => metrics.add(name));
        if (metrics.size >= METRICS.length) resolve();
      } else {
        await request.bytes();
      }
      return Response.json({});
    },
  );
  const { port } = collector.addr;
  // The program has this project's imports, like a user's program.
  const folder = new URL("../", import.meta.url);
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, resolved(PROGRAM, folder));
    await using child = new Deno.Command("deno", {
      args: [
        ...["run", "--no-check", "--quiet", "--allow-net=127.0.0.1"],
        "--config=deno.json",
        file,
      ],
      cwd: folder,
      env: {
        NO_COLOR: "1",
        OTEL_DENO: "true",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        OTEL_METRIC_EXPORT_INTERVAL: "100",
      },
      stdin: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = new Response(child.stderr).text();
    await Promise.race([hasMetrics, child.status]);
    await child.stdin.close();
    const { code } = await child.status;
    assertEquals(code, 0, await stderr);
  } finally {
    await Deno.remove(file);
  }

  const ours = spans.filter(({ name }) => name === "framed_tcp.connection");
  assertEquals(ours.map(({ kind }) => kind).sort(), [2, 2, 3, 3]);
  const work = spans.find(({ name }) => name === "work");
  assert(work !== undefined);
  // A client's span is a child of the span that was active, a server's is a root.
  assertEquals(
    ours.filter(({ parentSpanId }) => parentSpanId === work.spanId)
      .map(({ kind }) => kind),
    [3, 3],
  );
  const failed = ours.find(({ attributes }) =>
    attributes.some(({ key, value }) =>
      key === "error.type" && value.stringValue === "RangeError"
    )
  );
  assert(failed !== undefined);
  assertEquals(failed.kind, 3);
  const names = failed.attributes.map(({ key }) => key);
  for (
    const name of [
      "network.transport",
      "network.peer.address",
      "network.peer.port",
      "network.local.address",
      "server.address",
    ]
  ) {
    assert(names.includes(name), `${names}`);
  }
  assertEquals([...metrics].sort(), METRICS);
});

/** `program`, with the package's entry points replaced by their files. */
function resolved(program: string, folder: URL): string {
  return program
    .replace('"@framed/tcp/otel"', JSON.stringify(new URL("otel.ts", folder)))
    .replace('"@framed/tcp"', JSON.stringify(new URL("mod.ts", folder)));
}
