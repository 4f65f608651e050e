/** C0, DEL and C1, and characters that reverse the direction of writing. */
// deno-lint-ignore no-control-regex
export const CONTROLS = /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const NAMES: Readonly<Record<string, string>> = {
  "\0": "\\0",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** Text that cannot control a terminal; with `keepsLines`, lines stay lines. */
export function escapeControls(text: string, keepsLines = false): string {
  return text.replace(CONTROLS, (character) => {
    if (keepsLines && (character === "\n" || character === "\t")) {
      return character;
    }
    const code = character.charCodeAt(0);
    return NAMES[character] ??
      (code < 0x100 ? hexEscape(code) : `\\u{${code.toString(16)}}`);
  });
}

/** The escape for a byte that is not a character. */
export function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
