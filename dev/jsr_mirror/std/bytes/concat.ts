/** Joins byte arrays into a new one. */
export function concat(
  buffers: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  // Not Buffer.concat: its result can lie in a pool that others share.
  const joined = new Uint8Array(
    buffers.reduce((length, buffer) => length + buffer.length, 0),
  );
  let offset = 0;
  for (const buffer of buffers) {
    joined.set(buffer, offset);
    offset += buffer.length;
  }
  return joined;
}
