import { isError } from "./realms.ts";

/**
 * The names of transport errors, the same as of Deno's classes: a program that checks
 * `error.name` works with any transport.
 */
export type SystemErrorName =
  | "BadResource" // used after close()
  | "BrokenPipe" // written to a side that is closed
  | "ConnectionAborted" // by its owner
  | "ConnectionRefused" // no server listens
  | "ConnectionReset" // by the peer
  | "Interrupted" // close() while it was pending
  | "NotSupported" // by the caller's argument, or by the runtime
  | "UnexpectedEof"; // before the requested bytes

/** An error that is recognized by its name: no class exists in every runtime. */
export function systemError(name: SystemErrorName, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}

/** The code of an error, which Node and TLS give theirs. */
export function codeOf(error: unknown): unknown {
  return isError(error) && "code" in error ? error.code : undefined;
}

/** Whether the error says that its owner has closed the listener or transport already. */
export function isClosedAlready(error: unknown): boolean {
  return isError(error) && error.name === "BadResource";
}

/**
 * The error of a system call, with the task and the address in its message: of the same
 * class and name, with the same fields, and the original as its cause. An error whose
 * class cannot be constructed this way is returned unchanged.
 *
 * @param task Such as "connect to 127.0.0.1:4000".
 */
export function namingTask(error: unknown, task: string): unknown {
  // These two have no constructor that takes a message and options.
  if (
    !(error instanceof Error) || error instanceof DOMException ||
    error instanceof AggregateError
  ) return error;
  try {
    const named: Error = Reflect.construct(error.constructor, [
      `Cannot ${task}: ${error.message}`,
      { cause: error },
    ]);
    if (named.name !== error.name) named.name = error.name;
    return Object.assign(named, error);
  } catch {
    return error; // the caller's own class: it takes other arguments, or freezes its objects
  }
}
