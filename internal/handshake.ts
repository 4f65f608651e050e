/** A TLS transport, which needs a handshake. */
export interface TlsTransport {
  handshake(): Promise<{ readonly alpnProtocol: string | null }>;
}

/** Whether a transport needs a handshake. */
export function isTlsTransport<T extends object>(
  transport: T,
): transport is T & TlsTransport {
  return "handshake" in transport && typeof transport.handshake === "function";
}

/** Does the handshake, and stores the agreed ALPN protocol on the transport. */
export async function shakeHands(transport: TlsTransport): Promise<void> {
  const { alpnProtocol } = await transport.handshake();
  Object.defineProperty(transport, "alpnProtocol", { value: alpnProtocol });
}
