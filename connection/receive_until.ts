import { checkFunction, checkNotAsync } from "../internal/checks.ts";
import { passingOver } from "./_passing_over.ts";
import type { Connection } from "./connection.ts";

/**
 * Receives the messages of a reply one by one, up to the last: the rows of a query, the
 * entries of a directory, the lines of a listing. None is held, so a reply may be larger
 * than memory, and is read as fast as you consume it. To get a whole reply as one
 * message, give the connection the framing `grouped()`.
 *
 * If you leave the loop early, with `break` or an error, or cancel a stream made from it,
 * the rest of the reply is received and dropped first, so the next request gets its own
 * reply. So leave early only if the last message still comes; if it does not, because the
 * peer waits for something, call {@linkcode Connection.abort}. Until the last message,
 * receive nothing else on the connection.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param connection The connection.
 * @param isLast Whether a message is the last of the reply. It is called once for each
 * message, in order. If it throws, the connection is aborted with that error.
 * @returns The messages, including the last one. Rejects like
 * {@linkcode Connection.receive}, and with an error named `UnexpectedEof` if the messages
 * end before the last.
 * @throws {TypeError} If `isLast` is not a function.
 *
 * @example A reply of lines up to a dot, which is left early
 * ```ts
 * import { receiveUntil } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: lines() });
 * for (const line of ["one", "two", "three", ".", "next reply"]) pair.far.send(line);
 *
 * const found: string[] = [];
 * for await (const line of receiveUntil(pair.near, (line) => line === ".")) {
 *   found.push(line);
 *   if (line === "two") break;
 * }
 * assertEquals(found, ["one", "two"]);
 * assertEquals(await pair.near.receive(), "next reply");
 * ```
 */
export function receiveUntil<In, Out>(
  connection: Connection<In, Out>,
  isLast: (message: In) => boolean,
): AsyncGenerator<In, void> {
  checkFunction("receive messages", "isLast", isLast);
  return passingOver(messagesUntil(connection, isLast));
}

async function* messagesUntil<In, Out>(
  connection: Connection<In, Out>,
  isLast: (message: In) => boolean,
): AsyncGenerator<In, void> {
  let isOver = false;
  const next = async () => {
    const message = await connection.expect();
    try {
      isOver = isLast(message);
      checkNotAsync("receive messages", "isLast", isOver);
    } catch (error) {
      connection.abort(error); // the end of the reply is unknown
      throw error;
    }
    return message;
  };
  try {
    while (!isOver) yield await next();
  } finally {
    try {
      while (!isOver) await next();
    } catch {
      // The messages have ended, as the next receive reports.
    }
  }
}
