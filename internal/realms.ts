/**
 * Checks of a value's class that also hold for values of another realm.
 *
 * Test runners such as Jest and environments such as jsdom give a program its own `Error`
 * or `Uint8Array`, while the runtime's functions still give values of the runtime's.
 *
 * @module
 */

/** Whether a value is a `Uint8Array`. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || // quickly
    ArrayBuffer.isView(value) && tagOf(value) === "[object Uint8Array]";
}

/**
 * The bytes of an `ArrayBuffer`: Chrome's `WebSocketStream` gives these. Anything else is
 * returned as it is.
 */
export function viewOf<T>(chunk: T): T | Uint8Array {
  if (ArrayBuffer.isView(chunk)) return chunk; // the usual case
  return tagOf(chunk) === "[object ArrayBuffer]"
    ? new Uint8Array(chunk as ArrayBuffer)
    : chunk;
}

/** Whether a value is an `Error` or a `DOMException`. */
export function isError(value: unknown): value is Error {
  if (value instanceof Error) return true;
  const tag = tagOf(value);
  return tag === "[object Error]" || tag === "[object DOMException]";
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value);
}
