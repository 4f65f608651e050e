import { Buffer } from "node:buffer";

/** Whether a byte array begins with certain bytes. */
export function startsWith(source: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(source.subarray(0, prefix.length), prefix) === 0;
}
