/**
 * The names of the errors of a transport, which Deno's own classes have too:
 * a program that checks `error.name` works with any transport.
 */
export type SystemErrorName =
  | "BadResource" // used after close()
  | "BrokenPipe" // written to a side that is closed
  | "ConnectionReset" // by the peer
  | "Interrupted"; // close() while it was under way

/** An error that is told by its name, as no class exists in every runtime. */
export function systemError(name: SystemErrorName, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}
