/** What is used of a `TLSSocket` of Node. */
interface TlsSocket {
  on(event: string, listener: (error: unknown) => void): unknown;
  destroy(error: unknown): unknown;
}

/**
 * Lets any error of TLS end `socket`. Node emits `_tlsError` for each, but destroys the
 * socket only once `secureConnect` was emitted, and one that was accepted never, unless a
 * `tls.Server` did that.
 */
export function endByTlsErrors(socket: TlsSocket): void {
  socket.on("_tlsError", (error) => socket.destroy(error));
}
