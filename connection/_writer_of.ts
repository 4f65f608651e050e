import type { Connection } from "./connection.ts";
import type { MessageWriter } from "./_message_writer.ts";

type WriterOf = <In, Out>(
  connection: Connection<In, Out>,
) => MessageWriter<Out>;

/**
 * The writer of a connection, for what sends past its `send()`. Throws a
 * `TypeError` for what is no connection.
 */
export let writerOf: WriterOf;

/** Called once by the class itself, as nobody else can see its private fields. */
export function revealWriters(reveal: WriterOf): void {
  writerOf = reveal;
}
