/** A transport with TLS, which has to shake hands. */
export interface TlsTransport {
  handshake(): Promise<{ readonly alpnProtocol: string | null }>;
}

/** Whether a transport has to shake hands. */
export function isTlsTransport<T extends object>(
  transport: T,
): transport is T & TlsTransport {
  return "handshake" in transport && typeof transport.handshake === "function";
}

/** Shakes hands, and notes on the transport what was agreed on by ALPN. */
export async function shakeHands(transport: TlsTransport): Promise<void> {
  const { alpnProtocol } = await transport.handshake();
  Object.defineProperty(transport, "alpnProtocol", { value: alpnProtocol });
}
