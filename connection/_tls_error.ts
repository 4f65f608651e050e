import { isError } from "../internal/realms.ts";

/**
 * An error of TLS itself, such as a refused certificate, gets the name that Deno's own
 * handshake gives it; an error from below TLS is not changed.
 *
 * @param task What could not be done, if known.
 */
export function tlsError(error: unknown, task?: string): unknown {
  if (!isError(error) || !("code" in error)) return error;
  const { code } = error;
  const message = error.message.trimEnd(); // OpenSSL ends its own with a line feed
  // System codes, such as ECONNRESET, have no underscore.
  if (typeof code !== "string" || !code.includes("_")) return error;
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
