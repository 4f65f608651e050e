/** A value as a program writes it, without properties that are `undefined`. */
export function literal(value: unknown): string {
  if (value instanceof Uint8Array) {
    return `new Uint8Array([${value.join(", ")}])`;
  }
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, each]) =>
      each !== undefined
    );
    if (entries.length === 0) return "{}";
    return `{ ${
      entries.map(([name, each]) => `${name}: ${literal(each)}`).join(", ")
    } }`;
  }
  // JSON has no Infinity.
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
