/**
 * Copies options, so that it does not count what the caller changes in the object later. What
 * an instance of a class has from its class counts too: a spread would lose its methods, and
 * a server would let everyone in without its `filter`.
 */
export function copyOptions<O extends object>(options: O): O {
  const copy: O = { ...options };
  // In JavaScript they may be missing, or something else, which is refused later.
  let from: object | null = typeof options === "object" && options !== null
    ? Object.getPrototypeOf(options)
    : null;
  // What has no prototype itself is that of all objects.
  while (from !== null && Object.getPrototypeOf(from) !== null) {
    for (const name of Object.getOwnPropertyNames(from)) {
      if (Object.hasOwn(copy, name)) continue;
      Reflect.set(copy, name, Reflect.get(options, name));
    }
    from = Object.getPrototypeOf(from);
  }
  return copy;
}
