import { StreamTransport } from "./_stream_transport.ts";
import type { ByteStreams, Transport } from "./transport.ts";

/** A kind of transport. */
export interface Kind {
  /** For error messages: "over TLS". */
  readonly name: string;
  /** Whether a read that does not fill its buffer has emptied the transport. */
  readonly shortReadMeansEmpty: boolean;
  /**
   * Whether `close()` still sends what was written. It aborts byte streams, which drops
   * bytes that the peer has not read.
   */
  readonly closeSendsEnd: boolean;
  /**
   * Whether the peer may send by itself before its messages: a TLS 1.3 server sends
   * session tickets after the handshake (RFC 8446, 4.6.1). A client sends nothing.
   */
  readonly hasTickets: boolean;
}

/** A transport, and its kind. */
export interface IdentifiedTransport {
  readonly transport: Transport;
  readonly kind: Kind;
}

/** The options that not every transport can honour. */
export interface TransportOptions {
  readonly noDelay?: boolean | undefined;
  readonly keepAlive?: boolean | undefined;
}

const TCP: Kind = {
  name: "TCP",
  shortReadMeansEmpty: true,
  closeSendsEnd: true,
  hasTickets: false,
};
// A read takes bytes from one record, and more records may have arrived. Deno closes it
// in the background, after everything was sent.
const TLS: Kind = {
  name: "TLS",
  shortReadMeansEmpty: false,
  closeSendsEnd: true,
  hasTickets: true,
};
// Node's close() does not send the end of TLS, so the peer would see a cut.
export const TLS_OF_NODE: Kind = {
  name: "TLS",
  shortReadMeansEmpty: true,
  closeSendsEnd: false,
  hasTickets: true,
};
const TLS_FROM_CLIENT: Kind = { ...TLS, hasTickets: false };
const TLS_OF_NODE_FROM_CLIENT: Kind = { ...TLS_OF_NODE, hasTickets: false };
const UNIX_SOCKET: Kind = {
  name: "Unix socket",
  shortReadMeansEmpty: true,
  closeSendsEnd: true,
  hasTickets: false,
};
const BYTE_STREAMS: Kind = {
  name: "byte streams",
  shortReadMeansEmpty: false,
  closeSendsEnd: false,
  hasTickets: false,
};
const UNKNOWN: Kind = {
  name: "this transport",
  shortReadMeansEmpty: false,
  closeSendsEnd: false,
  hasTickets: false,
};

const METHODS = ["read", "write", "closeWrite", "close"] as const;
const SETTERS = { noDelay: "setNoDelay", keepAlive: "setKeepAlive" } as const;

/**
 * The one place that knows the kinds of transports. It locks byte streams, so it comes
 * after all other checks of the caller's arguments.
 *
 * @param given A transport or byte streams, as far as the caller kept to the types.
 * @param options The options that the transport must honour.
 * @throws {TypeError} If it is neither, or cannot honour an option.
 */
export function identifyTransport(
  given: unknown,
  options: TransportOptions = {},
): IdentifiedTransport {
  // The methods first: asking a Deno.Conn for its streams would make them.
  if (isTransport(given)) {
    const kind = kindOf(given);
    checkOptions(options, kind, given);
    return { transport: given, kind };
  }
  if (isByteStreams(given)) {
    checkOptions(options, BYTE_STREAMS, {});
    return { transport: new StreamTransport(given), kind: BYTE_STREAMS };
  }
  throw new TypeError(
    `Cannot open connection as its transport must have read(), write(), closeWrite() and close(), or be { readable, writable } streams: ${
      whatIsWrong(given)
    }`,
  );
}

/** The kind of a connection from a client: this side is the server's. */
export function kindFromClient(kind: Kind): Kind {
  if (kind === TLS) return TLS_FROM_CLIENT;
  return kind === TLS_OF_NODE ? TLS_OF_NODE_FROM_CLIENT : kind;
}

/**
 * Throws unless a transport reports a possible number of bytes: any other would cause an
 * endless wait, or an endless loop.
 */
export function checkMoved(
  method: "read" | "write",
  length: number,
  most: number,
): void {
  if (Number.isInteger(length) && length >= 0 && length <= most) return;
  throw new RangeError(
    `Cannot go on: ${method}() of the transport must give a number of bytes from 0 to ${most}: current value is ${
      String(length)
    }`,
  );
}

function isTransport(given: unknown): given is Transport {
  // Runs for each connection, so without a function for each method.
  const { read, write, closeWrite, close }: Partial<
    Record<typeof METHODS[number], unknown>
  > = Object(given);
  return typeof read === "function" && typeof write === "function" &&
    typeof closeWrite === "function" && typeof close === "function";
}

function isByteStreams(given: unknown): given is ByteStreams {
  const { readable, writable } = problemsOfStreams(given);
  return readable === undefined && writable === undefined;
}

/** Why each of the two streams cannot be used, if it cannot. */
function problemsOfStreams(
  given: unknown,
): { readable: string | undefined; writable: string | undefined } {
  return {
    readable: problemOf(get(given, "readable"), "getReader"),
    writable: problemOf(get(given, "writable"), "getWriter"),
  };
}

function problemOf(stream: unknown, method: string): string | undefined {
  if (!hasMethod(stream, method)) return "is missing";
  return get(stream, "locked") === true ? "is locked" : undefined;
}

function kindOf(transport: Transport & { readonly handshake?: unknown }): Kind {
  if (typeof transport.handshake === "function") return TLS;
  switch ((transport.localAddr ?? transport.remoteAddr)?.transport) {
    case "unix":
      return transport.alpnProtocol === undefined ? UNIX_SOCKET : TLS_OF_NODE;
    case "tcp":
      if (typeof transport.setNoDelay !== "function") return UNKNOWN;
      return transport.alpnProtocol === undefined ? TCP : TLS_OF_NODE;
    default:
      return UNKNOWN;
  }
}

function checkOptions(
  options: TransportOptions,
  { name: kind }: Kind,
  transport: object,
): void {
  if (!options.noDelay && !options.keepAlive) return;
  for (const name of ["noDelay", "keepAlive"] as const) {
    if (options[name] === true && !hasMethod(transport, SETTERS[name])) {
      throw new TypeError(
        `Cannot open connection with ${name} over ${kind}: only TCP connections have it`,
      );
    }
  }
}

/** Why the argument is neither a transport nor byte streams. */
function whatIsWrong(given: unknown): string {
  if (given === null || given === undefined) return `current value is ${given}`;
  if (typeof given !== "object" && typeof given !== "function") {
    return `current value is of type ${typeof given}`;
  }
  if (hasMethod(given, "getReader")) {
    return "it is a readable stream, and the writable one is missing";
  }
  if (hasMethod(given, "getWriter")) {
    return "it is a writable stream, and the readable one is missing";
  }
  const { readable, writable } = problemsOfStreams(given);
  if (readable !== "is missing" || writable !== "is missing") {
    return [
      ...(readable === undefined ? [] : [`readable ${readable}`]),
      ...(writable === undefined ? [] : [`writable ${writable}`]),
    ].join(", ");
  }
  if (hasMethod(get(given, "opened"), "then")) {
    return "it has neither, but opened: give what that resolves to";
  }
  const missing = METHODS.filter((name) => !hasMethod(given, name));
  return missing.length === METHODS.length
    ? "it has neither"
    : `without ${missing.map((name) => `${name}()`).join(", ")}`;
}

function get(value: unknown, name: string): unknown {
  return (typeof value === "object" && value !== null) ||
      typeof value === "function"
    ? Reflect.get(value, name)
    : undefined;
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof get(value, name) === "function";
}
