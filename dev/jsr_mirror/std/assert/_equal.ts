/**
 * Whether two values are deeply equal.
 *
 * It compares primitives, arrays, plain objects and typed arrays. For objects of other
 * classes it throws, because its answer could differ from that of `@std/assert`.
 */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  const prototype = prototypeOf(a);
  if (prototype !== prototypeOf(b)) return false;
  if (
    prototype !== Object.prototype && prototype !== Array.prototype &&
    !isTypedArray(a)
  ) {
    throw new TypeError(
      `Cannot compare objects: the stand-in for @std/assert does not know ${a.constructor.name}`,
    );
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    // Asking for the keys of a megabyte takes 0.8 s.
    return a.length === b.length && a.every((byte, index) => byte === b[index]);
  }
  const keys = enumerableKeys(a);
  return keys.length === enumerableKeys(b).length &&
    keys.every((key) =>
      Object.hasOwn(b, key) && equal(Reflect.get(a, key), Reflect.get(b, key))
    );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isTypedArray(value: object): boolean {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** An object without a prototype equals a plain one. */
function prototypeOf(value: object): unknown {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

function enumerableKeys(value: object): (string | symbol)[] {
  return Reflect.ownKeys(value).filter((key) =>
    Object.prototype.propertyIsEnumerable.call(value, key)
  );
}
