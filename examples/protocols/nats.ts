/**
 * A client of NATS: control lines, some with a payload after them, and TLS that begins
 * after the server's greeting.
 *
 * ```text
 * INFO {"tls_required":true,...}\r\n    the server, first; then TLS begins
 * PUB greet _INBOX.1 5\r\nhello\r\n     to whom, where to answer, how many bytes
 * MSG _INBOX.1 1 6\r\nHELLO!\r\n        a message for subscription 1
 * PING\r\n                              to be answered by PONG\r\n
 * ```
 *
 * ```sh
 * nats-server &
 * deno run --allow-net=127.0.0.1 examples/protocols/nats.ts 4222
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { type Bytes, connect, type Connection, correlate } from "@framed/tcp";
import { type Framing, FramingError } from "@framed/tcp";

/** A control line, with its payload if it has one. */
export interface Control {
  line: string;
  payload?: Bytes;
}

const CRLF = new TextEncoder().encode("\r\n");

export const framing: Framing<Control> = {
  decoder: () => ({
    decode(input) {
      const lineEnd = input.indexOf(CRLF);
      if (lineEnd === -1) return undefined;
      const line = input.textAt(0, lineEnd);
      const [, digits] = /^MSG .* (\d+)$/i.exec(line) ?? [];
      if (digits === undefined) {
        if (!/^(INFO|PING|PONG|\+OK|-ERR)( |$)/i.test(line)) {
          throw malformed(line);
        }
        input.skip(lineEnd + 2);
        return { line };
      }
      const start = lineEnd + 2;
      const end = start + Number(digits);
      if (input.length < end + 2) return input.need(end + 2);
      if (input.uintAt(end, 2) !== 0x0d0a) throw malformed(line);
      input.skip(start);
      const payload = input.take(Number(digits));
      input.skip(2);
      return { line, payload };
    },
  }),
  encoder: () => ({
    encode({ line, payload }, output) {
      if (/[\r\n]/.test(line)) {
        throw new TypeError("A subject must be one line");
      }
      if (payload === undefined) return output.writeText(`${line}\r\n`);
      output.writeText(`${line} ${payload.length}\r\n`);
      output.writeBytes(payload);
      output.writeText("\r\n");
    },
  }),
};

function malformed(line: string): FramingError {
  const shown = JSON.stringify(line.slice(0, 40));
  return new FramingError(`Cannot decode NATS line ${shown}`, {
    code: "malformed",
  });
}

export interface Client {
  subscribe(subject: string): Promise<void>;
  publish(subject: string, payload: Bytes): Promise<void>;
  /** Gives the payload of the answer. */
  request(subject: string, payload: Bytes): Promise<Bytes | undefined>;
}

/** What a subscription gets; `reply` is where an answer is waited for. */
export type OnMessage = (
  message: { subject: string; reply: string | undefined; payload: Bytes },
) => void;

/** Shakes hands with a server, in TLS if it asks for that. */
export async function openClient(
  connection: Connection<Control, Control>,
  onMessage: OnMessage,
  tls: { serverName: string; caCerts?: string[] } = { serverName: "localhost" },
): Promise<Client> {
  const { line = "nothing" } = await connection.receive() ?? {};
  if (!/^INFO /i.test(line)) throw malformed(line);
  const info: { tls_required?: boolean } = JSON.parse(line.slice(5));
  if (info.tls_required) await connection.startTls(tls);
  const inbox = `_INBOX.${crypto.randomUUID()}`;
  connection.send({ line: 'CONNECT {"verbose":false,"pedantic":false}' });
  connection.send({ line: `SUB ${inbox}.* 1` });
  let requests = 0;
  const { request } = correlate(connection, {
    id: ({ line }) => {
      const [, subject = ""] = line.split(" ");
      return subject.startsWith(inbox) ? subject : undefined;
    },
    nextId: () => `${inbox}.${++requests}`,
    async onMessage({ line, payload }) {
      const [verb = "", subject = "", , reply, length] = line.split(" ");
      if (/^ping$/i.test(verb)) await connection.send({ line: "PONG" });
      if (verb === "-ERR") throw new Error(`The server refused: ${line}`);
      if (payload === undefined) return;
      const hasReply = length !== undefined;
      onMessage({ subject, payload, reply: hasReply ? reply : undefined });
    },
  });
  let subscriptions = 1;
  return {
    subscribe: (subject) =>
      connection.send({ line: `SUB ${subject} ${++subscriptions}` }),
    publish: (subject, payload) =>
      connection.send({ line: `PUB ${subject}`, payload }),
    request: async (subject, payload) =>
      (await request((reply) => ({ line: `PUB ${subject} ${reply}`, payload })))
        .payload,
  };
}

if (import.meta.main) {
  const port = Number(Deno.args[0] ?? 4222);
  await using connection = await connect({ port, framing });
  const client = await openClient(connection, ({ reply = "", payload }) => {
    const text = new TextDecoder().decode(payload).toUpperCase();
    client.publish(reply, new TextEncoder().encode(text));
  });
  await client.subscribe("greet");
  const answer = await client.request(
    "greet",
    new TextEncoder().encode("hello"),
  );
  console.log(new TextDecoder().decode(answer));
}
