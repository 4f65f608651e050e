/** The requested amount, and the limit. */
export interface Quota {
  readonly quota: number;
  readonly requested: number;
}

/**
 * A `QuotaExceededError`. If the runtime lacks that class (Node 22, Bun), it is, as it
 * used to be, a `DOMException` of that name, with the same fields.
 */
export function quotaExceeded(message: string, facts: Quota): DOMException {
  const own: unknown = Reflect.get(globalThis, "QuotaExceededError");
  if (typeof own === "function") {
    return Reflect.construct(own, [message, facts]);
  }
  return Object.assign(new DOMException(message, "QuotaExceededError"), facts);
}
