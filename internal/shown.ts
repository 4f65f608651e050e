// C0, DEL and C1, what ends a line, and what reverses the direction of writing.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * The text of a peer for the message of an error, with what would steer a terminal or begin
 * a line of a log as an escape.
 */
export function escapeControls(text: string): string {
  return text.replace(
    CONTROLS,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same, of the first `most` characters, in quotes. */
export function quoted(text: string, most: number): string {
  // JSON escapes quotes and C0 alone.
  return escapeControls(JSON.stringify(text.slice(0, most)));
}

/** What `read` gives, as text. It may throw, as anything can be thrown and then be shown. */
export function textOf(read: () => unknown): string {
  try {
    return String(read());
  } catch {
    return "what cannot be shown";
  }
}

const MAX_SHOWN_CHARACTERS = 80;

/**
 * A value that an option cannot have, for the message of an error: text in quotes, so that
 * `"5"` is not taken for 5.
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
