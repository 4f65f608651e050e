/**
 * Copies options, so that the caller's later changes have no effect. It also copies
 * members that an instance has from its class: a spread would lose its methods, and
 * without its `filter` a server would let everyone in.
 */
export function copyOptions<O extends object>(options: O): O {
  const copy: O = { ...options };
  // In JavaScript they may be missing, or not an object, which is refused later.
  let from: object | null = typeof options === "object" && options !== null
    ? Object.getPrototypeOf(options)
    : null;
  // The prototype of all objects has no prototype itself.
  while (from !== null && Object.getPrototypeOf(from) !== null) {
    for (const name of Object.getOwnPropertyNames(from)) {
      if (Object.hasOwn(copy, name)) continue;
      Reflect.set(copy, name, Reflect.get(options, name));
    }
    from = Object.getPrototypeOf(from);
  }
  return copy;
}
