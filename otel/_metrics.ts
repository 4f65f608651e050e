import type {
  Attributes,
  BatchObservableResult,
  Meter,
  Observable,
} from "@opentelemetry/api";
import type { Connection } from "../connection/connection.ts";
import type {
  ConnectionCloseMessage,
  ConnectionOpenMessage,
} from "../connection/diagnostics.ts";
import type { ConnectionStats } from "../connection/options.ts";
import { errorType, metricAttributes } from "./_attributes.ts";

// From one request per connection to connections that stay open for days.
const DURATION_BOUNDARIES = [
  ...[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  ...[1800, 7200, 43_200, 86_400],
];

/** All connections with the same attributes. */
interface Group {
  readonly attributes: Attributes;
  readonly open: Set<Connection<unknown, never>>;
  /** The totals of connections that have ended. */
  ended: ConnectionStats;
  /** The most that was reported, in milliseconds. */
  blockedTime: number;
}

interface Opening {
  readonly group: Group;
  readonly time: number;
}

/** The instruments, fed by the channels. */
export class ConnectionMetrics {
  readonly #groups = new Map<string, Group>();
  readonly #openings = new WeakMap<Connection<unknown, never>, Opening>();
  readonly #active;
  readonly #opened;
  readonly #errors;
  readonly #duration;
  readonly #stop: () => void;

  constructor(meter: Meter) {
    this.#duration = meter.createHistogram("framed_tcp.connection.duration", {
      description: "How long connections were open that have ended",
      unit: "s",
      advice: { explicitBucketBoundaries: DURATION_BOUNDARIES },
    });
    this.#errors = meter.createCounter("framed_tcp.connection.errors", {
      description: "Connections that ended with an error",
      unit: "{error}",
    });
    this.#active = meter.createUpDownCounter("framed_tcp.connection.active", {
      description: "Connections that are open",
      unit: "{connection}",
    });
    this.#opened = meter.createCounter("framed_tcp.connection.opened", {
      description: "Connections opened",
      unit: "{connection}",
    });
    // Read from the connections when metrics are collected, so that a message costs
    // nothing more.
    const io = meter.createObservableCounter("framed_tcp.connection.io", {
      description: "Bytes received and sent",
      unit: "By",
    });
    const messages = meter.createObservableCounter(
      "framed_tcp.connection.messages",
      { description: "Messages received and sent", unit: "{message}" },
    );
    const blockedTime = meter.createObservableCounter(
      "framed_tcp.connection.blocked_time",
      {
        description: "How long writes have waited for peers, all together",
        unit: "s",
      },
    );
    const buffered = meter.createObservableUpDownCounter(
      "framed_tcp.connection.buffered",
      { description: "Bytes queued for peers", unit: "By" },
    );

    const observe = (result: BatchObservableResult) => {
      for (const group of this.#groups.values()) {
        const { attributes } = group;
        const received = { ...attributes, "network.io.direction": "receive" };
        const sent = { ...attributes, "network.io.direction": "transmit" };
        const sum = sumOf(group);
        result.observe(io, sum.bytesReceived, received);
        result.observe(io, sum.bytesSent, sent);
        result.observe(messages, sum.messagesReceived, received);
        result.observe(messages, sum.messagesSent, sent);
        result.observe(buffered, sum.bufferedAmount, attributes);
        // The system's clock may be set back, and a counter must not fall.
        group.blockedTime = Math.max(group.blockedTime, sum.blockedTime);
        result.observe(blockedTime, group.blockedTime / 1000, attributes);
      }
    };
    const observables: Observable[] = [io, messages, blockedTime, buffered];
    meter.addBatchObservableCallback(observe, observables);
    this.#stop = () =>
      meter.removeBatchObservableCallback(observe, observables);
  }

  /** Counts a connection from now on. */
  open(message: ConnectionOpenMessage): void {
    const attributes = metricAttributes(message);
    const key = JSON.stringify(attributes);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = {
        attributes,
        open: new Set(),
        ended: noStats(),
        blockedTime: 0,
      };
      this.#groups.set(key, group);
    }
    this.#opened.add(1, attributes);
    this.#active.add(1, attributes);
    group.open.add(message.connection);
    this.#openings.set(message.connection, { group, time: performance.now() });
  }

  /** Counts the end of a connection, if it has seen it open. */
  close(message: ConnectionCloseMessage): void {
    const { connection } = message;
    const opening = this.#openings.get(connection);
    if (opening === undefined) return;
    const { group, time } = opening;
    group.open.delete(connection);
    this.#active.add(-1, group.attributes);
    add(group.ended, connection.stats());
    group.ended.bufferedAmount = 0; // unsent bytes were dropped
    const attributes = "error" in message
      ? { ...group.attributes, "error.type": errorType(message.error) }
      : group.attributes;
    if ("error" in message) this.#errors.add(1, attributes);
    this.#duration.record((performance.now() - time) / 1000, attributes);
  }

  /** Stops reporting. */
  stop(): void {
    this.#stop();
    for (const { attributes, open } of this.#groups.values()) {
      this.#active.add(-open.size, attributes);
    }
  }
}

function sumOf({ open, ended }: Group): ConnectionStats {
  const sum = { ...ended };
  for (const connection of open) add(sum, connection.stats());
  return sum;
}

function noStats(): ConnectionStats {
  return {
    bytesReceived: 0,
    bytesSent: 0,
    messagesReceived: 0,
    messagesDropped: 0,
    messagesSent: 0,
    bufferedAmount: 0,
    blockedTime: 0,
  };
}

function add(sum: ConnectionStats, stats: ConnectionStats): void {
  sum.bytesReceived += stats.bytesReceived;
  sum.bytesSent += stats.bytesSent;
  sum.messagesReceived += stats.messagesReceived;
  sum.messagesDropped += stats.messagesDropped;
  sum.messagesSent += stats.messagesSent;
  sum.bufferedAmount += stats.bufferedAmount;
  sum.blockedTime += stats.blockedTime;
}
