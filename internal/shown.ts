// C0, DEL and C1, line ends, and characters that reverse the direction of writing.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A peer's text for an error message, with characters escaped that could control a
 * terminal or begin a log line.
 */
export function escapeControls(text: string): string {
  return text.replace(
    CONTROLS,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same, of the first `most` characters, in quotes. */
export function quoted(text: string, most: number): string {
  // JSON escapes only quotes and C0.
  return escapeControls(JSON.stringify(text.slice(0, most)));
}

/** The result of `read` as text. `read` may throw: any thrown value may be shown. */
export function textOf(read: () => unknown): string {
  try {
    return String(read());
  } catch {
    return "what cannot be shown";
  }
}

const MAX_SHOWN_CHARACTERS = 80;

/**
 * An invalid value of an option, for an error message: text in quotes, so that `"5"` is
 * not taken for 5.
 */
export function shownValue(value: unknown): string {
  const text = textOf(() => {
    switch (typeof value) {
      case "string":
      case "object":
        return JSON.stringify(value);
      case "bigint":
        return `${value}n`;
      case "function":
        return "a function";
      default:
        return value;
    }
  });
  return text.slice(0, MAX_SHOWN_CHARACTERS);
}
