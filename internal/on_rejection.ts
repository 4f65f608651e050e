/**
 * Passes on the rejection of a function that should return nothing, but is async: an
 * unhandled rejection would end the process.
 */
export function onRejection(
  given: unknown,
  tell: (error: unknown) => void,
): void {
  if (typeof given === "object") Promise.resolve(given).catch(tell);
}
