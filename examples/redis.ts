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
 * An array may have a million items, and arrive in a thousand reads. So the framing
 * finds items, and what consists of items is put together from them: each byte is
 * looked at once. (A `split` that looked for whole values would begin anew with
 * each read, at the front.)
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/redis.ts
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
import {
  type Bytes,
  connect,
  type Connection,
  customFraming,
  type Decoder,
  type Framing,
  FramingError,
  serve,
  type Server,
} from "@framed/tcp";
import { concat } from "@std/bytes/concat";
import { runLesson } from "./_lesson.ts";

/** What is sent and received. A bulk string is bytes, any other string is text. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Bytes
  | RedisError
  | Value[]
  | Map<Value, Value>
  | Set<Value>
  | Push;

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

/** The longest bulk string. */
const MAX_BULK_LENGTH = 16 * 1024 * 1024;

/** The longest line, without its end. */
const MAX_LINE_LENGTH = 64 * 1024;

/** The most that all items of a value may take together, in bytes. */
const MAX_VALUE_SIZE = 64 * 1024 * 1024;

/** What an item takes beside its bytes, roughly. */
const ITEM_SIZE = 16;

/** The beginning of what consists of other items. */
class Aggregate {
  constructor(readonly type: string, readonly count: number) {}
}

const items = customFraming<Value | Aggregate, Outgoing>({
  split: splitItem,
  encode: encodeValue,
  maxLength: MAX_BULK_LENGTH + MAX_LINE_LENGTH,
});

/** RESP, whole value by whole value. */
export const framing: Framing<Value, Outgoing> = {
  encode: (message) => items.encode(message),
  encodeText: ({ value }) => textOf(value),
  decoder: () => new ValueDecoder(items.decoder()),
};

const CR = 13;
const LF = 10;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Finds the item at the beginning of `buffered`. */
function splitItem(
  buffered: Bytes,
): { message: Value | Aggregate; length: number } | undefined {
  const lineEnd = buffered.subarray(0, MAX_LINE_LENGTH + 2).indexOf(LF);
  if (lineEnd === -1) {
    if (buffered.length < MAX_LINE_LENGTH + 2) return undefined;
    throw tooLong("a line", MAX_LINE_LENGTH);
  }
  const length = lineEnd + 1;
  const type = String.fromCharCode(buffered[0] ?? 0);
  const end = buffered[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
  const line = () => decoder.decode(buffered.subarray(1, end));
  switch (type) {
    case "+":
      return { message: line(), length };
    case "-":
      return { message: new RedisError(line()), length };
    case ":":
      return { message: smallest(readBigInt(line())), length };
    case "(":
      return { message: readBigInt(line()), length };
    case ",":
      return { message: readDouble(line()), length };
    case "#":
      return { message: readBoolean(line()), length };
    case "_":
      return { message: null, length };
    case "$":
    case "!":
    case "=": {
      const bulkLength = readLength(buffered, end, MAX_BULK_LENGTH);
      if (bulkLength === -1) return { message: null, length };
      const total = length + bulkLength + 2;
      if (buffered.length < total) return undefined;
      if (buffered[total - 2] !== CR || buffered[total - 1] !== LF) {
        throw malformed("a bulk string without its end");
      }
      const bulk = buffered.subarray(length, total - 2);
      return { message: readBulk(type, bulk), length: total };
    }
    case "*":
    case "~":
    case "%":
    case "|":
    case ">": {
      const count = readLength(buffered, end, MAX_VALUE_SIZE / ITEM_SIZE);
      if (count === -1) return { message: null, length };
      return { message: new Aggregate(type, count), length };
    }
    default:
      // A request as somebody types it, into `nc`.
      return { message: readWords(buffered.subarray(0, end)), length };
  }
}

/** The number behind the type, or -1, which stands for null in RESP2. */
function readLength(buffered: Bytes, end: number, max: number): number {
  const isNull = buffered[1] === 45 && buffered[2] === 49 && end === 3; // "-1"
  if (isNull) return -1;
  let length = 0;
  for (let i = 1; i < end; i++) {
    const digit = (buffered[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw malformed("a length that is none");
    length = 10 * length + digit;
  }
  if (end === 1) throw malformed("a length that is none");
  if (length > max) {
    throw tooLong(`a length of ${length}`, max);
  }
  return length;
}

function readBulk(type: string, bulk: Bytes): Value {
  if (type === "$") return bulk;
  const text = decoder.decode(bulk);
  // Of a verbatim string the first four say its format, as in "txt:".
  return type === "!" ? new RedisError(text) : text.slice(4);
}

function readBigInt(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw malformed("an integer that is none");
  return BigInt(text.replace("+", ""));
}

function smallest(integer: bigint): number | bigint {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer;
}

const NAMED_DOUBLES = new Map([
  ["inf", Infinity],
  ["+inf", Infinity],
  ["-inf", -Infinity],
  ["nan", NaN],
]);

function readDouble(text: string): number {
  const named = NAMED_DOUBLES.get(text);
  if (named !== undefined) return named;
  if (!/^[+-]?\d+(\.\d*)?(e[+-]?\d+)?$/i.test(text)) {
    throw malformed("a double that is none");
  }
  return Number(text);
}

function readBoolean(text: string): boolean {
  if (text !== "t" && text !== "f") throw malformed("a boolean that is none");
  return text === "t";
}

function readWords(line: Bytes): Value[] {
  const words = decoder.decode(line).split(/\s+/).filter((word) => word !== "");
  return words.map((word) => encoder.encode(word));
}

function malformed(what: string): FramingError {
  return new FramingError(`Cannot decode RESP: ${what}`, { code: "malformed" });
}

function tooLong(what: string, limit: number): FramingError {
  return new FramingError(`Cannot decode RESP: ${what}, longer than ${limit}`, {
    code: "too-long",
    limit,
  });
}

/** Puts values together from items, for one stream. */
class ValueDecoder implements Decoder<Value> {
  readonly #items: Decoder<Value | Aggregate>;
  // From the outermost to the innermost that is not whole.
  readonly #open: { type: string; missing: number; values: Value[] }[] = [];
  #size = 0;
  #failure: { error: unknown } | undefined;

  constructor(items: Decoder<Value | Aggregate>) {
    this.#items = items;
  }

  get pending(): boolean {
    return this.#open.length > 0 || this.#items.pending === true;
  }

  decode(chunk: Uint8Array): Value[] {
    return this.#gather(() => this.#items.decode(chunk));
  }

  end(): Value[] {
    return this.#gather(() => {
      const rest = this.#items.end();
      if (rest.length === 0 && this.#open.length > 0) {
        throw new FramingError("Cannot decode RESP: it ended inside a value", {
          code: "truncated",
        });
      }
      return rest;
    });
  }

  #gather(read: () => (Value | Aggregate)[]): Value[] {
    const values: Value[] = [];
    try {
      if (this.#failure !== undefined) throw this.#failure.error;
      for (const item of read()) {
        const value = this.#add(item);
        if (value !== undefined) values.push(value);
      }
    } catch (error) {
      // What came whole before an error is delivered before it.
      this.#failure = { error };
      if (values.length === 0) throw error;
    }
    return values;
  }

  /** Gives the value that an item completes, if it does. */
  #add(item: Value | Aggregate): Value | undefined {
    this.#size += ITEM_SIZE + (item instanceof Uint8Array ? item.length : 0);
    if (this.#size > MAX_VALUE_SIZE) {
      throw tooLong("a value", MAX_VALUE_SIZE);
    }
    let value: Value;
    if (item instanceof Aggregate) {
      const { type, count } = item;
      const missing = type === "%" || type === "|" ? 2 * count : count;
      this.#open.push({ type, missing, values: [] });
      if (missing > 0) return undefined;
      value = null; // there is nothing to add to the one that was opened
    } else {
      value = item;
    }
    for (let open = this.#open.at(-1); open !== undefined;) {
      if (open.missing > 0) {
        open.values.push(value);
        open.missing--;
      }
      if (open.missing > 0) return undefined;
      this.#open.pop();
      // An attribute tells about the value behind it, and may be passed over.
      if (open.type === "|") return undefined;
      value = aggregateOf(open.type, open.values);
      open = this.#open.at(-1);
    }
    this.#size = 0;
    return value;
  }
}

function aggregateOf(type: string, values: Value[]): Value {
  switch (type) {
    case "~":
      return new Set(values);
    case ">":
      return new Push(values);
    case "%":
      return new Map(
        Array.from(
          { length: values.length / 2 },
          (_, i) => [values[2 * i] ?? null, values[2 * i + 1] ?? null],
        ),
      );
    default:
      return values;
  }
}

/** The frame of a value that is all text and short, if it is. */
function textOf(value: Value): string | undefined {
  if (typeof value === "string") return `+${oneLine(value)}\r\n`;
  if (value instanceof RedisError) return `-${oneLine(value.message)}\r\n`;
  if (Number.isSafeInteger(value)) return `:${value}\r\n`;
  return undefined;
}

function oneLine(text: string): string {
  if (/[\r\n]/.test(text)) {
    throw new TypeError("Cannot encode RESP: a simple string must be one line");
  }
  return text;
}

function encodeValue({ value, version = 2 }: Outgoing): Uint8Array {
  return concat(
    [...partsOf(value, version)].map((part) =>
      typeof part === "string" ? ascii(part) : part
    ),
  );
}

/** Byte by byte, as `encode` of a TextEncoder takes far longer for a few letters. */
function ascii(text: string): Bytes {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The parts of a frame: bytes, and text that is ASCII. */
function* partsOf(value: Value, version: 2 | 3): Generator<string | Bytes> {
  const isNew = version === 3; // what RESP2 lacks goes as what it has instead
  const text = textOf(value);
  if (text !== undefined) {
    yield encoder.encode(text);
  } else if (value === null) {
    yield isNew ? "_\r\n" : "$-1\r\n";
  } else if (typeof value === "boolean") {
    yield isNew ? `#${value ? "t" : "f"}\r\n` : `:${Number(value)}\r\n`;
  } else if (typeof value === "number" || typeof value === "bigint") {
    const digits = `${value}`.replace("Infinity", "inf").replace("NaN", "nan");
    const type = typeof value === "number" ? "," : "(";
    yield isNew ? `${type}${digits}\r\n` : `$${digits.length}\r\n${digits}\r\n`;
  } else if (value instanceof Uint8Array) {
    yield `$${value.length}\r\n`;
    yield value;
    yield "\r\n";
  } else if (value instanceof Map) {
    yield isNew ? `%${value.size}\r\n` : `*${2 * value.size}\r\n`;
    for (const each of [...value].flat()) yield* partsOf(each, version);
  } else if (value instanceof Set) {
    yield `${isNew ? "~" : "*"}${value.size}\r\n`;
    for (const each of value) yield* partsOf(each, version);
  } else if (value instanceof Push || Array.isArray(value)) {
    const values = value instanceof Push ? value.values : value;
    const type = isNew && value instanceof Push ? ">" : "*";
    yield `${type}${values.length}\r\n`;
    for (const each of values) yield* partsOf(each, version);
  }
}

// ---- The server

type Database = Map<string, Bytes | List>;

/** The last is the first in Redis' order, as JavaScript's arrays grow at the end. */
type List = Bytes[];

interface Session {
  version: 2 | 3;
  isOver: boolean;
}

interface Command {
  /** How many arguments it takes at least, and at most. */
  takes: [number, number];
  run(args: Bytes[], database: Database, session: Session): Value;
}

const OK = "OK";

const COMMANDS: Record<string, Command> = {
  ping: { takes: [0, 1], run: ([message]) => message ?? "PONG" },
  echo: { takes: [1, 1], run: ([message]) => message ?? null },
  set: {
    takes: [2, 2],
    run([key, value], database) {
      database.set(keyOf(key), own(value));
      return OK;
    },
  },
  get: { takes: [1, 1], run: ([key], database) => stringAt(database, key) },
  del: {
    takes: [1, Infinity],
    run: (keys, database) =>
      keys.filter((key) => database.delete(keyOf(key))).length,
  },
  incr: {
    takes: [1, 1],
    run([key], database) {
      const before = stringAt(database, key);
      const digits = before === null ? "0" : decoder.decode(before);
      const value = Number(digits) + 1;
      if (!/^-?\d+$/.test(digits) || !Number.isSafeInteger(value)) {
        throw new RedisError("ERR value is not an integer or out of range");
      }
      database.set(keyOf(key), encoder.encode(`${value}`));
      return value;
    },
  },
  lpush: {
    takes: [2, Infinity],
    run([key, ...values], database) {
      const list = listAt(database, key);
      list.push(...values.map(own));
      database.set(keyOf(key), list);
      return list.length;
    },
  },
  llen: {
    takes: [1, 1],
    run: ([key], database) => listAt(database, key).length,
  },
  lrange: {
    takes: [3, 3],
    run([key, first, last], database) {
      const list = listAt(database, key);
      const fromFront = (index: number) =>
        Math.max(0, index < 0 ? index + list.length : index);
      const start = fromFront(integer(first));
      const end = integer(last) < -list.length
        ? 0
        : fromFront(integer(last)) + 1;
      if (start >= end) return [];
      return list.slice(Math.max(0, list.length - end), list.length - start)
        .reverse();
    },
  },
  hello: {
    takes: [0, 1],
    run([version], _, session) {
      if (version !== undefined) {
        const number = decoder.decode(version);
        if (number !== "2" && number !== "3") {
          throw new RedisError("NOPROTO unsupported protocol version");
        }
        session.version = number === "2" ? 2 : 3;
      }
      const facts = { server: bulk("framed"), version: bulk("0.1.0") };
      return new Map<Value, Value>(
        Object.entries({ ...facts, proto: session.version })
          .map(([name, value]) => [bulk(name), value]),
      );
    },
  },
  info: {
    takes: [0, Infinity],
    run: () => bulk("# Server\r\nredis_version:0.1.0\r\n"),
  },
  // What the tools ask for when they start.
  command: { takes: [0, Infinity], run: () => [] },
  config: {
    takes: [2, 2],
    run: ([, name = bulk("")]) => new Map([[name, bulk("")]]),
  },
  client: { takes: [1, Infinity], run: () => OK },
  quit: {
    takes: [0, 0],
    run(_, __, session) {
      session.isOver = true;
      return OK;
    },
  },
};

function listen(port: number): Server<Value, Outgoing, Deno.NetAddr> {
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
  if (!isRequest(request)) {
    return new RedisError("ERR a request must be an array of bulk strings");
  }
  const [first, ...args] = request;
  const name = decoder.decode(first).toLowerCase();
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const shown = name.replaceAll(/\p{Cc}/gu, " ").slice(0, 100);
    return new RedisError(`ERR unknown command '${shown}'`);
  }
  const [least, most] = command.takes;
  if (args.length < least || args.length > most) {
    return new RedisError(
      `ERR wrong number of arguments for '${name}' command`,
    );
  }
  try {
    return command.run(args, database, session);
  } catch (error) {
    if (error instanceof RedisError) return error;
    throw error;
  }
}

function isRequest(value: Value): value is Bytes[] {
  return Array.isArray(value) &&
    value.every((each) => each instanceof Uint8Array);
}

function bulk(text: string): Bytes {
  return encoder.encode(text);
}

function keyOf(key: Bytes | undefined): string {
  return decoder.decode(key);
}

/** What is kept must be a copy: a request is a view of all that was read with it. */
function own(value: Bytes | undefined): Bytes {
  return value?.slice() ?? bulk("");
}

function integer(value: Bytes | undefined): number {
  const number = Number(decoder.decode(value));
  if (!Number.isSafeInteger(number)) {
    throw new RedisError("ERR value is not an integer or out of range");
  }
  return number;
}

function stringAt(database: Database, key: Bytes | undefined): Bytes | null {
  const value = database.get(keyOf(key)) ?? null;
  if (Array.isArray(value)) throw wrongType();
  return value;
}

function listAt(database: Database, key: Bytes | undefined): List {
  const value = database.get(keyOf(key)) ?? [];
  if (!Array.isArray(value)) throw wrongType();
  return value;
}

function wrongType(): RedisError {
  return new RedisError(
    "WRONGTYPE Operation against a key holding the wrong kind of value",
  );
}

// ---- The client

/** Asks a server. Any number of calls may be under way; answers come in their order. */
export class RedisClient {
  readonly #connection: Connection<Value, Outgoing>;
  readonly #waiting: PromiseWithResolvers<Value>[] = [];
  readonly #onPush: (values: Value[]) => void;
  #end: { reason: unknown } | undefined;

  constructor(
    connection: Connection<Value, Outgoing>,
    onPush: (values: Value[]) => void = () => {},
  ) {
    this.#connection = connection;
    this.#onPush = onPush;
    this.#read();
  }

  /** Sends a command, and gives its answer; throws a {@linkcode RedisError}. */
  async call(...command: (string | number | Bytes)[]): Promise<Value> {
    if (this.#end !== undefined) throw this.#end.reason;
    const deferred = Promise.withResolvers<Value>();
    this.#waiting.push(deferred);
    const value = command.map((each) =>
      each instanceof Uint8Array ? each : bulk(`${each}`)
    );
    // Rejects only where the connection has failed, and then so does the answer.
    this.#connection.send({ value }).catch(() => {});
    return await deferred.promise;
  }

  /** Not `request()` of the connection, as a push may come before the answer. */
  async #read(): Promise<void> {
    let reason: unknown = new Error("The server has ended");
    try {
      for await (const value of this.#connection) {
        if (value instanceof Push) this.#onPush(value.values);
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
  if (value instanceof Set) return new Set([...value].map(readable));
  if (value instanceof Push) return { push: value.values.map(readable) };
  if (value instanceof Map) {
    return new Map([...value].map(([k, v]) => [readable(k), readable(v)]));
  }
  return value;
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

  // Five at once: none waits for the answer to the one before.
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
  await runLesson({ file: "examples/redis.ts", listen, dial });
}
