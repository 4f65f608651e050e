/**
 * Flags for the options of a connection, and of TLS.
 *
 * @module
 */
import type { ConnectOptions, ConnectTlsOptions } from "../client.ts";
import type { Connection, ConnectionOptions } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import type { ServeTlsOptions } from "../server.ts";
import type { Flag, FlagGroup, Flags } from "./_flags.ts";
import { literal } from "./_literal.ts";
import { MAX_DURATION_MS, type Place, UsageError } from "./_values.ts";

const SHARED_FLAGS: readonly Flag[] = [
  {
    name: "idle-timeout",
    value: "TIME",
    help: "End a connection that is silent for this time",
  },
  {
    name: "receive-timeout",
    value: "TIME",
    help:
      "End a connection whose peer is silent for this time, whatever is sent",
  },
  {
    name: "message-timeout",
    value: "TIME",
    help: "How long a message may take to be whole",
  },
  {
    name: "send-timeout",
    value: "TIME",
    help: "How long the peer may take to accept a message",
  },
  {
    name: "high-water-mark",
    value: "SIZE",
    help: "How much is queued before sending waits",
  },
  {
    name: "read-buffer-size",
    value: "SIZE",
    help: "The most bytes in one read",
  },
  { name: "keep-alive", help: "Let the system probe a silent peer" },
  {
    name: "nagle",
    help: "Let small writes wait for acknowledgement (noDelay: false)",
  },
];

/** The flags of an outgoing connection. */
export const CONNECT_FLAGS: FlagGroup = {
  title: "Connection",
  flags: [
    {
      name: "connect-timeout",
      value: "TIME",
      help: "How long connecting may take",
    },
    ...SHARED_FLAGS,
  ],
};

/** The flags of accepted connections. */
export const SERVE_FLAGS: FlagGroup = {
  title: "Connection",
  flags: [
    {
      name: "max-connections",
      value: "N",
      help: "The most connections at a time",
    },
    ...SHARED_FLAGS,
  ],
};

const CERTIFICATE_FLAGS: readonly Flag[] = [
  {
    name: "cert",
    value: "FILE",
    isFile: true,
    help: "A certificate chain to show, as PEM",
  },
  { name: "key", value: "FILE", isFile: true, help: "Its private key, as PEM" },
  {
    name: "alpn",
    value: "NAMES",
    help: "Protocols for ALPN, such as h2,http/1.1",
  },
];

/** The flags of TLS for the side that connects. */
export const CONNECT_TLS_FLAGS: FlagGroup = {
  title: "TLS",
  flags: [
    { name: "tls", help: "Use TLS; each flag below does so too" },
    {
      name: "ca",
      value: "FILE",
      isFile: true,
      help: "A root certificate to trust, as PEM",
    },
    ...CERTIFICATE_FLAGS,
    {
      name: "server-name",
      value: "NAME",
      help: "The name that the certificate must be for",
    },
  ],
};

/** The flags of TLS for the side that listens. */
export const SERVE_TLS_FLAGS: FlagGroup = {
  title: "TLS",
  flags: CERTIFICATE_FLAGS,
};

/** An option of the library: its name, its value, and how a program writes it. */
export interface CodeOption {
  readonly name: string;
  readonly code: string;
}

type ConnectionSettings = Omit<
  ConnectionOptions<Bytes, Sendable>,
  "framing" | "heartbeat" | "signal"
>;

/** The options of a connection, of either side. */
export function connectionSettings(flags: Flags): ConnectionSettings {
  return {
    idleTimeout: flags.duration("idle-timeout"),
    receiveTimeout: flags.duration("receive-timeout"),
    messageTimeout: flags.duration("message-timeout"),
    sendTimeout: flags.duration("send-timeout"),
    highWaterMark: flags.size("high-water-mark"),
    readBufferSize: flags.size("read-buffer-size"),
    keepAlive: flags.on("keep-alive"),
    noDelay: flags.has("nagle") ? false : undefined,
  };
}

function alpnOf(flags: Flags): string[] | undefined {
  return flags.text("alpn")?.split(",");
}

/** Whether the flags ask for TLS. */
export function wantsTls(flags: Flags): boolean {
  return CONNECT_TLS_FLAGS.flags.some(({ name }) => flags.has(name));
}

/** Reads the files that the flags of TLS name. */
async function readConnectTls(
  flags: Flags,
): Promise<ConnectTlsOptions | undefined> {
  if (!wantsTls(flags)) return undefined;
  const [ca, cert, key] = await Promise.all(
    ["ca", "cert", "key"].map((name) => readFlagFile(flags, name)),
  );
  return {
    caCerts: ca === undefined ? undefined : [ca],
    cert,
    key,
    alpnProtocols: alpnOf(flags),
    serverName: flags.text("server-name"),
  };
}

/** Reads the certificate of a server. */
export async function readServeTls(
  flags: Flags,
): Promise<ServeTlsOptions | undefined> {
  const [cert, key] = await Promise.all(
    ["cert", "key"].map((name) => readFlagFile(flags, name)),
  );
  if (cert === undefined && key === undefined && !flags.has("alpn")) {
    return undefined;
  }
  if (cert === undefined || key === undefined) {
    throw new UsageError("TLS needs both --cert and --key");
  }
  return { cert, key, alpnProtocols: alpnOf(flags) };
}

async function readFlagFile(
  flags: Flags,
  name: string,
): Promise<string | undefined> {
  const path = flags.text(name);
  return path === undefined ? undefined : await Deno.readTextFile(path);
}

/** The options that say what messages are. */
export type MessageOptions<In, Out> = Pick<
  ConnectionOptions<In, Out>,
  "framing" | "heartbeat"
>;

/** The options for `connect()`. */
async function connectOptions<In, Out>(
  flags: Flags,
  place: Place,
  messages: MessageOptions<In, Out>,
): Promise<ConnectOptions<In, Out>> {
  const shared = {
    ...messages,
    connectTimeout: flags.duration("connect-timeout"),
    ...connectionSettings(flags),
  };
  const tls = await readConnectTls(flags);
  if ("path" in place) {
    if (tls !== undefined) throw new UsageError("A Unix socket has no TLS");
    return { ...place, ...shared };
  }
  return { ...place, ...shared, ...(tls && { tls }) };
}

/** Connects as the flags say. If the library refuses an option, that is wrong usage. */
export async function open<In, Out>(
  flags: Flags,
  place: Place,
  messages: MessageOptions<In, Out>,
  signal: AbortSignal,
): Promise<Connection<In, Out>> {
  const options = await connectOptions(flags, place, messages);
  // The table of verbs imports this file too, and help needs no library.
  const { connect } = await import("../client.ts");
  try {
    return await connect({ ...options, signal });
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
}

/**
 * The limits of `serve()`. A typed answer, or a slow command, may take longer than
 * servers with a limit on connections wait by default.
 */
export function servingLimits(
  flags: Flags,
  endsWithFirst: boolean,
): { maxConnections?: number; halfClosedTimeout?: number } {
  const maxConnections = endsWithFirst ? 1 : flags.count("max-connections");
  return maxConnections === undefined
    ? {}
    : { maxConnections, halfClosedTimeout: MAX_DURATION_MS };
}

/** The address and the options as a program passes them to `connect()` or `serve()`. */
export function codeOptions(
  flags: Flags,
  place: Place,
  framing: string,
  side: "connect" | "serve",
): CodeOption[] {
  const tls = side === "connect" ? connectTlsCode(flags) : serveTlsCode(flags);
  const settings: Record<string, unknown> = {
    ...place,
    connectTimeout: flags.duration("connect-timeout"),
    ...connectionSettings(flags),
  };
  return [
    ...Object.entries(settings).filter(([, value]) => value !== undefined)
      .map(([name, value]) => ({ name, code: literal(value) })),
    ...(tls === undefined ? [] : [{ name: "tls", code: tls }]),
    { name: "framing", code: framing },
  ];
}

function fileCode(path: string): string {
  return `await Deno.readTextFile(${JSON.stringify(path)})`;
}

function connectTlsCode(flags: Flags): string | undefined {
  if (!wantsTls(flags)) return undefined;
  const parts = tlsParts(flags);
  const ca = flags.text("ca");
  if (ca !== undefined) parts.push(`caCerts: [${fileCode(ca)}]`);
  const serverName = flags.text("server-name");
  if (serverName !== undefined) {
    parts.push(`serverName: ${JSON.stringify(serverName)}`);
  }
  return parts.length === 0 ? "true" : `{ ${parts.join(", ")} }`;
}

function serveTlsCode(flags: Flags): string | undefined {
  const parts = tlsParts(flags);
  return parts.length === 0 ? undefined : `{ ${parts.join(", ")} }`;
}

function tlsParts(flags: Flags): string[] {
  const parts: string[] = [];
  for (const name of ["cert", "key"]) {
    const path = flags.text(name);
    if (path !== undefined) parts.push(`${name}: ${fileCode(path)}`);
  }
  const alpn = alpnOf(flags);
  if (alpn !== undefined) parts.push(`alpnProtocols: ${literal(alpn)}`);
  return parts;
}
