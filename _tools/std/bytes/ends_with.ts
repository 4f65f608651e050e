import { Buffer } from "node:buffer";

/** Whether a byte array ends with certain bytes. */
export function endsWith(source: Uint8Array, suffix: Uint8Array): boolean {
  const start = source.length - suffix.length;
  return start >= 0 && Buffer.compare(source.subarray(start), suffix) === 0;
}
