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
import { asText, byFirstByte, delimited, headed, lines } from "@framed/tcp";
import { mapped, serve, textFields } from "@framed/tcp";

const line = lines({ eol: "\n", strict: true, maxLength: 99_999 });

// At most five digits, a space, then as many bytes as the digits say.
const digits = asText(delimited(" ", { maxLength: 5, trailing: "error" }));
const lengthIn = (text: string) => textFields(text, /^([1-9]\d*)$/)[0];
const counted = mapped(headed(digits, lengthIn), {
  decode: ({ body }) => new TextDecoder().decode(body),
  encode: (body: string) => ({ header: `${body.length}`, body }),
});

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39;
const messages = byFirstByte((byte) => isDigit(byte) ? counted : line);

/** A message, with its decoded priority. */
export interface Entry {
  /** From 0, the system is unusable, to 7, for debugging. */
  severity: number;
  facility: number;
  text: string;
}

// The facility and the severity in one number, up to 191.
const MESSAGE = /^<(\d{1,2}|1[0-8]\d|19[01])>(.*)$/s;

/** A message without priority is dropped, because its end is known. */
export const framing = mapped({ ...messages, encoder: line.encoder }, {
  decode(message): Entry {
    const [digits, text = ""] = textFields(message, MESSAGE);
    const priority = Number(digits);
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
