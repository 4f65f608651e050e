/**
 * NMEA 0183, as GPS receivers and ships' instruments send it over TCP: sentences with a
 * checksum. A damaged one is dropped, and the stream continues.
 *
 * ```text
 * $GPGLL,4916.45,N,12311.12,W,225444,A*31\r\n
 *  ^---------- all of these, XORed -^ ^^ as two hexadecimal digits
 * ```
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/nmea.ts 10110
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, type Framing, FramingError, lines } from "@framed/tcp";
import { mapped, textFields } from "@framed/tcp";

/**
 * The framing of sentences, as their fields; `onDamaged` gets the errors of dropped ones.
 */
export function sentences(
  onDamaged: (error: FramingError) => void = () => {},
): Framing<string[]> {
  return mapped(lines({ eol: "\r\n", maxLength: 1024 }), {
    decode(line) {
      const [text = "", sum = ""] = textFields(line, SENTENCE);
      if (parseInt(sum, 16) !== checksum(text)) {
        throw new FramingError(`Wrong checksum: ${JSON.stringify(line)}`);
      }
      return text.split(",");
    },
    encode(fields: string[]) {
      const text = fields.join(",");
      const digits = checksum(text).toString(16).padStart(2, "0");
      return `$${text}*${digits.toUpperCase()}`;
    },
    onMalformed: onDamaged,
  });
}

const SENTENCE = /^[$!]([^*]*)\*([0-9A-F]{2})$/i;

function checksum(text: string): number {
  return new TextEncoder().encode(text).reduce((sum, byte) => sum ^ byte, 0);
}

if (import.meta.main) {
  const framing = sentences(({ message }) => console.log(message));
  const port = Number(Deno.args[0] ?? 10110);
  await using connection = await connect({ port, framing });
  for await (const fields of connection) console.log(fields);
}
