/** A TLS transport, which needs a handshake. */
export interface TlsTransport {
  /** Settles with the protocol that ALPN agreed on, if the transport reports it. */
  handshake(): Promise<{ readonly alpnProtocol: string | null } | undefined>;
}

/** Whether a transport needs a handshake. */
export function isTlsTransport<T extends object>(
  transport: T,
): transport is T & TlsTransport {
  return "handshake" in transport && typeof transport.handshake === "function";
}

/** Does the handshake, and stores the agreed ALPN protocol on the transport. */
export async function shakeHands(transport: TlsTransport): Promise<void> {
  const agreed = await transport.handshake();
  if (agreed === undefined) return;
  const { alpnProtocol } = agreed;
  Object.defineProperty(transport, "alpnProtocol", { value: alpnProtocol });
}
