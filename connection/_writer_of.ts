import type { Writer } from "./_writer.ts";

/** A connection, as far as it matters here: to know more would be a circle. */
interface Sending<Out> {
  readonly writable: WritableStream<Out>;
}

const writers = new WeakMap<object, Writer<never>>();

/** Notes the writer of a connection, for what sends past its `send()`. */
export function noteWriter<Out>(
  connection: Sending<Out>,
  writer: Writer<Out>,
): void {
  writers.set(connection, writer);
}

/** The writer of a connection; throws a `TypeError` for what is no connection. */
export function writerOf<Out>(connection: Sending<Out>): Writer<Out> {
  const writer = writers.get(connection);
  if (writer === undefined) {
    throw new TypeError(
      `Cannot broadcast to what is no connection: current value is of type ${typeof connection}`,
    );
  }
  return writer as Writer<unknown> as Writer<Out>; // noted with this connection
}
