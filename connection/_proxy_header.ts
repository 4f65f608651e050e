import type { ByteInput } from "../framing/byte_input.ts";
import type { Decoder } from "../framing/framing.ts";
import { FramingError } from "../framing/framing_error.ts";
import { quoted } from "../internal/shown.ts";
import type { Address } from "./transport.ts";

// https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
const V1_START = new TextEncoder().encode("PROXY ");
const V2_START = new TextEncoder().encode("\r\n\r\n\0\r\nQUIT\n");
const CR_LF = new TextEncoder().encode("\r\n");
const MAX_V1_BYTES = 107; // with its CR LF
const V2_FIXED_BYTES = 16;
// The part after the fixed one: two addresses, and facts from the proxy (TLV), of which a
// client's certificate is the largest.
const MAX_V2_REST_BYTES = 16 * 1024;

/** The content of a header. */
export interface ProxyHeader {
  /**
   * The address of the client; `undefined` if the proxy speaks for itself, as in a health
   * check, or does not know it.
   */
  readonly source: Address | undefined;
}

/** Takes the header, in either version, and never a byte after it. */
export function proxyHeaderDecoder(): Decoder<ProxyHeader> {
  return {
    maxFrameLength: V2_FIXED_BYTES + MAX_V2_REST_BYTES,
    decode(input) {
      if (beginsWith(V1_START, input)) return takeV1(input);
      if (beginsWith(V2_START, input)) return takeV2(input);
      throw malformed("it begins with neither version of the protocol");
    },
  };
}

/** Whether the bytes so far are the beginning of `start`, or begin with it. */
function beginsWith(start: Uint8Array, input: ByteInput): boolean {
  const length = Math.min(start.length, input.length);
  for (let i = 0; i < length; i++) {
    if (input.byteAt(i) !== start[i]) return false;
  }
  return true;
}

/** Takes a line, such as "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443". */
function takeV1(input: ByteInput): ProxyHeader | undefined {
  const end = input.indexOf(CR_LF);
  const length = end === -1 ? input.length : end + CR_LF.length;
  if (length > MAX_V1_BYTES || (end === -1 && length === MAX_V1_BYTES)) {
    throw new FramingError(
      `Cannot read PROXY header: its line is longer than ${MAX_V1_BYTES} bytes`,
      { code: "too-long", limit: MAX_V1_BYTES },
    );
  }
  if (end === -1) return undefined;
  const line = input.takeText(end);
  input.skip(CR_LF.length);
  const [, kind, ...fields] = line.split(" ");
  if (kind === "UNKNOWN") return { source: undefined }; // anything may follow
  const [source, destination, port, destinationPort, ...more] = fields;
  const parse = kind === "TCP4"
    ? parseIpv4
    : kind === "TCP6"
    ? parseIpv6
    : undefined;
  const hostname = parse?.(source);
  if (
    hostname === undefined || parse?.(destination) === undefined ||
    !isPort(port) || !isPort(destinationPort) || more.length > 0
  ) {
    throw malformed(`its line is ${quoted(line, MAX_V1_BYTES)}`);
  }
  return { source: { transport: "tcp", hostname, port: Number(port) } };
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^(0|[1-9][0-9]{0,4})$/.test(text) &&
    Number(text) <= 65_535;
}

function parseIpv4(text = ""): string | undefined {
  const parts = text.split(".");
  const isAddress = parts.length === 4 &&
    parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && +part <= 255);
  return isAddress ? text : undefined;
}

/** An address in its canonical form, so that equal addresses count as equal. */
function parseIpv6(text = ""): string | undefined {
  if (!/^[0-9a-f:.]+$/i.test(text)) return undefined;
  const hostname = URL.parse(`tcp://[${text}]`)?.hostname.slice(1, -1);
  // As the system writes an IPv4 address in IPv6, so that a filter recognizes it.
  return hostname?.replace(
    /^::ffff:([0-9a-f]+):([0-9a-f]+)$/,
    (_, high: string, low: string) =>
      `::ffff:${bytesOf(high).join(".")}.${bytesOf(low).join(".")}`,
  );
}

/** The two bytes of a group of an address. */
function bytesOf(group: string): [number, number] {
  const value = parseInt(group, 16);
  return [value >> 8, value & 0xff];
}

type Read = (input: ByteInput) => Address | undefined;

interface Family {
  /** How many bytes its two addresses take. */
  readonly length: number;
  readonly read: Read;
}

const IPV4_BYTES = 12;
const IPV6_BYTES = 36;
const UNIX_PATH_BYTES = 108;

/** By the byte of address family and protocol. */
const FAMILIES: Readonly<Record<number, Family>> = {
  0x00: { length: 0, read: () => undefined },
  0x11: { length: IPV4_BYTES, read: (input) => readIpv4(input, "tcp") },
  0x12: { length: IPV4_BYTES, read: (input) => readIpv4(input, "udp") },
  0x21: { length: IPV6_BYTES, read: (input) => readIpv6(input, "tcp") },
  0x22: { length: IPV6_BYTES, read: (input) => readIpv6(input, "udp") },
  0x31: { length: 2 * UNIX_PATH_BYTES, read: readUnix },
  0x32: { length: 2 * UNIX_PATH_BYTES, read: readUnix },
};

function takeV2(input: ByteInput): ProxyHeader | undefined {
  const command = input.byteAt(12);
  if (command === undefined) return undefined;
  if (command !== 0x20 && command !== 0x21) {
    throw malformed(
      `its version and command are 0x${command.toString(16)}`,
    );
  }
  const isLocal = command === 0x20; // the proxy itself, such as a health check
  const kind = input.byteAt(13);
  if (kind === undefined) return undefined;
  const family = isLocal ? FAMILIES[0] : FAMILIES[kind];
  if (family === undefined) {
    throw malformed(`its address family is 0x${kind.toString(16)}`);
  }
  const rest = input.uintAt(14, 2);
  if (rest === undefined) return undefined;
  if (rest < family.length) {
    throw malformed(
      `${rest} bytes cannot hold addresses of ${family.length} bytes`,
    );
  }
  if (rest > MAX_V2_REST_BYTES) {
    throw new FramingError(
      `Cannot read PROXY header: ${rest} bytes after its first ${V2_FIXED_BYTES} are more than ${MAX_V2_REST_BYTES}`,
      { code: "too-long", limit: MAX_V2_REST_BYTES },
    );
  }
  const length = V2_FIXED_BYTES + rest;
  if (input.length < length) return input.need(length);
  const source = family.read(input);
  input.skip(length);
  return { source };
}

function readIpv4(input: ByteInput, transport: "tcp" | "udp"): Address {
  const hostname = input.bytesAt(V2_FIXED_BYTES, V2_FIXED_BYTES + 4).join(".");
  const port = input.uintAt(V2_FIXED_BYTES + 8, 2) ?? 0;
  return { transport, hostname, port };
}

function readIpv6(input: ByteInput, transport: "tcp" | "udp"): Address {
  const groups = Array.from(
    { length: 8 },
    (_, i) => input.uintAt(V2_FIXED_BYTES + 2 * i, 2)?.toString(16),
  );
  const hostname = parseIpv6(groups.join(":")) ?? "";
  const port = input.uintAt(V2_FIXED_BYTES + 32, 2) ?? 0;
  return { transport, hostname, port };
}

function readUnix(input: ByteInput): Address {
  const path = input.textAt(V2_FIXED_BYTES, V2_FIXED_BYTES + UNIX_PATH_BYTES);
  // A zero begins the padding, except as the first byte of an abstract name.
  const end = path.indexOf("\0", 1);
  const name = end === -1 ? path : path.slice(0, end);
  return { transport: "unix", path: name === "\0" ? null : name };
}

function malformed(what: string): FramingError {
  return new FramingError(`Cannot read PROXY header: ${what}`, {
    code: "malformed",
    offset: 0,
  });
}
