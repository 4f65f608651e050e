import { malformed } from "./_limits.ts";
import { asText } from "./as_text.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { mapped } from "./mapped.ts";

/**
 * A framing of bytes, read and written as JSON in UTF-8.
 *
 * What is not JSON is an error of code `"malformed"`. A value that JSON does not
 * know, such as `undefined`, cannot be sent and is a `TypeError`.
 *
 * @param framing Where messages begin and end.
 * @returns A framing without state, which many connections may share.
 *
 * @example A JSON value a line
 * ```ts
 * import { asJson, delimited } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asJson(delimited("\n"));
 *
 * assertEquals(
 *   framing.decoder().decode(new TextEncoder().encode('{"id":1}\n[2]\n')),
 *   [{ id: 1 }, [2]],
 * );
 * assertEquals(framing.encode({ id: 1 }), new TextEncoder().encode('{"id":1}\n'));
 * ```
 */
export function asJson(framing: Framing<Bytes, Sendable>): Framing<unknown> {
  return mapped<string, string, unknown>(asText(framing, { fatal: true }), {
    decode(text) {
      try {
        return JSON.parse(text);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : "not JSON";
        throw malformed("JSON", undefined, reason);
      }
    },
    encode(value) {
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined) {
        throw new TypeError(
          `Cannot encode message as JSON has no value of its type: current type is ${typeof value}`,
        );
      }
      return text;
    },
  });
}
