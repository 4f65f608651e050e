/** Who opened a connection, of which the connection itself knows nothing. */
export interface Origin {
  /** Whether this side dialled or accepted. */
  readonly role: "client" | "server";
  /** The name or address of the server, or its path, as it was dialled. */
  readonly address?: string;
  /** The port of the server, as it was dialled. */
  readonly port?: number;
}

const origins = new WeakMap<object, Origin>();

/** Notes who opened a transport, before a connection is made of it. */
export function noteOrigin(transport: object, origin: Origin): void {
  origins.set(transport, origin);
}

/** What was noted about a transport, if anything. */
export function originOf(transport: object): Origin | undefined {
  return origins.get(transport);
}
