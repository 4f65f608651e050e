/**
 * Copies options, so that the caller's later changes have no effect. It also copies
 * members that an instance has from its class: a spread would lose its methods, and
 * without its `filter` a server would let everyone in. The methods stay those of the
 * instance, because only it has its private fields.
 *
 * `heartbeat` is copied too: otherwise a later change would apply to later connections.
 * `tls` is not: `reconnect()` may be given other certificates while it runs.
 */
export function copyOptions<O extends object>(options: O): O {
  const copy: O = { ...options };
  // In JavaScript they may be missing, or not an object, which is refused later.
  let from: object | null = typeof options === "object" && options !== null
    ? Object.getPrototypeOf(options)
    : null;
  while (from !== null) {
    for (const name of Object.getOwnPropertyNames(from)) {
      // All objects have the latter, such as `constructor`: they are no options.
      if (Object.hasOwn(copy, name) || name in Object.prototype) continue;
      const value: unknown = Reflect.get(options, name);
      Reflect.set(
        copy,
        name,
        typeof value === "function" ? value.bind(options) : value,
      );
    }
    from = Object.getPrototypeOf(from);
  }
  const heartbeat: unknown = Reflect.get(copy, "heartbeat");
  if (typeof heartbeat === "object" && heartbeat !== null) {
    Reflect.set(copy, "heartbeat", copyOptions(heartbeat));
  }
  return copy;
}
