import { escapeControls } from "../internal/shown.ts";
import { malformed } from "./_limits.ts";
import { checkText } from "./_utf8.ts";

/** Reads JSON; throws a {@linkcode FramingError} if it is invalid. */
export function parseJson(text: string, offset?: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "not JSON";
    // It quotes the peer's bytes.
    throw malformed("JSON", offset, escapeControls(reason));
  }
}

/** Writes JSON; throws if JSON cannot express the value. */
export function stringifyJson(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) {
    throw new TypeError(
      `Cannot encode message as JSON has no value of its type: current type is ${typeof value}`,
    );
  }
  checkText(text); // JSON.rawJSON() may hold a lone surrogate
  return text;
}
