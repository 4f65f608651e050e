/** What is left of a chunk that was copied whole. */
export const NO_BYTES = new Uint8Array(0);

/**
 * Copies as many bytes from the front of `bytes` as `buffer` has room for.
 *
 * @returns The rest. An empty rest keeps no large chunk alive.
 */
export function copyInto(buffer: Uint8Array, bytes: Uint8Array): Uint8Array {
  const piece = bytes.subarray(0, buffer.length);
  buffer.set(piece);
  return piece.length === bytes.length
    ? NO_BYTES
    : bytes.subarray(piece.length);
}
