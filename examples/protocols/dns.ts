/**
 * A DNS client over TCP: many concurrent questions, answered in any order.
 *
 * ```text
 * 00 1d   7b 21   81 80   00 01  00 01  00 00  00 00   ...
 * length  id      flags   how many questions, answers  names and addresses
 * ```
 *
 * The answer has the id of its question, so `correlate()` brings them together.
 *
 * ```sh
 * deno run --allow-net examples/protocols/dns.ts 1.1.1.1 deno.com jsr.io
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { ChunkEncoder, connect, type Connection, correlate } from "@framed/tcp";
import { FieldReader, lengthPrefixed, mapped } from "@framed/tcp";

/** Asks for the IPv4 addresses of a name. */
export type Question = { id: number; name: string };

/** Has the id of its question. A code other than 0 says why there are no addresses. */
export type Answer = { id: number; code: number; addresses: string[] };

export const framing = mapped(lengthPrefixed({ fieldSize: 2 }), {
  decode(message): Answer {
    const fields = new FieldReader(message);
    const [id, flags, questions, answers] = fields.takeUints(2, 2, 2, 2, 4);
    const addresses: string[] = [];
    for (let i = 0; i < questions + answers; i++) {
      skipName(fields);
      const [type] = fields.takeUints(2, 2); // and the class
      if (i < questions) continue; // has no more
      const [, length] = fields.takeUints(4, 2); // for how long it holds is left out
      const data = fields.take(length);
      if (type === TYPE_A) addresses.push(data.join("."));
    }
    return { id, code: flags & 15, addresses };
  },
  encode({ id, name }: Question) {
    if (!NAME.test(name)) throw new TypeError(`Cannot ask for name "${name}"`);
    const parts = name.split(".").flatMap((part) => [...label.encode(part)]);
    // Recursion desired, and one question: a name, its type and class.
    const header = [id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    return Uint8Array.of(...header, ...parts, 0, 0, TYPE_A, 0, 1);
  },
});

const TYPE_A = 1;
// The parts of a name are messages as well: each has its length before it.
const NAME = /^([\w-]{1,63}\.)*[\w-]{1,63}$/;
const label = new ChunkEncoder(lengthPrefixed({ fieldSize: 1 }));

/** Passes over a name: parts with their length, up to 0, or to where the rest stands. */
function skipName(fields: FieldReader): void {
  for (let length = 1; length > 0;) {
    length = fields.takeUint(1);
    if (length >= 0xc0) return fields.skip(1);
    fields.skip(length);
  }
}

type Dns = Connection<Answer, Question>;

/** Asks for all names concurrently. */
export function resolve(server: Dns, names: string[]): Promise<Answer[]> {
  const id = (answer: Answer) => answer.id;
  const { request } = correlate(server, { id, maxId: 65_535 });
  return Promise.all(names.map((name) => request((id) => ({ id, name }))));
}

if (import.meta.main) {
  const [hostname = "1.1.1.1", ...names] = Deno.args;
  await using connection = await connect({ hostname, port: 53, framing });
  console.log(await resolve(connection, names));
}
