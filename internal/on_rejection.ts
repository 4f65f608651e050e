/**
 * Passes on the rejection of a function that should return nothing, but is async: an
 * unhandled rejection would end the process.
 */
export function onRejection(
  given: unknown,
  tell: (error: unknown) => void,
): void {
  // Deno's functions return `null`, and each connection calls some of them.
  if (typeof given === "object" && given !== null) {
    Promise.resolve(given).catch(tell);
  }
}
