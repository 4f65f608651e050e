/** Why something failed, in one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.replace(/\s*\n\s*/g, " ").trim();
  if (line !== "") return line;
  return error instanceof Error ? error.name : "unknown error";
}
