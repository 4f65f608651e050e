import type { Writer } from "./_writer.ts";

/** A connection, as far as it matters here: importing more would be circular. */
interface Sending<Out> {
  readonly writable: WritableStream<Out>;
}

type Reveal = (connection: object) => Writer<never> | undefined;

let reveal: Reveal;

/**
 * Called once by the class of connections, because only it sees the private fields. A map
 * of writers would take 2 µs a connection, and time in each garbage collection.
 */
export function revealWriters(toReveal: Reveal): void {
  reveal = toReveal;
}

/**
 * The writer of a connection; throws a `TypeError` for anything else.
 *
 * @param rule What the error says: the task, and what must be a connection.
 */
export function writerOf<Out>(
  connection: Sending<Out>,
  rule: string,
): Writer<Out> {
  const writer = typeof connection === "object" && connection !== null
    ? reveal(connection)
    : undefined;
  if (writer === undefined) {
    throw new TypeError(
      `Cannot ${rule}: current value is of type ${typeof connection}`,
    );
  }
  return writer as Writer<unknown> as Writer<Out>; // of this connection
}
