import type { Attributes } from "@opentelemetry/api";
import type { ConnectionOpenMessage } from "../connection/diagnostics.ts";
import type { Address } from "../connection/transport.ts";
import { FramingError } from "../framing/framing_error.ts";
import { isError } from "../internal/realms.ts";

/** The attributes of a span when its connection opens. */
export function spanAttributes(message: ConnectionOpenMessage): Attributes {
  const { connection: { localAddr, remoteAddr }, role, address, port } =
    message;
  return {
    ...transportOf(localAddr ?? remoteAddr),
    ...endOf("peer", remoteAddr),
    ...endOf("local", localAddr),
    ...(role && { "framed_tcp.connection.role": role }),
    ...(address !== undefined && { "server.address": address }),
    ...serverPort(role, port, localAddr),
  };
}

/** The few attributes that divide metrics; the peer is not one of them. */
export function metricAttributes(message: ConnectionOpenMessage): Attributes {
  const { connection: { localAddr, remoteAddr }, role, port } = message;
  const transport = (localAddr ?? remoteAddr)?.transport;
  return {
    ...(role && { "framed_tcp.connection.role": role }),
    ...(transport && { "network.transport": transport }),
    ...serverPort(role, port, localAddr),
  };
}

/**
 * The value of `error.type`: the code of a {@linkcode FramingError} or of a system error,
 * otherwise the name of the error, and `_OTHER` for a value that is not an error or
 * cannot be read.
 */
export function errorType(error: unknown): string {
  try {
    if (!isError(error)) return OTHER;
    if (error instanceof FramingError) return error.code;
    // A DOMException has a number.
    return "code" in error && typeof error.code === "string"
      ? error.code
      : String(error.name);
  } catch {
    // What a subscriber throws would end the process.
    return OTHER;
  }
}

const OTHER = "_OTHER";

function transportOf(address: Address | undefined): Attributes {
  if (address === undefined) return {};
  return {
    "network.transport": address.transport,
    ...("hostname" in address &&
      { "network.type": address.hostname.includes(":") ? "ipv6" : "ipv4" }),
  };
}

function endOf(
  side: "peer" | "local",
  address: Address | undefined,
): Attributes {
  if (address === undefined) return {};
  const name = `network.${side}.address`;
  if ("path" in address) {
    return address.path === null ? {} : { [name]: address.path };
  }
  return {
    [name]: "hostname" in address ? address.hostname : `${address.cid}`,
    [`network.${side}.port`]: address.port,
  };
}

/** The port that the client dialled or the server listens on. */
function serverPort(
  role: ConnectionOpenMessage["role"],
  port: number | undefined,
  localAddr: Address | undefined,
): Attributes {
  if (role === "server" && localAddr !== undefined && "port" in localAddr) {
    return { "server.port": localAddr.port };
  }
  return port === undefined ? {} : { "server.port": port };
}
