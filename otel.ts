/**
 * Metrics and spans of all connections, through OpenTelemetry.
 *
 * One import turns it on, for clients and servers alike:
 *
 * ```ts
 * import "@framed/tcp/otel";
 * ```
 *
 * In Deno, `OTEL_DENO=true` sends them to the collector that OpenTelemetry's
 * environment variables name. Elsewhere, set up an SDK before the first
 * connection opens. Without either, connections are counted and nothing is
 * sent.
 *
 * @example With a test's own providers
 * ```ts
 * import { instrument } from "@framed/tcp/otel";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import {
 *   BasicTracerProvider,
 *   InMemorySpanExporter,
 *   SimpleSpanProcessor,
 * } from "@opentelemetry/sdk-trace-base";
 * import { assertEquals } from "@std/assert";
 *
 * const exporter = new InMemorySpanExporter();
 * const spanProcessors = [new SimpleSpanProcessor(exporter)];
 * const tracerProvider = new BasicTracerProvider({ spanProcessors });
 * using _ = instrument({ tracerProvider });
 *
 * const pair = connectionPair({ framing: lines() });
 * await pair.near.send("hello");
 * await pair.far.receive();
 * await pair[Symbol.asyncDispose]();
 * await tracerProvider.forceFlush();
 *
 * const [span] = exporter.getFinishedSpans();
 * assertEquals(span?.name, "framed_tcp.connection");
 * ```
 *
 * @module
 */
export * from "./otel/instrument.ts";
