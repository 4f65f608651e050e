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
import { connect, FramingError, unframed } from "@framed/tcp";
import type { Bytes, Connection, Framing, Sendable } from "@framed/tcp";

/** What is received: the values that were found, and the last line. */
export interface Reply {
  values: Map<string, Bytes>;
  status: string;
}

/** Replies come in; what goes out is written as it is. */
export const framing: Framing<Reply, Sendable> = {
  ...unframed(),
  decoder() {
    let values = new Map<string, Bytes>(); // of the reply that is not whole yet
    let length = 0; // of that reply
    return {
      get pending() {
        return values.size > 0;
      },
      maxFrameLength: 1024 * 1024 + 512, // a value, and its line
      decode(input) {
        const lineEnd = input.indexOf(CRLF);
        if (lineEnd === -1) return undefined;
        const line = input.textAt(0, lineEnd);
        const [, key, size] = VALUE.exec(line) ?? [];
        if (key === undefined) {
          if (!STATUS.test(line)) throw malformed(line);
          input.skip(lineEnd + 2);
          const reply = { values, status: line };
          values = new Map();
          length = 0;
          return reply;
        }
        const end = lineEnd + 2 + Number(size);
        if (input.length < end + 2) return input.need(end + 2);
        length += end + 2;
        if (input.uintAt(end, 2) !== 0x0d0a || length > MAX_REPLY_LENGTH) {
          throw malformed(line);
        }
        values.set(key, input.bytesAt(lineEnd + 2, end));
        input.skip(end + 2); // and it is called again, for the next line
      },
    };
  },
};

const CRLF = new TextEncoder().encode("\r\n");
const VALUE = /^VALUE (\S+) \d+ (\d+)$/;
const STATUS =
  /^(END|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|ERROR|(CLIENT|SERVER)_ERROR .*)$/;
// The server decides how much it answers, so this side needs a limit.
const MAX_REPLY_LENGTH = 64 * 1024 * 1024;

function malformed(line: string): FramingError {
  const message = `Cannot decode reply: ${JSON.stringify(line.slice(0, 80))}`;
  return new FramingError(message, { code: "malformed" });
}

/** Gets the values of those keys that are there. */
export async function get(
  connection: Connection<Reply, Sendable>,
  keys: string[],
): Promise<Map<string, Bytes>> {
  keys.forEach(checkKey);
  const reply = await connection.request(`get ${keys.join(" ")}\r\n`);
  return expect("END", reply).values;
}

/** Stores a value, for a minute. */
export async function set(
  connection: Connection<Reply, Sendable>,
  key: string,
  value: Uint8Array,
): Promise<void> {
  checkKey(key);
  // What is sent in one go leaves together, with nothing between.
  connection.send(`set ${key} 0 60 ${value.length}\r\n`);
  connection.send(value);
  expect("STORED", await connection.request("\r\n"));
}

function expect(status: string, reply: Reply): Reply {
  if (reply.status === status) return reply;
  throw new Error(`memcached refused: ${reply.status}`);
}

/** A space or a line end in a key would make another command of it. */
function checkKey(key: string): void {
  if (/^[^\0-\x20\x7f]{1,250}$/.test(key)) return;
  throw new TypeError(
    `Cannot ask memcached for the key ${
      JSON.stringify(key)
    }: it must have 1 to 250 characters, and no space`,
  );
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
