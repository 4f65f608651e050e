/** What was asked for, and how much there may be. */
export interface Quota {
  readonly quota: number;
  readonly requested: number;
}

/**
 * A `QuotaExceededError`. Where that is no class yet (Node 22, Bun), it is what it was
 * before: a `DOMException` of that name, with the same facts.
 */
export function quotaExceeded(message: string, facts: Quota): DOMException {
  if ("QuotaExceededError" in globalThis) {
    return new QuotaExceededError(message, facts);
  }
  return Object.assign(new DOMException(message, "QuotaExceededError"), facts);
}
