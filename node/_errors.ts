import { systemError } from "../internal/system_error.ts";

/** What {@linkcode toSystemError} is told of an error. */
export interface ErrorContext {
  /** What could not be done, such as "connect to 127.0.0.1:4000". */
  readonly task?: string | undefined;
  /** The name of an error that has none in the table below. */
  readonly otherwise?: string | undefined;
}

/**
 * The name that each error of the system has in Deno, where it is also a class: a
 * program that checks `error.name` works in every runtime.
 */
const NAMES: Readonly<Record<string, string>> = {
  EACCES: "PermissionDenied",
  EADDRINUSE: "AddrInUse",
  EADDRNOTAVAIL: "AddrNotAvailable",
  ECONNABORTED: "ConnectionAborted",
  ECONNREFUSED: "ConnectionRefused",
  ECONNRESET: "ConnectionReset",
  ELOOP: "FilesystemLoop",
  ENETUNREACH: "NetworkUnreachable",
  ENOENT: "NotFound",
  ENOTCONN: "NotConnected",
  ENOTDIR: "NotADirectory",
  ENOTSUP: "NotSupported",
  EPERM: "PermissionDenied",
  EPIPE: "BrokenPipe",
  ETIMEDOUT: "TimedOut",
};

/**
 * An error of Node, named as Deno names it. Its `code` stays, and the original is its
 * cause. One that has no name there, and needs none, is given back as it is.
 */
export function toSystemError(
  error: unknown,
  { task, otherwise }: ErrorContext = {},
): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  const name = (typeof code === "string" ? nameOf(code) : undefined) ??
    otherwise;
  if (name === undefined && task === undefined) return error;
  const message = messageOf(error);
  const named = new Error(
    task === undefined ? message : `Cannot ${task}: ${message}`,
    { cause: error },
  );
  named.name = name ?? error.name;
  return code === undefined ? named : Object.assign(named, { code });
}

/**
 * An error of a TLS handshake, named as Deno names it: `UnexpectedEof` if the peer has ended
 * the connection.
 */
export function toHandshakeError(error: unknown, task?: string): unknown {
  // Node and Bun tell of an end as of a reset. One that the system tells has a `syscall`.
  const isEnd = error instanceof Error && "code" in error &&
    error.code === "ECONNRESET" && !("syscall" in error);
  if (!isEnd) return toSystemError(error, { task, otherwise: "InvalidData" });
  const what = "peer has ended the connection";
  return systemError(
    "UnexpectedEof",
    task === undefined ? `The ${what}` : `Cannot ${task}: the ${what}`,
  );
}

/** Deno's name for an error by its code, if it has one. */
function nameOf(code: string): string | undefined {
  // Also after the handshake: a server that refuses a client's certificate says so then.
  return NAMES[code] ??
    (code.startsWith("ERR_SSL_") ? "InvalidData" : undefined);
}

/** What an error says; one of several addresses says nothing itself. */
function messageOf(error: Error): string {
  if (error.message !== "" || !(error instanceof AggregateError)) {
    return error.message.trimEnd(); // OpenSSL ends its own with a line feed
  }
  return error.errors.map((each: unknown) =>
    each instanceof Error ? each.message : `${each}`
  ).join("; ");
}
