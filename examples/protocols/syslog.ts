/**
 * A syslog server over TCP, which takes both ways of framing (RFC 6587), told apart by the
 * first byte of each message.
 *
 * ```text
 * 22 <13>1 - host app - - - hi    a digit: as many bytes as it says
 * <13>Nov 26 12:00:00 hi\n        anything else: up to the line feed
 * ```
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/syslog.ts &
 * logger --server 127.0.0.1 --port 5140 --tcp --octet-count "hello"
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { asText, byFirstByte, delimited, FramingError } from "@framed/tcp";
import { headed, lines, mapped, serve } from "@framed/tcp";

const maxLength = 64 * 1024;
const line = lines({ eol: "\n", strict: true, maxLength });

// As many bytes as the digits say, and a space after these.
const digits = asText(delimited(" ", { maxLength: 5, trailing: "error" }));
const lengthOf = (text: string) => /^[1-9]\d*$/.test(text) ? Number(text) : NaN;
const counted = mapped(headed(digits, lengthOf, { maxLength }), {
  decode: ({ body }) => new TextDecoder().decode(body),
  encode: (body: string) => ({ header: `${body.length}`, body }),
});

const messages = byFirstByte((byte) =>
  byte >= 0x30 && byte <= 0x39 ? counted : line
);

/** A message, with what its priority says. */
export interface Entry {
  /** From 0, the system cannot be used, to 7, of use to who looks for a fault. */
  severity: number;
  facility: number;
  text: string;
}

/** A message without priority is dropped; where it ends is known all the same. */
export const framing = mapped({ ...messages, encoder: line.encoder }, {
  decode(message): Entry {
    const [, digits, text = ""] = /^<(\d{1,3})>(.*)$/s.exec(message) ?? [];
    const priority = Number(digits);
    if (!(priority <= 191)) {
      const shown = JSON.stringify(message.slice(0, 40));
      throw new FramingError(`Cannot decode syslog message: ${shown}`);
    }
    return { severity: priority % 8, facility: priority >> 3, text };
  },
  encode: ({ severity, facility, text }: Entry) =>
    `<${facility * 8 + severity}>${text}`,
  onMalformed: "discard",
});

if (import.meta.main) {
  serve({ hostname: "127.0.0.1", port: 5140, framing }, async (connection) => {
    for await (const entry of connection) console.log(entry);
  });
}
