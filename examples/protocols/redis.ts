/**
 * RESP, the protocol of Redis: a client with pipelined requests, and a little
 * server that `redis-cli` and `redis-benchmark` are content with.
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
 * item by item, and `assembled()` puts values together, of which it keeps those that are
 * not whole: each byte is looked at once.
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
import {
  type Connection,
  type Framing,
  FramingError,
  serve,
} from "@framed/tcp";
import { runLesson } from "../_lesson.ts";

type Plain = null | boolean | number | bigint | string | Bytes | RedisError;

/** What is sent and received. A bulk string is bytes, any other string is text. */
export type Value = Plain | Value[] | Map<Value, Value> | Set<Value> | Push;

/** An error that the server answers. */
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
const ITEM_SIZE = 16; // what an item takes beside its bytes, roughly
const LF = 0x0a;
const CR_LF = 0x0d0a;
const decoder = new TextDecoder();
const encoder = new TextEncoder();
const bulkOf = (text: string) => encoder.encode(text);

// ---- The framing

/** A line, and the bytes that it tells of. */
interface Item {
  line: string;
  bulk?: Bytes;
}

const items: Framing<Item, Outgoing> = {
  decoder: () => ({
    maxFrameLength: MAX_LINE_LENGTH + MAX_BULK_LENGTH + 4,
    decode(input) {
      const lineEnd = input.indexOf(LF);
      const lineLength = lineEnd === -1 ? input.length : lineEnd;
      if (lineLength > MAX_LINE_LENGTH + 1) throw tooLong(MAX_LINE_LENGTH);
      if (lineEnd === -1) return undefined;
      const line = input.textAt(0, lineEnd).replace(/\r$/, "");
      const hasBulk = /^([!=]|\$(?!-1$))/.test(line);
      const length = hasBulk ? readLength(line, MAX_BULK_LENGTH) : 0;
      const end = lineEnd + 1 + length + (hasBulk ? 2 : 0);
      if (input.length < end) return input.need(end);
      if (hasBulk && input.uintAt(end - 2, 2) !== CR_LF) throw malformed(line);
      const bulk = hasBulk && input.bytesAt(lineEnd + 1, end - 2);
      input.skip(end);
      return { line, ...(bulk && { bulk }) };
    },
  }),
  encoder: () => ({
    encode: ({ value, version = 2 }, output) => write(value, version, output),
  }),
};

/** What consists of other items, of which some may be missing. */
class Aggregate {
  readonly values: Value[] = [];
  constructor(readonly type: string, readonly count: number) {}

  /** Its value, or `undefined` for an attribute, which tells about the next value. */
  get value(): Value | undefined {
    const { type, values } = this;
    if (type === "|") return undefined;
    if (type === "~") return new Set(values);
    if (type === ">") return new Push(values);
    if (type === "*") return values;
    const pairs = values.flatMap((key, i): [Value, Value][] =>
      i % 2 === 0 ? [[key, values[i + 1] ?? null]] : []
    );
    return new Map(pairs);
  }
}

/** RESP, whole value by whole value. */
export const framing: Framing<Value, Outgoing> = assembled(items, () => {
  const open: Aggregate[] = []; // from the outermost to the innermost
  let size = 0;
  return function* ({ line, bulk }) {
    size += ITEM_SIZE + line.length + (bulk?.length ?? 0);
    if (size > MAX_VALUE_SIZE) throw tooLong(MAX_VALUE_SIZE);
    let item = bulk === undefined ? readLine(line) : readBulk(line, bulk);
    for (;;) {
      if (item instanceof Aggregate && item.values.length < item.count) {
        open.push(item);
        return true; // the rest is to come
      }
      const value: Value | undefined = item instanceof Aggregate
        ? item.value
        : item;
      if (value === undefined) return open.length > 0;
      const outer = open.pop();
      if (outer === undefined) {
        size = 0;
        yield value;
        return false;
      }
      outer.values.push(value);
      item = outer;
    }
  };
});

function readBulk(line: string, bulk: Bytes): Value {
  if (line.startsWith("$")) return bulk;
  const text = decoder.decode(bulk);
  // Of a verbatim string the first four say its format, as in "txt:".
  return line.startsWith("!") ? new RedisError(text) : text.slice(4);
}

function readLine(line: string): Value | Aggregate {
  const type = line.charAt(0);
  const text = line.slice(1);
  if (line === "$-1" || line === "*-1" || type === "_") return null;
  if (type === "+") return text;
  if (type === "-") return new RedisError(text);
  if (type === ":" || type === "(") {
    if (!/^[+-]?\d+$/.test(text)) throw malformed(line);
    const isSafe = type === ":" && Number.isSafeInteger(Number(text));
    return isSafe ? Number(text) : BigInt(text);
  }
  if (type === ",") {
    const isNumber = /^[+-]?(inf|\d+(\.\d*)?(e[+-]?\d+)?)$/i.test(text);
    if (!isNumber && text !== "nan") throw malformed(line);
    return Number(text.replace("inf", "Infinity"));
  }
  if (type === "#") {
    if (text !== "t" && text !== "f") throw malformed(line);
    return text === "t";
  }
  if (/[*~%|>]/.test(type)) {
    const length = readLength(line, MAX_VALUE_SIZE / ITEM_SIZE);
    return new Aggregate(type, /[%|]/.test(type) ? 2 * length : length);
  }
  // A request as a person types it, into `nc`.
  return line.split(/\s+/).filter((word) => word !== "").map(bulkOf);
}

function readLength(line: string, max: number): number {
  if (!/^.\d+$/.test(line)) throw malformed(line);
  const length = Number(line.slice(1));
  if (length > max) throw tooLong(max);
  return length;
}

function malformed(line: string): FramingError {
  const message = `Cannot decode RESP item ${
    JSON.stringify(line.slice(0, 40))
  }`;
  return new FramingError(message, { code: "malformed" });
}

function tooLong(limit: number): FramingError {
  const message = `Cannot decode RESP: longer than ${limit}`;
  return new FramingError(message, { code: "too-long", limit });
}

/** Writes a value. What RESP2 lacks goes as what it has instead. */
function write(value: Value, version: 2 | 3, output: ByteOutput): void {
  const isNew = version === 3;
  const line = (text: string) => {
    if (/[\r\n]/.test(text)) {
      throw new TypeError("Cannot encode two lines as one");
    }
    output.writeText(`${text}\r\n`);
  };
  const all = (type: string, length: number, values: Iterable<Value>) => {
    line(`${type}${length}`);
    for (const each of values) write(each, version, output);
  };
  if (typeof value === "string") line(`+${value}`);
  else if (value instanceof RedisError) line(`-${value.message}`);
  else if (value === null) line(isNew ? "_" : "$-1");
  else if (value === true || value === false) {
    line(isNew ? `#${value ? "t" : "f"}` : `:${Number(value)}`);
  } else if (typeof value === "number" || typeof value === "bigint") {
    const digits = `${value}`.replace("Infinity", "inf").replace("NaN", "nan");
    if (Number.isSafeInteger(value)) line(`:${digits}`);
    else if (!isNew) write(bulkOf(digits), version, output);
    else line(typeof value === "number" ? `,${digits}` : `(${digits}`);
  } else if (value instanceof Uint8Array) {
    line(`$${value.length}`);
    output.writeBytes(value);
    line("");
  } else if (value instanceof Map) {
    all(isNew ? "%" : "*", (isNew ? 1 : 2) * value.size, [...value].flat());
  } else if (value instanceof Set) all(isNew ? "~" : "*", value.size, value);
  else if (value instanceof Push) {
    all(isNew ? ">" : "*", value.values.length, value.values);
  } else all("*", value.length, value);
}

// ---- The server

// The last of a list is the first in Redis' order, as arrays grow at the end.
type Database = Map<string, Bytes | Bytes[]>;

interface Session {
  version: 2 | 3;
  isOver: boolean;
}

type Run = (args: Bytes[], database: Database, session: Session) => Value;

/** How many arguments a command takes at least and at most, and what it does. */
const COMMANDS: Record<string, [least: number, most: number, run: Run]> = {
  ping: [0, 1, ([message]) => message ?? "PONG"],
  echo: [1, 1, ([message]) => message ?? null],
  set: [2, 2, ([key, value = bulkOf("")], database) => {
    database.set(keyOf(key), value);
    return "OK";
  }],
  get: [1, 1, ([key], database) => stringAt(database, key)],
  del: [
    1,
    Infinity,
    (keys, database) =>
      keys.filter((key) => database.delete(keyOf(key))).length,
  ],
  incr: [1, 1, ([key], database) => {
    const value = integer(stringAt(database, key) ?? bulkOf("0")) + 1;
    database.set(keyOf(key), bulkOf(`${value}`));
    return value;
  }],
  lpush: [2, Infinity, ([key, ...values], database) => {
    const list = listAt(database, key);
    list.push(...values);
    database.set(keyOf(key), list);
    return list.length;
  }],
  llen: [1, 1, ([key], database) => listAt(database, key).length],
  lrange: [3, 3, ([key, first, last], database) => {
    const list = listAt(database, key).toReversed();
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
  // What the tools ask for when they start.
  info: [0, Infinity, () => bulkOf("# Server\r\nredis_version:0.2.0\r\n")],
  command: [0, Infinity, () => []],
  config: [2, 2, ([, name = bulkOf("")]) => new Map([[name, bulkOf("")]])],
  client: [1, Infinity, () => "OK"],
  quit: [0, 0, (_args, _database, session) => {
    session.isOver = true;
    return "OK";
  }],
};

function listen(port: number) {
  const database: Database = new Map();
  return serve({
    hostname: "127.0.0.1",
    port,
    framing,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
    onError: (error) => console.log(`Server: lost a client: ${error}`),
  }, async (connection) => {
    const session: Session = { version: 2, isOver: false };
    for await (const request of connection) {
      if (Array.isArray(request) && request.length === 0) continue; // an empty line
      const value = answer(request, database, session);
      await connection.send({ value, version: session.version });
      if (session.isOver) return;
    }
  });
}

/** Does what a request asks for. */
function answer(request: Value, database: Database, session: Session): Value {
  const isRequest = Array.isArray(request) &&
    request.every((each) => each instanceof Uint8Array);
  if (!isRequest) return new RedisError("ERR a request must be bulk strings");
  const [first, ...args] = request;
  const name = decoder.decode(first).toLowerCase();
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const shown = name.replaceAll(/\p{Cc}/gu, " ").slice(0, 100);
  if (command === undefined) {
    return new RedisError(`ERR unknown command '${shown}'`);
  }
  const [least, most, run] = command;
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

const keyOf = (key: Bytes | undefined) => decoder.decode(key);

function integer(value: Bytes | undefined): number {
  const digits = decoder.decode(value);
  const isSafe = Math.abs(Number(digits)) < Number.MAX_SAFE_INTEGER;
  if (/^-?\d+$/.test(digits) && isSafe) return Number(digits);
  throw new RedisError("ERR value is not an integer or out of range");
}

const WRONG_TYPE =
  "WRONGTYPE Operation against a key holding the wrong kind of value";

function stringAt(database: Database, key: Bytes | undefined): Bytes | null {
  const value = database.get(keyOf(key)) ?? null;
  if (Array.isArray(value)) throw new RedisError(WRONG_TYPE);
  return value;
}

function listAt(database: Database, key: Bytes | undefined): Bytes[] {
  const value = database.get(keyOf(key)) ?? [];
  if (!Array.isArray(value)) throw new RedisError(WRONG_TYPE);
  return value;
}

// ---- The client

/** Asks a server. Any number of calls may be under way; answers come in their order. */
export class RedisClient {
  readonly #connection: Connection<Value, Outgoing>;
  readonly #waiting: PromiseWithResolvers<Value>[] = [];
  #end: { reason: unknown } | undefined;

  constructor(
    connection: Connection<Value, Outgoing>,
    onPush: (values: Value[]) => void = () => {},
  ) {
    this.#connection = connection;
    this.#read(onPush);
  }

  /** Sends a command, and gives its answer; throws a {@linkcode RedisError}. */
  async call(...command: (string | number | Bytes)[]): Promise<Value> {
    if (this.#end !== undefined) throw this.#end.reason;
    const deferred = Promise.withResolvers<Value>();
    this.#waiting.push(deferred);
    const value = command.map((each) =>
      each instanceof Uint8Array ? each : bulkOf(`${each}`)
    );
    // Rejects only if the connection has failed, and then so does the answer.
    this.#connection.send({ value }).catch(() => {});
    return await deferred.promise;
  }

  /** Not `request()` of the connection, as a push may come before the answer. */
  async #read(onPush: (values: Value[]) => void): Promise<void> {
    let reason: unknown = new Error("The server has ended");
    try {
      for await (const value of this.#connection) {
        if (value instanceof Push) onPush(value.values);
        else if (value instanceof RedisError) {
          this.#waiting.shift()?.reject(value);
        } else this.#waiting.shift()?.resolve(value);
      }
    } catch (error) {
      reason = error;
    }
    this.#end = { reason };
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }
}

/** The same value, with text for bytes: to show it. */
export function readable(value: Value): unknown {
  if (value instanceof Uint8Array) return decoder.decode(value);
  if (Array.isArray(value)) return value.map(readable);
  if (!(value instanceof Map)) return value;
  return new Map([...value].map(([k, v]) => [readable(k), readable(v)]));
}

async function dial(port: number): Promise<void> {
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
}

if (import.meta.main) {
  await runLesson({ file: "examples/protocols/redis.ts", listen, dial });
}
