import { metrics, trace } from "@opentelemetry/api";
import type {
  ConnectionCloseMessage,
  ConnectionOpenMessage,
} from "../connection/diagnostics.ts";
import { checkFunction } from "../internal/checks.ts";
import { builtinModule } from "../internal/event_loop.ts";
import { ConnectionMetrics } from "./_metrics.ts";
import { ConnectionSpans } from "./_spans.ts";

const SCOPE = "@framed/tcp";
const OPEN = "framed_tcp.connection.open";
const CLOSE = "framed_tcp.connection.close";

/** `node:diagnostics_channel`, with what our channels carry. */
interface Channels {
  subscribe(name: typeof OPEN, onOpen: OnOpen): void;
  subscribe(name: typeof CLOSE, onClose: OnClose): void;
  unsubscribe(name: typeof OPEN, onOpen: OnOpen): void;
  unsubscribe(name: typeof CLOSE, onClose: OnClose): void;
}

type OnOpen = (message: ConnectionOpenMessage) => void;
type OnClose = (message: ConnectionCloseMessage) => void;

/**
 * Options for {@linkcode instrument}.
 *
 * @example Metrics alone, with your own provider
 * ```ts
 * import { instrument, type InstrumentOptions } from "@framed/tcp/otel";
 * import { MeterProvider } from "@opentelemetry/sdk-metrics";
 * import { assertEquals } from "@std/assert";
 *
 * const options: InstrumentOptions = { meterProvider: new MeterProvider() };
 * using instrumentation = instrument(options);
 * assertEquals(typeof instrumentation[Symbol.dispose], "function");
 * ```
 */
export interface InstrumentOptions {
  // Typed through OpenTelemetry's own entry point: this module's documentation could not
  // explain a name imported here.

  /**
   * Makes the metrics: a `MeterProvider` of OpenTelemetry.
   *
   * @default The provider that is registered with OpenTelemetry when the first
   * connection is opened.
   */
  meterProvider?:
    | Pick<(typeof import("@opentelemetry/api"))["metrics"], "getMeter">
    | undefined;
  /**
   * Makes the spans: a `TracerProvider` of OpenTelemetry.
   *
   * @default The provider that is registered with OpenTelemetry when the first
   * connection is opened.
   */
  tracerProvider?:
    | Pick<(typeof import("@opentelemetry/api"))["trace"], "getTracer">
    | undefined;
}

let current: Disposable | undefined;

/**
 * Makes metrics and spans of all connections opened from now on, with your own providers.
 *
 * Importing this module calls it without options, so call it only to give providers. A
 * connection is counted once: each call replaces the one before, which is disposed of.
 *
 * @param options The providers.
 * @returns A disposable that stops it: nothing more is reported, and the spans of open
 * connections end.
 * @throws {TypeError} If a provider is not a provider, or if the runtime has no
 * `node:diagnostics_channel`, as in browsers.
 *
 * @example Reading a metric in a test
 * ```ts
 * import { instrument } from "@framed/tcp/otel";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
 * import { assertEquals } from "@std/assert";
 *
 * class Reader extends MetricReader {
 *   override async onForceFlush() {}
 *   override async onShutdown() {}
 * }
 * const reader = new Reader();
 * using _ = instrument({ meterProvider: new MeterProvider({ readers: [reader] }) });
 *
 * await using pair = connectionPair({ framing: lines() });
 * await pair.near.send("hello");
 * await pair.far.receive();
 *
 * const { resourceMetrics } = await reader.collect();
 * const metrics = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
 * const active = metrics.find(({ descriptor }) =>
 *   descriptor.name === "framed_tcp.connection.active"
 * );
 * assertEquals(active?.dataPoints[0]?.value, 2);
 * ```
 */
export function instrument(options: InstrumentOptions = {}): Disposable {
  const { meterProvider, tracerProvider } = options;
  // An error thrown when a connection opens would end the process.
  checkProvider("meterProvider", "getMeter", meterProvider);
  checkProvider("tracerProvider", "getTracer", tracerProvider);
  const channels = findChannels();
  if (channels === undefined) {
    throw new TypeError(
      "Cannot instrument connections: the runtime has no node:diagnostics_channel",
    );
  }
  current?.[Symbol.dispose]();
  current = subscribe(channels, { meterProvider, tracerProvider });
  return current;
}

/** Throws unless `provider` is left out or has the method. */
function checkProvider<Method extends string>(
  name: string,
  method: Method,
  provider: { readonly [Name in Method]: unknown } | undefined,
): void {
  if (provider === undefined) return;
  checkFunction(
    "instrument connections",
    `${name}.${method}`,
    provider?.[method],
  );
}

interface Watchers {
  readonly metrics: ConnectionMetrics;
  readonly spans: ConnectionSpans;
}

function subscribe(
  channels: Channels,
  options: InstrumentOptions,
): Disposable {
  let watchers: Watchers | undefined;
  const onOpen: OnOpen = (message) => {
    // Look up the global providers late: an SDK may be set up after this module is
    // loaded, and meters would not find it otherwise.
    watchers ??= watchersBy(options);
    watchers.metrics.open(message);
    watchers.spans.open(message);
  };
  const onClose: OnClose = (message) => {
    watchers?.metrics.close(message);
    watchers?.spans.close(message);
  };
  channels.subscribe(OPEN, onOpen);
  channels.subscribe(CLOSE, onClose);
  return {
    [Symbol.dispose]() {
      channels.unsubscribe(OPEN, onOpen);
      channels.unsubscribe(CLOSE, onClose);
      watchers?.metrics.stop();
      watchers?.spans.stop();
      watchers = undefined;
    },
  };
}

function watchersBy(options: InstrumentOptions): Watchers {
  const { meterProvider = metrics, tracerProvider = trace } = options;
  return {
    metrics: new ConnectionMetrics(meterProvider.getMeter(SCOPE)),
    spans: new ConnectionSpans(tracerProvider.getTracer(SCOPE)),
  };
}

function findChannels(): Channels | undefined {
  return builtinModule<Channels>("node:diagnostics_channel");
}

// One import turns it on; a browser has nothing to turn on.
if (findChannels() !== undefined) instrument();
