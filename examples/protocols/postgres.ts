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
 * The length counts itself, not the type before it. Both are options of
 * `lengthPrefixed()`. What is sent begins with a message without a type: `sequence()`.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/postgres.ts --user postgres 'SELECT 1'
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import {
  connect,
  fixedLength,
  FramingError,
  InputBuffer,
  lengthPrefixed,
  sequence,
} from "@framed/tcp";
import type {
  Bytes,
  Connection,
  Framing,
  Sendable,
  StartTlsOptions,
} from "@framed/tcp";

const startUp = lengthPrefixed({ adjustment: -4, maxLength: 10_000 });
const typed = lengthPrefixed({
  fieldOffset: 1,
  adjustment: -4,
  strip: 0, // a message is the whole frame: its type, the length, the body
  maxLength: 16 * 1024 * 1024,
});

/** Typed messages come in; the first one that goes out has no type. */
export const framing: Framing<Bytes, Sendable> = {
  decoder: typed.decoder,
  encoder: sequence(startUp, () => typed).encoder,
};

/** A connection to PostgreSQL. */
export type Postgres = Connection<Bytes, Sendable>;

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
    await connection.send(SSL_REQUEST, { framing: startUp });
    const [answer] = await connection.receive({ framing: fixedLength(1) }) ??
      [];
    if (answer !== 0x53) throw new Error("PostgreSQL offers no TLS");
    await connection.startTls(tls);
  }
  checkText(user + database);
  await connection.send( // version 3.0
    `\0\x03\0\0user\0${user}\0database\0${database}\0\0`,
  );
  for (;;) {
    const { type, body } = await receive(connection);
    if (type === "Z") return;
    if (type === "E") throw errorIn(body);
    const kind = type === "R" ? takeUint(body, 4) : 0;
    if (kind === 3 && tls !== undefined && password !== undefined) {
      checkText(password);
      await connection.send(`p\0\0\0\0${password}\0`);
    } else if (kind !== 0) {
      throw new Error(`PostgreSQL wants another way to log in: ${kind}`);
    }
  }
}

const SSL_REQUEST = new Uint8Array([0x04, 0xd2, 0x16, 0x2f]);

/** The values of a row by the names of their columns. */
export type Row = Record<string, string | null>;

/**
 * Gives the rows of a query as they come: read as fast as they are taken. Take them all,
 * or leave the loop, before the next query.
 */
export async function* query(
  connection: Postgres,
  sql: string,
): AsyncGenerator<Row, void> {
  checkText(sql);
  await connection.send(`Q\0\0\0\0${sql}\0`); // the length is filled in
  let names: string[] = [];
  let failure: PostgresError | undefined;
  let isReady = false;
  try {
    while (!isReady) {
      const { type, body } = await receive(connection);
      if (type === "T") names = takeNames(body);
      else if (type === "D") yield takeRow(body, names);
      else if (type === "E") failure = errorIn(body);
      else if (type === "Z") isReady = true;
      else if (!"CINSA".includes(type)) throw malformed(`type ${type}`);
    }
  } catch (error) {
    connection.abort(error); // where the next answer begins is not known
    throw error;
  } finally {
    // The loop may be left early: the next query must not get these rows.
    while (!isReady) isReady = (await receive(connection)).type === "Z";
  }
  if (failure !== undefined) throw failure;
}

async function receive(
  connection: Postgres,
): Promise<{ type: string; body: InputBuffer }> {
  const frame = await connection.receive();
  if (frame === undefined) {
    throw new Deno.errors.UnexpectedEof("PostgreSQL closed the connection");
  }
  const body = new InputBuffer();
  body.append(frame.subarray(5));
  return { type: String.fromCharCode(frame[0] ?? 0), body };
}

function takeNames(body: InputBuffer): string[] {
  return Array.from({ length: takeUint(body, 2) }, () => {
    const name = takeString(body);
    takeText(body, 18); // table, type and format
    return name;
  });
}

const NULL = 0xffffffff;

function takeRow(body: InputBuffer, names: string[]): Row {
  if (takeUint(body, 2) !== names.length) throw malformed("number of columns");
  return Object.fromEntries(names.map((name) => {
    const length = takeUint(body, 4);
    return [name, length === NULL ? null : takeText(body, length)];
  }));
}

/** What PostgreSQL says is wrong. */
export class PostgresError extends Error {
  override name = "PostgresError";
  /** Five characters, such as `42P01` for a table that is not there. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

function errorIn(body: InputBuffer): PostgresError {
  const fields = new Map<string, string>();
  for (let field = takeString(body); field !== ""; field = takeString(body)) {
    fields.set(field.slice(0, 1), field.slice(1));
  }
  return new PostgresError(fields.get("M") ?? "", fields.get("C") ?? "");
}

function takeUint(body: InputBuffer, size: number): number {
  const value = body.uintAt(0, size);
  if (value === undefined) throw malformed("a number is cut off");
  body.skip(size);
  return value;
}

function takeText(body: InputBuffer, length: number): string {
  if (body.length < length) throw malformed("a text is cut off");
  return body.takeText(length);
}

function takeString(body: InputBuffer): string {
  const end = body.indexOf(0);
  if (end === -1) throw malformed("a text has no end");
  const text = body.takeText(end);
  body.skip(1);
  return text;
}

function malformed(what: string): FramingError {
  return new FramingError(`Cannot read message of PostgreSQL: ${what}`, {
    code: "malformed",
  });
}

/** A zero ends a text here, and what follows would be something else. */
function checkText(text: string): void {
  if (!text.includes("\0")) return;
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
