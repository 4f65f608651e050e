/**
 * Whether two messages are deeply equal. Objects are equal if they have the same class
 * and the same enumerable properties or, without properties, the same text.
 */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return isSameBytes(a, b);
  }
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date && b instanceof Date) {
    return Object.is(a.getTime(), b.getTime());
  }
  if (a instanceof Map && b instanceof Map) {
    return isSame([...a.entries()], [...b.entries()]);
  }
  if (a instanceof Set && b instanceof Set) return isSame([...a], [...b]);
  if (a instanceof Headers && b instanceof Headers) {
    return isSame([...a], [...b]); // they have no properties
  }
  if (a instanceof ArrayBuffer && b instanceof ArrayBuffer) {
    return isSameBytes(new Uint8Array(a), new Uint8Array(b));
  }
  if (a instanceof DataView && b instanceof DataView) {
    return isSameBytes(bytesOf(a), bytesOf(b));
  }
  const keys = Object.keys(a);
  // Such as a `URL`, a `RegExp`, an `Error` or one of `Temporal`.
  if (keys.length === 0 && textOf(a) !== textOf(b)) return false;
  return keys.length === Object.keys(b).length &&
    keys.every((key) =>
      Object.hasOwn(b, key) &&
      isSame(Reflect.get(a, key), Reflect.get(b, key))
    );
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** An object as a string; empty if it cannot be converted. */
function textOf(object: object): string {
  try {
    return String(object);
  } catch {
    return "";
  }
}

/** Writes over all bytes in a message, as its owner may. */
export function overwrite(message: unknown): void {
  if (message instanceof Uint8Array) message.fill(0xee);
  else if (isObject(message)) Object.values(message).forEach(overwrite);
}

/** A copy of all bytes in a message. */
export function bytesIn(message: unknown): Uint8Array[] {
  if (message instanceof Uint8Array) return [new Uint8Array(message)];
  return isObject(message) ? Object.values(message).flatMap(bytesIn) : [];
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

const MAX_SHOWN = 200;

/** A message in an error, in one line. */
export function show(message: unknown): string {
  if (message instanceof Uint8Array) return showBytes(message);
  if (typeof message === "string") return shorten(JSON.stringify(message));
  try {
    const text: string | undefined = JSON.stringify(
      message,
      (_, value: unknown) =>
        value instanceof Uint8Array
          ? `bytes ${showBytes(value)}`
          : typeof value === "bigint"
          ? `${value}n`
          : value,
    );
    return shorten(text ?? String(message));
  } catch {
    return Object.prototype.toString.call(message);
  }
}

/** Bytes in an error, each printable one as its character. */
export function showBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes.subarray(0, MAX_SHOWN)) text += showByte(byte);
  const more = bytes.length > MAX_SHOWN ? `… (${bytes.length} bytes)` : "";
  return `"${text}"${more}`;
}

/** Bytes between two cuts, of which the ends matter most. */
export function showEnds(bytes: Uint8Array): string {
  if (bytes.length <= MAX_SHOWN) return showBytes(bytes);
  const [head, tail] = [bytes.subarray(0, 40), bytes.subarray(-40)];
  return `${showBytes(head)}… (${bytes.length} bytes) …${showBytes(tail)}`;
}

function showByte(byte: number): string {
  switch (byte) {
    case 0x0a:
      return "\\n";
    case 0x0d:
      return "\\r";
    case 0x22:
      return '\\"';
    case 0x5c:
      return "\\\\";
  }
  return byte >= 0x20 && byte < 0x7f
    ? String.fromCharCode(byte)
    : `\\x${byte.toString(16).padStart(2, "0")}`;
}

function shorten(text: string): string {
  return text.length > MAX_SHOWN
    ? `${text.slice(0, MAX_SHOWN)}… (${text.length} characters)`
    : text;
}
