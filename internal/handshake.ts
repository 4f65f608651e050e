/** A TLS transport, which needs a handshake. */
export interface TlsTransport {
  /** Settles with the protocol that ALPN agreed on, if the transport reports it so. */
  handshake(): Promise<
    { readonly alpnProtocol?: string | null } | null | undefined
  >;
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
  const alpnProtocol = agreed?.alpnProtocol;
  if (alpnProtocol === undefined) return; // perhaps the transport has it already
  Object.defineProperty(transport, "alpnProtocol", { value: alpnProtocol });
}
