import { escapeControls } from "./_escapes.ts";

/** Why something failed, in one line that cannot control a terminal. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Not with an expression for spaces before a line end: with many spaces and no line end
  // after them, that takes quadratic time.
  const line = text.split("\n").map((each) => each.trim())
    .filter((each) => each !== "").join(" ");
  if (line !== "") return escapeControls(line);
  return error instanceof Error ? error.name : "unknown error";
}
