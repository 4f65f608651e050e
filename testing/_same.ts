import { isBytes, isError, viewOf } from "../internal/realms.ts";
import { textOf } from "../internal/shown.ts";

/**
 * Whether two messages are deeply equal. Objects are equal if they have the same class
 * and the same enumerable properties or, without properties, the same text. Errors must
 * have the same text as well.
 */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  return isSameObject(a, b, new Map());
}

/** Compares objects. Pairs in `compared` are taken as equal: a cycle leads back to them. */
function isSameObject(
  a: object,
  b: object,
  compared: Map<object, Set<object>>,
): boolean {
  if (isBytes(a) && isBytes(b)) {
    return isSameBytes(a, b);
  }
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const partners = compared.get(a) ?? new Set();
  if (partners.has(b)) return true;
  compared.set(a, partners.add(b));
  const isSameIn = (a: unknown, b: unknown): boolean =>
    Object.is(a, b) ||
    isObject(a) && isObject(b) && isSameObject(a, b, compared);
  if (a instanceof Date && b instanceof Date) {
    return Object.is(a.getTime(), b.getTime());
  }
  if (isCollection(a) && isCollection(b) && !isSameIn([...a], [...b])) {
    return false;
  }
  const [bytes, others] = [bytesOf(a), bytesOf(b)];
  if (bytes !== undefined && others !== undefined) {
    return isSameBytes(bytes, others);
  }
  const keys = Object.keys(a);
  // Such as a `URL`, a `RegExp` or one of `Temporal`; an `Error` may have properties too.
  const hasText = keys.length === 0 || isError(a);
  if (hasText && ownText(a) !== ownText(b)) return false;
  return keys.length === Object.keys(b).length &&
    keys.every((key) =>
      Object.hasOwn(b, key) &&
      isSameIn(Reflect.get(a, key), Reflect.get(b, key))
    );
}

function isCollection(value: object): value is Iterable<unknown> {
  return value instanceof Map || value instanceof Set ||
    value instanceof Headers;
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The bytes of a buffer, or of any view of one. */
function bytesOf(value: object): Uint8Array | undefined {
  const view = viewOf(value);
  if (isBytes(view)) return view;
  return ArrayBuffer.isView(view)
    ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    : undefined;
}

/** An object as a string; empty if it cannot be converted. */
function ownText(object: object): string {
  try {
    return String(object);
  } catch {
    return "";
  }
}

/** Writes over all bytes in a message, as its owner may. */
export function overwrite(message: unknown): void {
  for (const view of viewsIn(message)) view.fill(0xee);
}

/** A copy of all bytes in a message. */
export function bytesIn(message: unknown): Uint8Array[] {
  return viewsIn(message).map((view) => new Uint8Array(view));
}

function viewsIn(message: unknown): Uint8Array[] {
  const views: Uint8Array[] = [];
  // Iterating over a set includes objects that are added meanwhile, each once.
  const objects = new Set(isObject(message) ? [message] : []);
  for (const object of objects) {
    const view = bytesOf(object);
    if (view !== undefined) views.push(view);
    else partsOf(object).filter(isObject).forEach((part) => objects.add(part));
  }
  return views;
}

function partsOf(object: object): unknown[] {
  const properties: unknown[] = Object.values(object);
  return isCollection(object) ? [...object, ...properties] : properties;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

const MAX_SHOWN = 200;

/** A message in an error, in one line. */
export function show(message: unknown): string {
  return isBytes(message)
    ? showBytes(message)
    : shorten(textOf(() => showValue(message, new Set())));
}

/** A value like JSON, with the values that JSON leaves out; each object is shown once. */
function showValue(value: unknown, shown: Set<object>): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (Object.is(value, -0)) return "-0";
  if (!isObject(value)) return String(value);
  if (shown.has(value)) return "…"; // such as in a cycle
  shown.add(value);
  if (value instanceof Date) return `Date ${value.toJSON()}`;
  const kind = kindOf(value);
  const bytes = bytesOf(value);
  if (bytes !== undefined) return `${kind}${showBytes(bytes)}`;
  const showIn = (part: unknown) => showValue(part, shown);
  if (Array.isArray(value) || isCollection(value)) {
    return `${kind}[${Array.from<unknown, string>(value, showIn)}]`;
  }
  const properties = Object.entries(value).map(([key, part]) =>
    `${JSON.stringify(key)}:${showIn(part)}`
  );
  const text = ownText(value);
  const name = /^$|^\[object /.test(text) ? kind : `${text} `;
  return `${name}{${properties}}`;
}

/** The name of an object's class, shown before its parts; none if JSON has that class. */
function kindOf(object: object): string {
  const kind: unknown = Object.getPrototypeOf(object)?.constructor?.name;
  return kind === undefined || kind === "Object" || kind === "Array"
    ? ""
    : `${kind} `;
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
