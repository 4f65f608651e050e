/**
 * A PostgreSQL client: a start-up message, then messages with a type, and TLS after an
 * answer of one byte.
 *
 * ```text
 * we send                                PostgreSQL answers
 * ┌────────┬──────────┐                  ┌───┐
 * │length 4│ 80877103 │ may we use TLS?  │ S │ one byte, without a length: yes
 * └────────┴──────────┘                  └───┘
 *          ───── TLS from here on ─────
 * ┌────────┬──────────────────────┐      ┌───┬────────┬──────┐
 * │length 4│ version, user ann, … │      │ R │length 4│ body │ and so on, typed
 * └────────┴──────────────────────┘      └───┴────────┴──────┘
 * ┌───┬────────┬──────────────┐          T: names of columns, D: a row, and another,
 * │ Q │length 4│ SELECT 1     │          C: done, Z: ready for the next query
 * └───┴────────┴──────────────┘
 * ```
 *
 * The length counts itself, not the type before it: a header of one byte, and then a
 * length. The framing decodes messages, so a damaged one ends the stream. The client's
 * first message has no type. Passwords and column names are left out.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/postgres.ts --user postgres 'SELECT 1'
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { asText, connect, FieldReader, fixedLength, headed } from "@framed/tcp";
import { lengthPrefixed, mapped, receiveUntil, textFields } from "@framed/tcp";
import type { Connection, HeadedMessage, Sendable } from "@framed/tcp";
import type { StartTlsOptions } from "@framed/tcp";

const counted = lengthPrefixed({ adjustment: -4, maxLength: 16 * 1024 * 1024 });
const oneByte = asText(fixedLength(1));

/** The values of a row, in the order of their columns. */
export type Row = (string | null)[];

/** The content of a message: one of these. */
type Answer = { row?: Row; error?: Error; isReady?: boolean };
type Message = HeadedMessage<string, Sendable>;

/** Typed messages, of which those come in that say something. */
export const framing = mapped(headed(oneByte, () => counted), {
  decode({ header: type, body }): Answer | undefined {
    const fields = new FieldReader(body);
    if (type === "D") return { row: takeRow(fields) };
    if (type === "E") return { error: takeError(fields) };
    if (type === "Z") return { isReady: true };
    textFields(type, /^[ACIKNRST]$/); // no others, such as G of COPY
    if (type === "R" && fields.takeUint(4) !== 0) throw new Error(NO_PASSWORD);
  },
  encode: (message: Message) => message,
});

/** A connection to PostgreSQL. */
export type Postgres = Connection<Answer, Message>;

/** Who logs in; with `tls`, only over an encrypted connection. */
export type Login = { user: string; tls?: StartTlsOptions };

/** Logs in; call it first on a connection. */
export async function login(server: Postgres, who: Login): Promise<void> {
  if (who.tls !== undefined) {
    await server.send(SSL_REQUEST, { framing: counted });
    const answer = await server.expect({ framing: oneByte });
    if (answer !== "S") throw new Error("PostgreSQL offers no TLS");
    await server.startTls(who.tls);
  }
  const parameters = texts("user", who.user, "database", "postgres");
  // 0, 3, 0, 0: version 3.0
  await server.send(`\0\x03\0\0${parameters}\0`, { framing: counted });
  for await (const { error } of receiveUntil(server, isLast)) {
    if (error !== undefined) throw error;
  }
}
const SSL_REQUEST = Uint8Array.of(0x04, 0xd2, 0x16, 0x2f);
const NO_PASSWORD = "Cannot log in: PostgreSQL wants a password";
const isLast = ({ isReady = false }: Answer) => isReady;
type Rows = AsyncGenerator<Row, void>;

/**
 * Gets the rows of a query one by one, read as fast as you consume them. Take them all,
 * or leave the loop, before the next query.
 */
export async function* query(server: Postgres, sql: string): Rows {
  await server.send({ header: "Q", body: texts(sql) });
  for await (const { row, error } of receiveUntil(server, isLast)) {
    if (error !== undefined) throw error;
    if (row !== undefined) yield row;
  }
}

function takeRow(fields: FieldReader): Row {
  return Array.from({ length: fields.takeUint(2) }, () => {
    const length = fields.takeUint(4);
    return length === NULL ? null : fields.takeText(length);
  });
}
const NULL = 0xffffffff;

/** Takes texts that begin with a letter: C is the code of an error, M its message. */
function takeError(fields: FieldReader): Error {
  const found = new Map<string, string>();
  for (let text = "-"; text !== ""; text = fields.takeTextUntil()) {
    found.set(text.charAt(0), text.slice(1));
  }
  return new Error(`${found.get("C")}: ${found.get("M")}`);
}

/** Texts that each end with a zero. A text that contains a zero would be read as two. */
function texts(...all: string[]): string {
  if (!all.some((each) => each.includes("\0"))) return `${all.join("\0")}\0`;
  throw new TypeError("Cannot send text to PostgreSQL: it holds a zero");
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: {
      port: { type: "string", default: "5432" },
      user: { type: "string", default: "postgres" },
    },
    allowPositionals: true,
  });
  await using connection = await connect({
    hostname: "127.0.0.1",
    port: Number(values.port),
    framing,
  });
  await login(connection, { user: values.user });
  for (const sql of positionals) {
    for await (const row of query(connection, sql)) console.log(row);
  }
}
