/**
 * A client of PostgreSQL: a start-up message, then messages with a type, and TLS after
 * an answer of one byte.
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
 * length. A message is decoded in the framing, so a damaged one ends the stream. What is
 * sent begins with a message without a type.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/postgres.ts --user postgres 'SELECT 1'
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { assembled, asText, connect, FieldReader } from "@framed/tcp";
import { fixedLength, FramingError, headed, lengthPrefixed } from "@framed/tcp";
import { receiveUntil, textFields } from "@framed/tcp";
import type { Connection, HeadedMessage, Sendable } from "@framed/tcp";
import type { StartTlsOptions } from "@framed/tcp";

const counted = lengthPrefixed({ adjustment: -4, maxLength: 16 * 1024 * 1024 });
const oneByte = asText(fixedLength(1));

/** The values of a row by the names of their columns. */
export type Row = Record<string, string | null>;

/** What a message says: one of these. `login` is the way to log in; 0 once that is done. */
type Answer = { row?: Row; error?: Error; login?: number; isReady?: boolean };

/** Typed messages, of which those come in that say something. */
export const framing = assembled(headed(oneByte, () => counted), () => {
  let names: string[] = [];
  return function* ({ header: type, body }): Generator<Answer, void> {
    const fields = new FieldReader(body);
    if (type === "T") names = takeNames(fields);
    else if (type === "D") yield { row: takeRow(fields, names) };
    else if (type === "E") yield { error: new PostgresError(fields) };
    else if (type === "R") yield { login: fields.takeUint(4) };
    else if (type === "Z") yield { isReady: true };
    else textFields(type, /^[ACIKNS]$/); // no others, such as G of COPY
  };
});

/** A connection to PostgreSQL. */
export type Postgres = Connection<Answer, HeadedMessage<string, Sendable>>;

/** Who logs in. */
export interface LoginOptions {
  user: string;
  /** By default the one that is always there. */
  database?: string;
  /** Sent only where TLS hides it. */
  password?: string;
  /** Encrypted, or not at all. */
  tls?: StartTlsOptions;
}

/** Logs in. The first thing to do on a connection. */
export async function login(
  connection: Postgres,
  { user, database = "postgres", password, tls }: LoginOptions,
): Promise<void> {
  if (tls !== undefined) {
    await connection.send(SSL_REQUEST, { framing: counted });
    const answer = await connection.receive({ framing: oneByte });
    if (answer !== "S") throw new Error("PostgreSQL offers no TLS");
    await connection.startTls(tls);
  }
  const hello = `\0\x03\0\0${texts("user", user, "database", database)}\0`;
  await connection.send(hello, { framing: counted }); // version 3.0
  for (;;) {
    const { login = 0, error, isReady } = await connection.expect();
    if (error !== undefined) throw error;
    if (isReady) return;
    if (login === 3 && tls !== undefined && password !== undefined) {
      await connection.send({ header: "p", body: texts(password) });
    } else if (login !== 0) {
      throw new Error(`PostgreSQL wants another way to log in: ${login}`);
    }
  }
}
const SSL_REQUEST = new Uint8Array([0x04, 0xd2, 0x16, 0x2f]);

type Rows = AsyncGenerator<Row, void>;
const isLast = ({ isReady = false }: Answer) => isReady;

/**
 * Gets the rows of a query as they come: read as fast as they are taken. Take them all,
 * or leave the loop, before the next query.
 */
export async function* query(connection: Postgres, sql: string): Rows {
  await connection.send({ header: "Q", body: texts(sql) });
  for await (const { row, error } of receiveUntil(connection, isLast)) {
    if (error !== undefined) throw error;
    if (row !== undefined) yield row;
  }
}

function takeNames(fields: FieldReader): string[] {
  return Array.from({ length: fields.takeUint(2) }, () => {
    const name = fields.takeTextUntil();
    fields.skip(18); // table, type and format
    return name;
  });
}

function takeRow(fields: FieldReader, names: string[]): Row {
  if (fields.takeUint(2) !== names.length) throw new FramingError(NOT_A_ROW);
  return Object.fromEntries(names.map((name) => {
    const length = fields.takeUint(4);
    return [name, length === NULL ? null : fields.takeText(length)];
  }));
}
const NOT_A_ROW = "Cannot decode row: it has not as many values as names";
const NULL = 0xffffffff;

/** What PostgreSQL says is wrong. */
export class PostgresError extends Error {
  override name = "PostgresError";
  /** Five characters, such as `42P01` for a table that is not there. */
  readonly code: string;

  constructor(fields: FieldReader) {
    const found: Record<string, string> = {};
    for (let text = "-"; text !== ""; text = fields.takeTextUntil()) {
      found[text.charAt(0)] = text.slice(1);
    }
    super(found.M);
    this.code = found.C ?? "";
  }
}

/** Texts that each end with a zero. One that holds a zero would be two. */
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
