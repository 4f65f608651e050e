/** Replaces functions until the end of the scope. */
export function replacing<T extends object>(
  target: T,
  replacements: Partial<T>,
): Disposable {
  const originals: Partial<T> = { ...target };
  Object.assign(target, replacements);
  return {
    [Symbol.dispose]() {
      for (const name in replacements) {
        Object.assign(target, { [name]: originals[name] });
      }
    },
  };
}
