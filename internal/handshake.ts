/** A transport with TLS, which has to shake hands. */
export interface TlsTransport {
  /** Settles with what was agreed on by ALPN, if it tells. */
  handshake(): Promise<{ readonly alpnProtocol: string | null } | undefined>;
}

/** Whether a transport has to shake hands. */
export function isTlsTransport<T extends object>(
  transport: T,
): transport is T & TlsTransport {
  return "handshake" in transport && typeof transport.handshake === "function";
}

/** Shakes hands, and notes on the transport what was agreed on by ALPN. */
export async function shakeHands(transport: TlsTransport): Promise<void> {
  const agreed = await transport.handshake();
  if (agreed === undefined) return;
  const { alpnProtocol } = agreed;
  Object.defineProperty(transport, "alpnProtocol", { value: alpnProtocol });
}
