/**
 * HL7 version 2, as hospital systems send it, in MLLP: a server that acknowledges each
 * message.
 *
 * ```text
 * 0b  MSH|^~\&|LAB|...\rPID|1|...\r  1c 0d
 * ^ start block                      ^ end block
 * ```
 *
 * A message ends with two bytes, so stray bytes before a message damage only that
 * message.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/hl7.ts
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { asText, type Connection, delimited, mapped } from "@framed/tcp";
import { serve, textFields } from "@framed/tcp";

/** A message as its segments, and these as their fields. */
export type Message = string[][];

// A message that is cut off by the end of the stream must not be acknowledged.
const blocks = delimited("\x1c\r", { trailing: "error" });

/**
 * An incomplete message is dropped: its sender gets no acknowledgement, and repeats it.
 */
export const framing = mapped(asText(blocks), {
  decode(block): Message {
    const [text = ""] = textFields(block, /^\v(MSH\|.*)$/s); // \v is the byte 0b
    const segments = text.split("\r").filter((each) => each !== "");
    return segments.map((segment) => segment.split("|"));
  },
  encode: (message: Message) =>
    `\x0b${message.map((fields) => `${fields.join("|")}\r`).join("")}`,
  onMalformed: "discard",
});

/** The answer "AA", application accept, to the sender of a message. */
export function acknowledge([header = []]: Message): Message {
  const [, encoding = "", from = "", , to = "", , time = "", , , id = ""] =
    header;
  const kind = ["", "ACK", id, "P", "2.5"];
  const about = ["MSH", encoding, to, "", from, "", time, ...kind];
  return [about, ["MSA", "AA", id]];
}

/** Acknowledges each message once it is handled. */
export async function handle(connection: Connection<Message>): Promise<void> {
  for await (const message of connection) {
    console.log(message.map(([segment]) => segment));
    await connection.send(acknowledge(message));
  }
}

if (import.meta.main) {
  serve({ hostname: "127.0.0.1", port: 2575, framing }, handle);
}
