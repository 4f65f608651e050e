import { Buffer } from "node:buffer";

/** Where certain bytes first lie in a byte array, or -1. */
export function indexOfNeedle(
  source: Uint8Array,
  needle: Uint8Array,
  start = 0,
): number {
  if (needle.length === 0) return -1;
  return Buffer.from(source.buffer, source.byteOffset, source.byteLength)
    .indexOf(needle, start);
}
