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
 * An array may have a million items, and arrive in a thousand reads. So the decoder
 * takes item by item, and keeps the arrays that are not whole: each byte is looked at
 * once.
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
  type ByteInput,
  type ByteOutput,
  type Bytes,
  connect,
  type Connection,
  type Decoder,
  type Framing,
  FramingError,
  serve,
  type Server,
} from "@framed/tcp";
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

/** RESP, whole value by whole value. */
export const framing: Framing<Value, Outgoing> = {
  decoder: () => new ValueDecoder(),
  encoder: () => ({
    encode: ({ value, version = 2 }, output) =>
      writeValue(value, version, output),
  }),
};

/** The longest bulk string. */
const MAX_BULK_LENGTH = 16 * 1024 * 1024;

/** The longest line, without its end. */
const MAX_LINE_LENGTH = 64 * 1024;

/** The most that a value may take with all its items, in bytes. */
const MAX_VALUE_SIZE = 64 * 1024 * 1024;

/** What an item takes beside its bytes, roughly. */
const ITEM_SIZE = 16;

const LF = 0x0a;
const CR_LF = 0x0d0a;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** What consists of other items, of which some may be missing. */
class Aggregate {
  readonly #type: string;
  readonly #count: number;
  readonly #values: Value[] = [];

  constructor(type: string, length: number) {
    this.#type = type;
    this.#count = type === "%" || type === "|" ? 2 * length : length;
  }

  get isWhole(): boolean {
    return this.#values.length === this.#count;
  }

  add(value: Value): void {
    this.#values.push(value);
  }

  /** Its value, or `undefined` for an attribute, which tells about the next value. */
  get value(): Value | undefined {
    const values = this.#values;
    switch (this.#type) {
      case "|":
        return undefined;
      case "~":
        return new Set(values);
      case ">":
        return new Push(values);
      case "%": {
        const map = new Map<Value, Value>();
        for (let i = 0; i < values.length; i += 2) {
          map.set(values[i] ?? null, values[i + 1] ?? null);
        }
        return map;
      }
      default:
        return values;
    }
  }
}

/** Puts values together from items, for one stream. */
class ValueDecoder implements Decoder<Value> {
  readonly maxFrameLength = MAX_LINE_LENGTH + MAX_BULK_LENGTH + 4;
  // From the outermost to the innermost.
  readonly #open: Aggregate[] = [];
  #size = 0;

  /** Whether a value has begun whose other items are to come. */
  get pending(): boolean {
    return this.#open.length > 0;
  }

  decode(input: ByteInput): Value | undefined {
    for (;;) {
      const { offset } = input;
      const item = takeItem(input);
      if (item === undefined) return undefined;
      this.#size += ITEM_SIZE + input.offset - offset;
      if (this.#size > MAX_VALUE_SIZE) throw tooLong("a value", MAX_VALUE_SIZE);
      const value = this.#add(item);
      if (value === undefined) continue;
      this.#size = 0;
      return value;
    }
  }

  /** Gives the value that an item completes, if it does. */
  #add(item: Value | Aggregate): Value | undefined {
    for (let next = item;;) {
      if (next instanceof Aggregate && !next.isWhole) {
        this.#open.push(next);
        return undefined;
      }
      const value = next instanceof Aggregate ? next.value : next;
      if (value === undefined) return undefined;
      const outer = this.#open.pop();
      if (outer === undefined) return value;
      outer.add(value);
      next = outer;
    }
  }
}

/** Takes the item at the front, if it is whole. */
function takeItem(input: ByteInput): Value | Aggregate | undefined {
  const lineEnd = input.indexOf(LF);
  const lineLength = lineEnd === -1 ? input.length : lineEnd;
  if (lineLength > MAX_LINE_LENGTH + 1) {
    throw tooLong("a line", MAX_LINE_LENGTH);
  }
  if (lineEnd === -1) return undefined;
  const line = input.textAt(0, lineEnd).replace(/\r$/, "");
  if (/^([!=]|\$(?!-1$))/.test(line)) return takeBulk(line, lineEnd + 1, input);
  input.skip(lineEnd + 1);
  return readLine(line);
}

/** Takes a bulk string, whose bytes begin at `start`. */
function takeBulk(
  line: string,
  start: number,
  input: ByteInput,
): Value | undefined {
  const length = readLength(line, MAX_BULK_LENGTH);
  const end = start + length;
  if (input.length < end + 2) return input.need(end + 2);
  if (input.uintAt(end, 2) !== CR_LF) throw malformed(line);
  input.skip(start);
  const bulk = input.take(length);
  input.skip(2);
  if (line.startsWith("$")) return bulk;
  const text = decoder.decode(bulk);
  // Of a verbatim string the first four say its format, as in "txt:".
  return line.startsWith("!") ? new RedisError(text) : text.slice(4);
}

function readLine(line: string): Value | Aggregate {
  const type = line.charAt(0);
  const text = line.slice(1);
  switch (type) {
    case "+":
      return text;
    case "-":
      return new RedisError(text);
    case ":": {
      const integer = readBigInt(line);
      const number = Number(integer);
      return Number.isSafeInteger(number) ? number : integer;
    }
    case "(":
      return readBigInt(line);
    case ",":
      return readDouble(line);
    case "#":
      if (text !== "t" && text !== "f") throw malformed(line);
      return text === "t";
    case "_":
    case "$": // only "$-1", null as RESP2 has it, comes here
      return null;
    case "*":
    case "~":
    case "%":
    case "|":
    case ">":
      if (line === "*-1") return null;
      return new Aggregate(type, readLength(line, MAX_VALUE_SIZE / ITEM_SIZE));
    default: {
      // A request as somebody types it, into `nc`.
      const words = line.split(/\s+/).filter((word) => word !== "");
      return words.map((word) => encoder.encode(word));
    }
  }
}

function readLength(line: string, max: number): number {
  if (!/^.\d+$/.test(line)) throw malformed(line);
  const length = Number(line.slice(1));
  if (length > max) throw tooLong(`a length of ${length}`, max);
  return length;
}

function readBigInt(line: string): bigint {
  if (!/^.[+-]?\d+$/.test(line)) throw malformed(line);
  return BigInt(line.slice(1));
}

function readDouble(line: string): number {
  if (line === ",nan") return NaN;
  if (!/^,[+-]?(inf|\d+(\.\d*)?(e[+-]?\d+)?)$/i.test(line)) {
    throw malformed(line);
  }
  return Number(line.slice(1).replace("inf", "Infinity"));
}

function malformed(line: string): FramingError {
  const shown = JSON.stringify(line.slice(0, 40));
  return new FramingError(`Cannot decode RESP: malformed item ${shown}`, {
    code: "malformed",
  });
}

function tooLong(what: string, limit: number): FramingError {
  return new FramingError(`Cannot decode RESP: ${what}, longer than ${limit}`, {
    code: "too-long",
    limit,
  });
}

/** Writes a value. What RESP2 lacks goes as what it has instead. */
function writeValue(value: Value, version: 2 | 3, output: ByteOutput): void {
  const isNew = version === 3;
  const write = (line: string) => output.writeText(`${line}\r\n`);
  const writeAll = (type: string, length: number, values: Iterable<Value>) => {
    write(`${type}${length}`);
    for (const each of values) writeValue(each, version, output);
  };
  if (typeof value === "string") {
    write(`+${oneLine(value)}`);
  } else if (value instanceof RedisError) {
    write(`-${oneLine(value.message)}`);
  } else if (value === null) {
    write(isNew ? "_" : "$-1");
  } else if (typeof value === "boolean") {
    if (isNew) write(value ? "#t" : "#f");
    else write(`:${Number(value)}`);
  } else if (typeof value === "number" || typeof value === "bigint") {
    const digits = `${value}`.replace("Infinity", "inf").replace("NaN", "nan");
    if (Number.isSafeInteger(value)) write(`:${digits}`);
    else if (!isNew) write(`$${digits.length}\r\n${digits}`);
    else write(typeof value === "number" ? `,${digits}` : `(${digits}`);
  } else if (value instanceof Uint8Array) {
    write(`$${value.length}`);
    output.writeBytes(value);
    write("");
  } else if (value instanceof Map) {
    if (isNew) writeAll("%", value.size, [...value].flat());
    else writeAll("*", 2 * value.size, [...value].flat());
  } else if (value instanceof Set) {
    writeAll(isNew ? "~" : "*", value.size, value);
  } else if (value instanceof Push) {
    writeAll(isNew ? ">" : "*", value.values.length, value.values);
  } else {
    writeAll("*", value.length, value);
  }
}

function oneLine(text: string): string {
  if (/[\r\n]/.test(text)) {
    throw new TypeError("Cannot encode RESP: a simple string must be one line");
  }
  return text;
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
    run([key, value = bulk("")], database) {
      database.set(keyOf(key), value);
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
      list.push(...values);
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
