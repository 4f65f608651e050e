/**
 * An error of TLS itself, such as a certificate that is refused, by the name that it has
 * where Deno shakes hands; an error of what is below TLS stays as it is.
 *
 * @param task What could not be done, if that is known.
 */
export function tlsError(error: unknown, task?: string): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  const { code } = error;
  const message = error.message.trimEnd(); // OpenSSL ends its own with a line feed
  // Codes of the system, such as ECONNRESET, have no underscore.
  if (typeof code !== "string" || !code.includes("_")) return error;
  const named = new Error(
    task === undefined ? message : `Cannot ${task}: ${message}`,
    { cause: error },
  );
  named.name = "InvalidData";
  return Object.assign(named, { code });
}
