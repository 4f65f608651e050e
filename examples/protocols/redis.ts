/**
 * RESP, the Redis protocol: a client with pipelined requests, and a small server that
 * works with `redis-cli` and `redis-benchmark`.
 *
 * Each item begins with a byte that says what it is, and a line:
 *
 * ```text
 * +OK\r\n                      a simple string; -ERR ...\r\n is an error
 * :7\r\n                       an integer
 * $5\r\nhello\r\n              a bulk string: bytes, with their length before them
 * *2\r\n$3\r\nGET\r\n$1\r\nk\r\n  an array of two items, here a request
 * ```
 *
 * RESP3 has more of both kinds: null, booleans, doubles, maps, sets, and pushes,
 * which are no answer to anything. A client asks for it with `HELLO 3`.
 *
 * An array may have a million items, and arrive in a thousand reads. So the framing takes
 * item by item, and `assembled()` builds values and keeps unfinished ones: no byte is
 * read twice.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/redis.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`. The client also talks
 * to a real server (`--client --port 6379`), and the server to real clients:
 * `redis-cli -p 8000`, `redis-benchmark -p 8000 -t ping,set,get`, or `nc` and a line
 * `PING`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { assembled, type ByteOutput, type Bytes, connect } from "@framed/tcp";
import { type Connection, correlate, type Framing } from "@framed/tcp";
import { FramingError, headed, type HeadedMessage, lines } from "@framed/tcp";
import { type OrderedCorrelation, serve, textFields } from "@framed/tcp";
import { runLesson } from "../_lesson.ts";

type Plain = null | boolean | number | bigint | string | Bytes | RedisError;

/**
 * A value to send, or a received one. A bulk string is bytes, any other string is text.
 */
export type Value = Plain | Value[] | Map<Value, Value> | Set<Value> | Push;

/** An error in the server's answer. */
export class RedisError extends Error {
  override name = "RedisError";
}

/** What a server sends unasked, from RESP3 on. */
export class Push {
  constructor(readonly values: Value[]) {}
}

/** A value to send, by default as RESP2 knows it. */
export interface Outgoing {
  value: Value;
  version?: 2 | 3;
}

const MAX_LINE_LENGTH = 64 * 1024; // without its end
const MAX_BULK_LENGTH = 16 * 1024 * 1024;
const MAX_VALUE_SIZE = 64 * 1024 * 1024; // with all its items
const MAX_DEPTH = 10; // each level takes time for each item below it
const ITEM_SIZE = 16; // what an item takes beside its bytes, roughly
const decoder = new TextDecoder();
const bulkOf = (text: string) => new TextEncoder().encode(text);

// ---- The framing

/** A line, and the bytes that it announces. */
type Item = HeadedMessage<string, Bytes | undefined>;

const items = headed(
  lines({ maxLength: MAX_LINE_LENGTH, trailing: "error" }),
  (line) => /^(?:[!=]|\$(?!-1$))(.*)$/s.exec(line)?.[1],
  { terminator: "\r\n", maxLength: MAX_BULK_LENGTH },
);

/** RESP, whole value by whole value. */
export const framing: Framing<Value, Outgoing> = {
  decoder: assembled(items, () => {
    let reading: Reading | undefined;
    let size = 0;
    return function* (item) {
      size += ITEM_SIZE + item.header.length + (item.body?.length ?? 0);
      if (size > MAX_VALUE_SIZE) throw tooLong(MAX_VALUE_SIZE);
      reading ??= readValue(item, 0);
      const { done, value } = reading.next(item);
      if (!done) return true; // the rest is to come
      yield value;
      reading = undefined;
      size = 0;
      return false;
    };
  }).decoder,
  encoder: () => ({
    encode: ({ value, version = 2 }, output) => write(value, version, output),
  }),
};

/** Reads a value from items: each `yield` waits for the next one. */
type Reading = Generator<void, Value, Item>;

// A number, a big one, a double, a boolean, null.
const PLAIN =
  /^(?:[:(][+-]?\d+|,(?:[+-]?(?:inf|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|nan)|#[tf]|_)$/;

function* readValue({ header: line, body }: Item, depth: number): Reading {
  const type = line.charAt(0);
  const text = body === undefined ? line.slice(1) : decoder.decode(body);
  if (type === "$") return body ?? null;
  if (type === "=") return text.slice(4); // its format stands first, as in "txt:"
  if (type === "!" || type === "-") return new RedisError(text);
  if (type === "+") return text;
  if (line === "*-1") return null;
  if (/^[*~>%|]/.test(line)) return yield* readItems(line, depth);
  if (!/^[:(,#_]/.test(line)) {
    // A request as a person types it, into `nc`.
    return line.split(/\s+/).filter((word) => word !== "").map(bulkOf);
  }
  textFields(line, PLAIN); // refuses what is none of these
  if (type === "_") return null;
  if (type === "#") return text === "t";
  if (type === ",") return Number(text.replace("inf", "Infinity"));
  const isSafe = type === ":" && Number.isSafeInteger(Number(text));
  return isSafe ? Number(text) : BigInt(text);
}

/** Reads a value that consists of other values. */
function* readItems(line: string, depth: number): Reading {
  const isPairs = /^[%|]/.test(line);
  const [count] = textFields(line, /^.(\d+)$/);
  const length = Number(count) * (isPairs ? 2 : 1);
  if (length * ITEM_SIZE > MAX_VALUE_SIZE) throw tooLong(MAX_VALUE_SIZE);
  if (depth > MAX_DEPTH) throw new FramingError("Cannot decode RESP: too deep");
  const values: Value[] = [];
  while (values.length < length) {
    values.push(yield* readValue(yield, depth + 1));
  }
  if (line.startsWith("~")) return new Set(values);
  if (line.startsWith(">")) return new Push(values);
  if (line.startsWith("|")) return yield* readValue(yield, depth + 1); // what it tells about
  if (!isPairs) return values;
  const map = new Map<Value, Value>();
  for (let i = 0; i < length; i += 2) {
    map.set(values[i] ?? null, values[i + 1] ?? null);
  }
  return map;
}

function tooLong(limit: number): FramingError {
  const message = `Cannot decode RESP: longer than ${limit}`;
  return new FramingError(message, { code: "too-long", limit });
}

/** Writes a value, in RESP2 with its substitutes for missing types. */
function write(value: Value, version: 2 | 3, output: ByteOutput): void {
  const isNew = version === 3;
  const line = (text: string) => {
    if (/[\r\n]/.test(text)) throw new TypeError("Cannot encode two lines");
    output.writeText(`${text}\r\n`);
  };
  const all = (type: string, values: Iterable<Value>, length: number) => {
    line(`${isNew ? type : "*"}${length}`);
    for (const each of values) write(each, version, output);
  };
  if (typeof value === "string") return line(`+${value}`);
  if (value instanceof RedisError) return line(`-${value.message}`);
  if (value === null) return line(isNew ? "_" : "$-1");
  if (Array.isArray(value)) return all("*", value, value.length);
  if (value instanceof Push) return all(">", value.values, value.values.length);
  if (value instanceof Set) return all("~", value, value.size);
  if (value instanceof Map) {
    return all("%", [...value].flat(), (isNew ? 1 : 2) * value.size);
  }
  if (value instanceof Uint8Array) {
    line(`$${value.length}`);
    output.writeBytes(value);
    return line("");
  }
  if (value === true) return line(isNew ? "#t" : ":1");
  if (value === false) return line(isNew ? "#f" : ":0");
  const digits = `${value}`.replace("Infinity", "inf").replace("NaN", "nan");
  if (Number.isSafeInteger(value)) line(`:${digits}`);
  else if (!isNew) write(bulkOf(digits), version, output);
  else line(typeof value === "number" ? `,${digits}` : `(${digits}`);
}

// ---- The server

// The last item is the first in Redis' order, because arrays grow at the end.
type Database = Map<string, Bytes | Bytes[]>;

interface Session {
  version: 2 | 3;
  isOver: boolean;
}

type Run = (args: Bytes[], database: Database, session: Session) => Value;
type Command = [least: number, most: number, run: Run];

/** How many arguments a command takes at least and at most, and what it does. */
const COMMANDS = new Map(Object.entries<Command>({
  ping: [0, 1, ([message]) => message ?? "PONG"],
  echo: [1, 1, ([message]) => message ?? null],
  set: [2, 2, ([key, value], database) => {
    database.set(textOf(key), value ?? bulkOf(""));
    return "OK";
  }],
  get: [1, 1, ([key], database) => stringAt(database, textOf(key))],
  del: [1, Infinity, (keys, database) => {
    return keys.filter((key) => database.delete(textOf(key))).length;
  }],
  incr: [1, 1, ([key], database) => {
    const value = stringAt(database, textOf(key)) ?? bulkOf("0");
    const next = integer(value) + 1;
    database.set(textOf(key), bulkOf(`${next}`));
    return next;
  }],
  lpush: [2, Infinity, ([key, ...values], database) => {
    const list = listAt(database, textOf(key));
    for (const value of values) list.push(value);
    database.set(textOf(key), list);
    return list.length;
  }],
  llen: [1, 1, ([key], database) => listAt(database, textOf(key)).length],
  lrange: [3, 3, ([key, first, last], database) => {
    const list = listAt(database, textOf(key)).toReversed();
    const end = integer(last) + 1; // -1 is the last one
    return list.slice(integer(first), end === 0 ? undefined : end);
  }],
  hello: [0, 1, ([version], _database, session) => {
    const number = version === undefined ? session.version : integer(version);
    if (number !== 2 && number !== 3) {
      throw new RedisError("NOPROTO unsupported protocol version");
    }
    session.version = number;
    return new Map<Value, Value>([
      [bulkOf("server"), bulkOf("framed")],
      [bulkOf("proto"), number],
    ]);
  }],
  // The tools send this when they start.
  command: [0, Infinity, () => []],
  config: [2, 2, ([, name]) => new Map([[name ?? null, bulkOf("")]])],
  quit: [0, 0, (_args, _database, session) => {
    session.isOver = true;
    return "OK";
  }],
}));

/** Answers the requests of one connection. */
async function serveClient(
  connection: Connection<Value, Outgoing>,
  database: Database,
): Promise<void> {
  const session: Session = { version: 2, isOver: false };
  for await (const request of connection) {
    if (Array.isArray(request) && request.length === 0) continue; // an empty line
    const value = answer(request, database, session);
    await connection.send({ value, version: session.version });
    if (session.isOver) return;
  }
}

/** Executes a request. */
function answer(request: Value, database: Database, session: Session): Value {
  const isRequest = Array.isArray(request) &&
    request.every((each) => each instanceof Uint8Array);
  if (!isRequest) return new RedisError("ERR a request must be bulk strings");
  const [first, ...args] = request;
  const name = textOf(first).toLowerCase();
  const shown = name.replaceAll(/\p{Cc}/gu, " ").slice(0, 100);
  const unknown = () => new RedisError(`ERR unknown command '${shown}'`);
  const [least, most, run] = COMMANDS.get(name) ?? [0, Infinity, unknown];
  if (args.length < least || args.length > most) {
    return new RedisError(
      `ERR wrong number of arguments for '${shown}' command`,
    );
  }
  try {
    return run(args, database, session);
  } catch (error) {
    if (error instanceof RedisError) return error;
    throw error;
  }
}

const textOf = (bytes: Bytes | undefined) => decoder.decode(bytes);

function integer(value: Bytes | undefined): number {
  const digits = textOf(value);
  const isSafe = Math.abs(Number(digits)) < Number.MAX_SAFE_INTEGER;
  if (/^-?\d+$/.test(digits) && isSafe) return Number(digits);
  throw new RedisError("ERR value is not an integer or out of range");
}

const WRONG_TYPE =
  "WRONGTYPE Operation against a key holding the wrong kind of value";

function stringAt(database: Database, key: string): Bytes | null {
  const value = database.get(key) ?? null;
  if (Array.isArray(value)) throw new RedisError(WRONG_TYPE);
  return value;
}

function listAt(database: Database, key: string): Bytes[] {
  const value = database.get(key) ?? [];
  if (!Array.isArray(value)) throw new RedisError(WRONG_TYPE);
  return value;
}

// ---- The client

/** Asks a server. Any number of calls may be under way; answers come in their order. */
export class RedisClient {
  readonly #correlation: OrderedCorrelation<Value, Outgoing>;

  constructor(
    connection: Connection<Value, Outgoing>,
    onPush: (values: Value[]) => void = () => {},
  ) {
    this.#correlation = correlate(connection, {
      isAnswer: (value) => !(value instanceof Push),
      onMessage: (value) =>
        void (value instanceof Push && onPush(value.values)),
    });
  }

  /** Sends a command, and gives its answer; throws a {@linkcode RedisError}. */
  async call(...command: (string | number | Bytes)[]): Promise<Value> {
    const value = command.map((each) =>
      each instanceof Uint8Array ? each : bulkOf(`${each}`)
    );
    const answer = await this.#correlation.request({ value });
    if (answer instanceof RedisError) throw answer;
    return answer;
  }
}

// ---- The demonstration

if (import.meta.main) {
  const database: Database = new Map();
  const listen = (port: number) =>
    serve({
      hostname: "127.0.0.1",
      port,
      framing,
      onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
      onError: (error) => console.log(`Server: lost a client: ${error}`),
    }, (connection) => serveClient(connection, database));

  /** The same value, with text for bytes: to show it. */
  const readable = (value: Value): unknown => {
    if (value instanceof Uint8Array) return decoder.decode(value);
    if (Array.isArray(value)) return value.map(readable);
    if (!(value instanceof Map)) return value;
    return new Map([...value].map(([k, v]) => [readable(k), readable(v)]));
  };

  const dial = async (port: number) => {
    await using connection = await connect({ port, framing });
    const client = new RedisClient(connection);
    const show = (what: string, value: Value) =>
      console.log(`Client: ${what}:`, readable(value));

    const facts = readable(await client.call("HELLO", 3));
    if (facts instanceof Map) {
      console.log(`Client: speaks RESP${facts.get("proto")}`);
    }
    await client.call("DEL", "framed:visits", "framed:names");

    // Five together: none waits for the answer to the one before.
    const answers = await Promise.all([
      client.call("SET", "framed:visits", 40),
      client.call("INCR", "framed:visits"),
      client.call("INCR", "framed:visits"),
      client.call("LPUSH", "framed:names", "Ann", "Ben", "Çağla"),
      client.call("GET", "framed:nothing"),
    ]);
    show("SET, INCR, INCR, LPUSH, GET answer", answers);
    show("the names", await client.call("LRANGE", "framed:names", 0, -1));

    const error = await client.call("INCR", "framed:names")
      .catch((error: RedisError) => error.message);
    console.log(`Client: INCR of names: ${error}`);
  };

  await runLesson({ file: "examples/protocols/redis.ts", listen, dial });
}
