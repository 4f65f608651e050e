import { isBytes } from "../internal/realms.ts";
import { malformed } from "./_limits.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { FramingError } from "./framing_error.ts";
import { OutputBuffer } from "./output_buffer.ts";

const encoder = new TextEncoder();
const lossyDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
const fatalDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The bytes of a message to send. */
export function toBytes(message: Sendable): Uint8Array {
  if (typeof message === "string") return encoder.encode(message);
  if (isBytes(message)) return message;
  throw new TypeError(
    `Cannot encode message as it must be a Uint8Array or a string: current value is of type ${typeof message}`,
  );
}

/**
 * The bytes of a part of each frame, such as a delimiter; the caller may change its own.
 *
 * Text does not go through {@linkcode toBytes}: that is compiled for bytes alone if all
 * messages are bytes, and again after the first text.
 */
export function copyToBytes(part: Sendable): Uint8Array {
  // Not by `slice`, with which Node's Buffer makes a view.
  return typeof part === "string"
    ? encoder.encode(part)
    : new Uint8Array(toBytes(part));
}

const LEAST_ENCODED_BYTES = 4096;
const MOST_ENCODED_BYTES = 256 * 1024;
// Making an array takes five times as long as encoding a short text.
let encoded = new Uint8Array(0);

/**
 * The bytes of a message to write to `output`. The next call may change them: short text
 * is always encoded into the same buffer.
 */
export function toBytesToWrite(
  message: Sendable,
  output: ByteOutput,
): Uint8Array {
  if (typeof message !== "string") return toBytes(message);
  // A user's own output may keep the bytes, or encode other text in between.
  if (!(output instanceof OutputBuffer)) return encoder.encode(message);
  // UTF-8 takes at most three bytes for each UTF-16 code unit.
  const most = message.length * 3;
  if (most > MOST_ENCODED_BYTES) return encoder.encode(message);
  if (most > encoded.length) {
    encoded = new Uint8Array(Math.max(2 * most, LEAST_ENCODED_BYTES));
  }
  return encoded.subarray(0, encoder.encodeInto(message, encoded).written);
}

/** Writes text and its end, such as a delimiter. */
export function writeEnded(
  output: ByteOutput,
  text: string,
  end: string,
): void {
  if (output instanceof OutputBuffer) return output.writeEnded(text, end);
  output.writeText(text);
  if (end !== "") output.writeText(end);
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

/** Reads UTF-8; keeps a byte order mark, and reads invalid bytes as U+FFFD. */
export function decodeText(bytes: Bytes): string {
  return lossyDecoder.decode(bytes);
}

/** Invalid bytes are read as this character; it may also have been sent. */
export const REPLACEMENT = "\ufffd";

/**
 * The error of bytes that are not UTF-8; `undefined` if they are.
 *
 * Call it only for bytes whose text has a {@linkcode REPLACEMENT}: this takes 3 to 12
 * times as long as reading them did.
 */
export function utf8Error(
  what: string,
  bytes: Bytes,
  offset?: number,
): FramingError | undefined {
  try {
    fatalDecoder.decode(bytes);
    return undefined;
  } catch {
    return malformed(what, offset, "not valid UTF-8");
  }
}
