/**
 * A memcached client: a line, and after some lines as many bytes as they say.
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
 * The bytes of a value may contain line ends, so only the line before them says where
 * they end: `headed()`. Here a whole reply is one message: `grouped()`. So `request()`
 * returns each request's own reply, and many may be sent before the first is answered.
 *
 * ```sh
 * memcached -l 127.0.0.1 -p 11211 &
 * deno run --allow-net=127.0.0.1 examples/protocols/memcached.ts 11211
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, grouped, headed, lines, textFields } from "@framed/tcp";
import type { Bytes, Connection, HeadedMessage } from "@framed/tcp";

/** A line, and the value after it if the line announces one. */
type Part = HeadedMessage<string, Bytes | undefined>;

// The server answers with a status, or with a value, whose length the line ends with.
const LINE =
  /^(?:get .*|END|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|ERROR|(?:CLIENT|SERVER)_ERROR .*|(?:VALUE|set) .* (\d+))$/s;

const maxLength = 64 * 1024 * 1024; // the server decides how much it answers
const lineFraming = lines({ eol: "\r\n", strict: true, trailing: "error" });
const lengthIn = (line: string) => textFields(line, LINE)[0];
const parts = headed(lineFraming, lengthIn, { terminator: "\r\n", maxLength });

/** Whole replies come in: values, and a line that ends them. Parts go out. */
export const framing = grouped(parts, ({ body }) => !body, { maxLength });

type Memcached = Connection<Part[], Part>;
type Values = Map<string, Bytes>;

/** Gets the values of the keys that exist. */
export async function get(server: Memcached, keys: string[]): Promise<Values> {
  const header = `get ${keys.map(checked).join(" ")}`;
  const found: Values = new Map();
  for (const part of expect("END", await server.request({ header }))) {
    if (part.body) found.set(part.header.split(" ")[1] ?? "", part.body);
  }
  return found;
}

/** Stores a value, for a minute. */
export async function set(
  server: Memcached,
  key: string,
  body: Bytes,
): Promise<void> {
  const header = `set ${checked(key)} 0 60 ${body.length}`;
  expect("STORED", await server.request({ header, body }));
}

function expect(status: string, reply: Part[]): Part[] {
  const found = reply.at(-1)?.header;
  if (found === status) return reply;
  throw new Error(`memcached refused: ${found}`);
}

/** Refuses a space or a line end in a key, which would change the command. */
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
  // None of these waits for the previous one.
  const stored = set(connection, "greeting", value);
  const found = get(connection, ["greeting", "farewell"]);
  await stored;
  for (const [key, bytes] of await found) {
    console.log(`${key}: ${JSON.stringify(new TextDecoder().decode(bytes))}`);
  }
}
