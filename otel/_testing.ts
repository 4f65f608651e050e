import { metrics, trace } from "@opentelemetry/api";
import {
  AggregationTemporality,
  MeterProvider,
  MetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { instrument } from "./instrument.ts";

class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** A point of a metric. */
export interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: unknown;
}

/** Spans and metrics of connections, collected in memory by OpenTelemetry's SDK. */
export interface Telemetry extends AsyncDisposable {
  /** The spans that have ended. */
  readonly spans: readonly ReadableSpan[];
  /** The current metrics, by name. */
  collect(): Promise<Map<string, readonly Point[]>>;
  /** Stops the instrumentation. */
  stop(): void;
}

/**
 * Instruments connections until it is disposed.
 *
 * @param isGlobal Whether the providers are registered with OpenTelemetry, after the
 * instrumentation began, as an SDK may be that is set up late.
 */
export function telemetry(isGlobal = false): Telemetry {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  const reader = new Reader({
    aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE,
  });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const instrumentation = isGlobal
    ? instrument()
    : instrument({ meterProvider, tracerProvider });
  if (isGlobal) {
    metrics.setGlobalMeterProvider(meterProvider);
    trace.setGlobalTracerProvider(tracerProvider);
  }
  return {
    get spans() {
      return exporter.getFinishedSpans();
    },
    async collect() {
      const { resourceMetrics, errors } = await reader.collect();
      if (errors.length > 0) throw errors[0];
      return new Map(
        resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
          .map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints]),
      );
    },
    stop: () => instrumentation[Symbol.dispose](),
    async [Symbol.asyncDispose]() {
      instrumentation[Symbol.dispose]();
      if (isGlobal) {
        metrics.disable();
        trace.disable();
      }
      await tracerProvider.forceFlush(); // the exporter sets timers
      await tracerProvider.shutdown();
      await meterProvider.shutdown();
    },
  };
}
