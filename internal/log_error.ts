/** What happens to an error if no `onError` is given. */
export function logError(error: unknown): void {
  // deno-lint-ignore no-console -- an error must not go unseen
  console.error(error);
}
