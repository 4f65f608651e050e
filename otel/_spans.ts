import {
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import type { Connection } from "../connection/connection.ts";
import type {
  ConnectionCloseMessage,
  ConnectionOpenMessage,
} from "../connection/diagnostics.ts";
import { isError } from "../internal/realms.ts";
import { textOf } from "../internal/shown.ts";
import { errorType, spanAttributes } from "./_attributes.ts";

const KINDS = { client: SpanKind.CLIENT, server: SpanKind.SERVER };

/** A span for each connection, from its opening to its end. */
export class ConnectionSpans {
  readonly #tracer: Tracer;
  readonly #spans = new Map<Connection<unknown, never>, Span>();

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** Begins the span of a connection, for a client in the context that opened it. */
  open(message: ConnectionOpenMessage): void {
    const { connection, role } = message;
    const span = this.#tracer.startSpan("framed_tcp.connection", {
      kind: role === undefined ? SpanKind.INTERNAL : KINDS[role],
      // Otherwise every connection would belong to the span that began the server.
      root: role === "server",
      attributes: spanAttributes(message),
    });
    this.#spans.set(connection, span);
  }

  /** Ends the span of a connection, if it has one. */
  close(message: ConnectionCloseMessage): void {
    const { connection } = message;
    const span = this.#spans.get(connection);
    if (span === undefined) return;
    this.#spans.delete(connection);
    if ("error" in message) {
      const { error } = message;
      span.setAttribute("error.type", errorType(error));
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: messageOf(error),
      });
    }
    end(span, connection);
  }

  /** Ends the spans of connections that are open. */
  stop(): void {
    for (const [connection, span] of this.#spans) end(span, connection);
  }
}

/** An error may be anything, even an object that cannot become a string. */
function messageOf(error: unknown): string {
  return textOf(() => {
    if (isError(error)) return error.message;
    return typeof error === "object" && error !== null
      ? "An object that is no Error"
      : error;
  });
}

function end(span: Span, connection: Connection<unknown, never>): void {
  const stats = connection.stats();
  span.setAttributes({
    "framed_tcp.connection.bytes_received": stats.bytesReceived,
    "framed_tcp.connection.bytes_sent": stats.bytesSent,
    "framed_tcp.connection.messages_received": stats.messagesReceived,
    "framed_tcp.connection.messages_sent": stats.messagesSent,
    "framed_tcp.connection.blocked_time": stats.blockedTime / 1000,
  });
  span.end();
}
