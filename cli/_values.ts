/**
 * What stands in a flag, an argument or a line, as values: times, sizes, addresses,
 * bytes.
 *
 * @module
 */
import { concat } from "@std/bytes/concat";
import type { Address } from "../connection.ts";
import type { Bytes } from "../framing.ts";
import { escapeControls } from "./_escapes.ts";

/** The command line is wrong. The tool says so in one line, and ends with code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

function wrong(name: string, rule: string, value: string): UsageError {
  return new UsageError(`${name} must be ${rule}: current value is "${value}"`);
}

const TIME_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

// The longest that a timer can wait: a longer one would fire immediately.
export const MAX_DURATION_MS = 2 ** 31 - 1;

/** Reads a time in milliseconds: `500ms`, `10s`, `1.5m`, or a plain number. */
export function parseDuration(name: string, text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const factor = TIME_UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw wrong(name, "a time such as 500ms, 10s, 1m or 1h", text);
  }
  const duration = Number(digits) * factor;
  if (duration > MAX_DURATION_MS) {
    throw wrong(name, "at most 596h", text);
  }
  return duration;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
};

/** Reads a number of bytes: `4096`, `64k`, `1M`; also `Infinity`, as the library has it. */
export function parseSize(name: string, text: string): number {
  if (text === "Infinity") return Infinity;
  const [, digits, unit = ""] = /^(\d+)([kMG])?$/.exec(text) ?? [];
  const factor = SIZE_UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw wrong(name, "a number of bytes such as 4096, 64k or 1M", text);
  }
  return Number(digits) * factor;
}

/** Reads a whole number of at least `minimum`. */
export function parseCount(name: string, text: string, minimum = 1): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < minimum || !Number.isSafeInteger(count)) {
    throw wrong(name, `a whole number of at least ${minimum}`, text);
  }
  return count;
}

/** Reads a whole number, which may be below 0. */
export function parseInteger(name: string, text: string): number {
  const number = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number)) {
    throw wrong(name, "a whole number", text);
  }
  return number;
}

/** Reads one of `choices`. */
export function parseChoice<T extends string>(
  name: string,
  text: string,
  choices: readonly T[],
): T {
  const choice = choices.find((each) => each === text);
  if (choice === undefined) {
    throw wrong(name, `one of ${choices.join(", ")}`, text);
  }
  return choice;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\",
  "0": "\0",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Reads the escapes `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`. The last stands for a byte,
 * so with one above 7f that is not UTF-8 the result is bytes.
 */
export function parseEscapes(name: string, text: string): Bytes | string {
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  for (const [part] of text.matchAll(/\\x[0-9a-fA-F]{2}|\\[^]?|[^\\]+/g)) {
    if (part.startsWith("\\x") && part.length === 4) {
      parts.push(new Uint8Array([Number.parseInt(part.slice(2), 16)]));
    } else if (part.startsWith("\\")) {
      const character = ESCAPES[part.slice(1)];
      if (character === undefined) {
        throw new UsageError(
          `${name} has the escape "${part}", which is none of \\n, \\r, \\t, \\0, \\\\ and \\xHH`,
        );
      }
      parts.push(encoder.encode(character));
    } else {
      parts.push(encoder.encode(part));
    }
  }
  const bytes = concat(parts);
  return textOf(bytes) ?? bytes;
}

/** Reads hexadecimal digits, with anything or nothing between the bytes. */
export function parseHex(text: string): Bytes | undefined {
  const digits = text.replace(/0x|[\s:,]/g, "");
  return /^(?:[0-9a-fA-F]{2})*$/.test(digits)
    ? Uint8Array.fromHex(digits)
    : undefined;
}

/** Bytes as text, if they are UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    return undefined;
  }
}

/** A message as bytes. */
export function bytesOf(message: Uint8Array | string): Bytes {
  return typeof message === "string"
    ? new TextEncoder().encode(message)
    : new Uint8Array(message);
}

/** Where to connect or to listen. */
export type Place =
  | { readonly hostname: string; readonly port: number }
  | { readonly path: string };

/** Reads `HOST:PORT`, `PORT` or `:PORT` of this machine, `[IPV6]:PORT`, `unix:PATH`. */
export function parsePlace(text: string): Place {
  if (text.startsWith("unix:") && text.length > 5) {
    return { path: text.slice(5) };
  }
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d+)$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw wrong("The address", "HOST:PORT, PORT or unix:PATH", text);
  }
  return { hostname: match[1] ?? (match[2] || "127.0.0.1"), port };
}

/** A place as it is written on a command line. */
export function placeName(place: Place): string {
  if ("path" in place) return `unix:${place.path}`;
  const { hostname, port } = place;
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

/** An address as it is written on a command line. */
export function nameOfAddress(address: Address): string {
  switch (address.transport) {
    case "tcp":
    case "udp":
      return placeName(address);
    case "unix":
    case "unixpacket":
      // A client chooses its own path, which must not control the terminal.
      return address.path === null
        ? "a Unix socket"
        : `unix:${escapeControls(address.path)}`;
    case "vsock":
      return `vsock:${address.cid}:${address.port}`;
  }
}
