/** Joins byte arrays into a new one. */
export function concat(
  buffers: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  // Not Buffer.concat: its result can be in a shared pool.
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
