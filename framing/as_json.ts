import { parseJson, stringifyJson } from "./_json.ts";
import { checkInner } from "./_limits.ts";
import { checkMalformed } from "./_malformed.ts";
import { textFraming } from "./_text_framing.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import type { MalformedOptions } from "./malformed.ts";
import { mapped } from "./mapped.ts";

/**
 * A framing of bytes, read and written as JSON in UTF-8.
 *
 * Anything that is not JSON is an error of code `"malformed"`. Sending a value that JSON
 * cannot express, such as `undefined`, is a `TypeError`.
 *
 * @param framing Where messages begin and end.
 * @param options What happens to a message that is not JSON.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing, or `onMalformed` has a value that is not listed.
 *
 * @example One JSON value per line
 * ```ts
 * import {
 *   asJson,
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   delimited,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asJson(delimited("\n"));
 *
 * assertEquals(
 *   new ChunkDecoder(framing).decode(new TextEncoder().encode('{"id":1}\n[2]\n')),
 *   [{ id: 1 }, [2]],
 * );
 * assertEquals(new ChunkEncoder(framing).encode({ id: 1 }), new TextEncoder().encode('{"id":1}\n'));
 * ```
 */
export function asJson(
  framing: Framing<Bytes, Sendable>,
  options: MalformedOptions = {},
): Framing<unknown> {
  checkInner("asJson", framing);
  const onMalformed = checkMalformed("asJson", options);
  const rules = { what: "JSON", fatal: true, malformed: onMalformed };
  const texts = textFraming(framing, rules);
  // Text that is sent was checked when it was made.
  const inner: Framing<string> = {
    decoder: () => texts.decoder(),
    encoder: () => framing.encoder(),
  };
  return mapped<string, string, unknown>(inner, {
    decode: (text) => parseJson(text),
    encode: stringifyJson,
    onMalformed,
  });
}
