import { malformed } from "./_limits.ts";
import type { Bytes, Sendable } from "./framing.ts";

const encoder = new TextEncoder();
const lossyDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
const fatalDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The bytes of a message to send. */
export function toBytes(message: Sendable): Uint8Array {
  if (typeof message === "string") return encoder.encode(message);
  if (message instanceof Uint8Array) return message;
  throw new TypeError(
    `Cannot encode message as it must be a Uint8Array or a string: current value is of type ${typeof message}`,
  );
}

/**
 * Writes a message into `target` at `offset`, if it surely fits.
 *
 * @returns The number of bytes written, or -1.
 */
export function writeBytes(
  message: Sendable,
  target: Uint8Array,
  offset: number,
): number {
  if (typeof message === "string") {
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    if (message.length * 3 > target.length - offset) return -1;
    return encoder.encodeInto(message, target.subarray(offset)).written;
  }
  const bytes = toBytes(message);
  if (bytes.length > target.length - offset) return -1;
  target.set(bytes, offset);
  return bytes.length;
}

/** Throws unless `message` is text that UTF-8 can carry. */
export function checkText(message: string): void {
  if (typeof message !== "string") {
    throw new TypeError(
      `Cannot encode message as it must be a string: current value is of type ${typeof message}`,
    );
  }
  if (!message.isWellFormed()) {
    throw new TypeError(
      `Cannot encode message of ${message.length} characters: it must not hold a lone surrogate`,
    );
  }
}

/** Reads UTF-8, a byte order mark kept. */
export function decodeUtf8(
  what: string,
  bytes: Bytes,
  { fatal, offset }: { fatal: boolean; offset?: number },
): string {
  if (!fatal) return lossyDecoder.decode(bytes);
  try {
    return fatalDecoder.decode(bytes);
  } catch {
    throw malformed(what, offset, "not valid UTF-8");
  }
}
