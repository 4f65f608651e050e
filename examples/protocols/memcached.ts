/**
 * A client of memcached: a line, and after some lines as many bytes as they say.
 *
 * ```text
 * we send              memcached answers
 * get a b\r\n          VALUE a 0 3\r\n   key, flags, and how many bytes follow
 *                      x\ny\r\n          any bytes: a line feed may be one of them
 *                      END\r\n           b is not there
 * set a 0 60 2\r\n     STORED\r\n        flags, seconds to live, and the length
 * hi\r\n
 * ```
 *
 * The bytes of a value may hold line ends, so only the line before them says where they
 * end. A whole reply is one message here. So `request()` gives each request its own
 * reply, and many may be sent before the first is answered.
 *
 * ```sh
 * memcached -l 127.0.0.1 -p 11211 &
 * deno run --allow-net=127.0.0.1 examples/protocols/memcached.ts 11211
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { assembled, connect, FramingError, headed, lines } from "@framed/tcp";
import type { Bytes, Connection, HeadedMessage } from "@framed/tcp";

/** What is received: the values that were found, and the last line. */
export interface Reply {
  values: Map<string, Bytes>;
  status: string;
}

const LINE =
  /^(VALUE (\S+) \d+ \d+|END|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|ERROR|(CLIENT|SERVER)_ERROR .*)$/;
// The server decides how much it answers, so this side needs a limit.
const MAX_REPLY_LENGTH = 64 * 1024 * 1024;

const lineFraming = lines({ eol: "\r\n", strict: true, trailing: "error" });

/** A line, and a value after it if the line tells of one. */
const parts = headed(lineFraming, (line) => {
  const [, length] = /^(?:VALUE|set) .* (\d+)$/.exec(line) ?? [];
  return length === undefined ? undefined : Number(length);
}, { terminator: "\r\n", maxLength: MAX_REPLY_LENGTH });

/** Whole replies come in: values, and a line that ends them. Parts go out. */
export const framing = assembled(parts, () => {
  let values: Reply["values"] = new Map(); // of the reply that is not whole yet
  let length = 0;
  return function* ({ header, body }): Generator<Reply, boolean> {
    const [known, , key = ""] = LINE.exec(header) ?? [];
    length += header.length + (body?.length ?? 0);
    if (known === undefined || length > MAX_REPLY_LENGTH) {
      throw new FramingError(`Cannot decode reply: ${header.slice(0, 80)}`);
    }
    if (body !== undefined) {
      values.set(key, body);
      return true; // it goes on
    }
    yield { values, status: header };
    values = new Map();
    length = 0;
    return false;
  };
});

type Memcached = Connection<
  Reply,
  HeadedMessage<string, Uint8Array | undefined>
>;

/** Gets the values of those keys that are there. */
export async function get(
  connection: Memcached,
  keys: string[],
): Promise<Map<string, Bytes>> {
  const header = `get ${keys.map(checked).join(" ")}`;
  return expect("END", await connection.request({ header })).values;
}

/** Stores a value, for a minute. */
export async function set(
  connection: Memcached,
  key: string,
  body: Uint8Array,
): Promise<void> {
  const header = `set ${checked(key)} 0 60 ${body.length}`;
  expect("STORED", await connection.request({ header, body }));
}

function expect(status: string, reply: Reply): Reply {
  if (reply.status === status) return reply;
  throw new Error(`memcached refused: ${reply.status}`);
}

/** A space or a line end in a key would make another command of it. */
function checked(key: string): string {
  if (/^[^\0-\x20\x7f]{1,250}$/.test(key)) return key;
  throw new TypeError(`A key has 1 to 250 characters, and no space: "${key}"`);
}

if (import.meta.main) {
  await using connection = await connect({
    hostname: "127.0.0.1",
    port: Number(Deno.args[0] ?? 11211),
    framing,
  });
  const value = new TextEncoder().encode("two\r\nlines");
  // None of these waits for the one before.
  const stored = set(connection, "greeting", value);
  const found = get(connection, ["greeting", "farewell"]);
  await stored;
  for (const [key, bytes] of await found) {
    console.log(`${key}: ${JSON.stringify(new TextDecoder().decode(bytes))}`);
  }
}
