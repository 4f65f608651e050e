import { isError } from "../internal/realms.ts";
import { codeOf } from "../internal/system_error.ts";

/**
 * An error of TLS itself, such as a refused certificate, gets the name that Deno's own
 * handshake gives it; an error from below TLS is not changed.
 *
 * @param task What could not be done, if known.
 */
export function tlsError(error: unknown, task?: string): unknown {
  const code = codeOf(error);
  // System codes, such as ECONNRESET, have no underscore.
  const isOfTls = typeof code === "string" && code.includes("_");
  if (!isError(error) || !isOfTls) return error;
  const message = error.message.trimEnd(); // OpenSSL ends its own with a line feed
  const named = new Error(
    task === undefined ? message : `Cannot ${task}: ${message}`,
    { cause: error },
  );
  named.name = "InvalidData";
  return Object.assign(named, { code });
}

/** The error of `startTls()` if unencrypted bytes would pass for encrypted ones. */
export function hasUnread(): DOMException {
  return new DOMException(
    "Cannot start TLS: bytes of the peer are unread, which were not encrypted",
    "InvalidStateError",
  );
}
