/**
 * A NATS client: control lines, some with a payload after them, and TLS that begins after
 * the server's greeting.
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
import { headed, type HeadedMessage, lines, textFields } from "@framed/tcp";

/** A control line, and the payload whose length it says. */
export type Control = HeadedMessage<string, Bytes | undefined>;

const lineFraming = lines({ eol: "\r\n", strict: true, trailing: "error" });

// Lines without a payload, and those that end with its length.
const LINE =
  /^(?:(?:INFO|PING|PONG|\+OK|-ERR|CONNECT|SUB)(?: .*)?|(?:MSG|PUB) .* (\d+))$/is;
const lengthIn = (line: string) => textFields(line, LINE)[0];
export const framing = headed(lineFraming, lengthIn, { terminator: "\r\n" });

export interface Client {
  subscribe(subject: string): Promise<void>;
  publish(subject: string, payload: Bytes): Promise<void>;
  /** Returns the payload of the answer. */
  request(subject: string, payload: Bytes): Promise<Bytes | undefined>;
}

function pub(subject: string, payload: Bytes): Control {
  return { header: `PUB ${subject} ${payload.length}`, body: payload };
}

/**
 * Logs in to a server, with TLS if the server asks for that. `onMessage` gets the
 * messages published to the subscriptions, and the subject for an answer.
 */
export async function openClient(
  connection: Connection<Control>,
  onMessage: (subject: string, payload: Bytes, reply?: string) => void,
  tls: { serverName: string; caCerts?: string[] } = { serverName: "localhost" },
): Promise<Client> {
  const { header } = await connection.expect();
  const [json = ""] = textFields(header, /^INFO (.*)$/is);
  const info: { tls_required?: boolean } = JSON.parse(json);
  if (info.tls_required) await connection.startTls(tls);
  const inbox = `_INBOX.${crypto.randomUUID()}`;
  connection.send({ header: 'CONNECT {"verbose":false,"pedantic":false}' });
  connection.send({ header: `SUB ${inbox}.* 1` });
  const answer = new RegExp(`^MSG (${inbox}\\S+)`);
  let count = 1;
  const { request } = correlate(connection, {
    id: ({ header }) => answer.exec(header)?.[1],
    nextId: () => `${inbox}.${++count}`,
    async onMessage({ header, body }) {
      const [verb = "", subject = "", ...words] = header.split(" ");
      if (/^ping$/i.test(verb)) await connection.send({ header: "PONG" });
      if (verb === "-ERR") throw new Error(`The server refused: ${header}`);
      if (body) onMessage(subject, body, words[2] && words[1]);
    },
  });
  return {
    subscribe: (subject) =>
      connection.send({ header: `SUB ${subject} ${++count}` }),
    publish: (subject, payload) => connection.send(pub(subject, payload)),
    request: async (subject, payload) =>
      (await request((reply) => pub(`${subject} ${reply}`, payload))).body,
  };
}

if (import.meta.main) {
  const port = Number(Deno.args[0] ?? 4222);
  await using connection = await connect({ port, framing });
  const client = await openClient(connection, (_, payload, reply = "") => {
    const text = new TextDecoder().decode(payload).toUpperCase();
    client.publish(reply, new TextEncoder().encode(text));
  });
  await client.subscribe("greet");
  const answer = await client.request(
    "greet",
    new TextEncoder().encode("hello"),
  );
  console.log({ answer: new TextDecoder().decode(answer) });
}
