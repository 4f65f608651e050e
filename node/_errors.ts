import { isWorkers } from "../internal/event_loop.ts";
import { isError } from "../internal/realms.ts";
import { codeOf, systemError } from "../internal/system_error.ts";

/** The context of an error for {@linkcode toSystemError}. */
export interface ErrorContext {
  /** What could not be done, such as "connect to 127.0.0.1:4000". */
  readonly task?: string | undefined;
  /** The name for an error that is not in the table below. */
  readonly otherwise?: string | undefined;
}

/**
 * Deno's name for each system error, there also a class: a program that checks
 * `error.name` works in every runtime.
 */
const NAMES: Readonly<Record<string, string>> = {
  EACCES: "PermissionDenied",
  EADDRINUSE: "AddrInUse",
  EADDRNOTAVAIL: "AddrNotAvailable",
  EAGAIN: "WouldBlock",
  // Writes in Bun, which closes a Unix socket itself when its peer is gone.
  EBADF: "BrokenPipe",
  ERR_SOCKET_CLOSED: "BrokenPipe",
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
 * A Node error with Deno's name. Its `code` stays, and the original is its cause. An
 * error that has no name there, and needs none, is returned unchanged.
 */
export function toSystemError(
  error: unknown,
  { task, otherwise }: ErrorContext = {},
): unknown {
  if (!isError(error)) return error;
  const code = codeOf(error);
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
 * An error of a TLS handshake with Deno's name: `UnexpectedEof` if the peer closed the
 * connection. Without a task, the caller puts it before the message.
 */
export function toHandshakeError(error: unknown, task?: string): unknown {
  // Node and Bun report an end as a reset. A real reset, from the system, has a
  // `syscall`.
  const isEnd = isError(error) && codeOf(error) === "ECONNRESET" &&
    !("syscall" in error);
  if (!isEnd) return toSystemError(error, { task, otherwise: "InvalidData" });
  const what = "the peer has ended the connection";
  return systemError(
    "UnexpectedEof",
    task === undefined ? what : `Cannot ${task}: ${what}`,
  );
}

/** Deno's name for an error by its code, if it has one. */
function nameOf(code: string): string | undefined {
  // Even after the handshake: only then does a server refuse a client's certificate, or
  // find that a client renegotiates too often (ERR_TLS_SESSION_ATTACK).
  return NAMES[code] ??
    (/^ERR_(SSL|TLS)_/.test(code) ? "InvalidData" : undefined);
}

/** The message of an error; an error for several addresses has none itself. */
function messageOf(error: Error): string {
  const errors = "errors" in error ? error.errors : undefined;
  if (error.message !== "" || !Array.isArray(errors)) {
    return error.message.trimEnd(); // OpenSSL ends its own with a line feed
  }
  return errors.map((each: unknown) => isError(each) ? each.message : `${each}`)
    .join("; ");
}

/**
 * Throws in Workers, whose `node:net` stops reading after the first bytes, reports a reset
 * as an end, and listens only in appearance.
 */
export function refuseWorkers(task: string): void {
  if (!isWorkers()) return;
  throw systemError(
    "NotSupported",
    `Cannot ${task}: node:net of Workers loses bytes; frame a socket of cloudflare:sockets instead`,
  );
}
