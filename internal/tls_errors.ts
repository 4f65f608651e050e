/** The part of Node's `TLSSocket` that is used. */
interface TlsSocket {
  on(event: string, listener: (error: unknown) => void): unknown;
  destroy(error: unknown): unknown;
}

/**
 * Lets any TLS error end `socket`. Node emits `_tlsError` for each, but destroys the
 * socket only after `secureConnect`, and an accepted socket never, unless a `tls.Server`
 * accepted it.
 */
export function endByTlsErrors(socket: TlsSocket): void {
  socket.on("_tlsError", (error) => socket.destroy(error));
}
