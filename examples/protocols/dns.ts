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
import { connect, type Connection, correlate } from "@framed/tcp";
import { FieldReader, lengthPrefixed, mapped } from "@framed/tcp";

/** What is asked: the IPv4 addresses of a name. */
export interface Question {
  id: number;
  name: string;
}

/** What is answered; a `code` other than 0 says why there are no addresses. */
export interface Answer {
  id: number;
  code: number;
  addresses: string[];
}

export const framing = mapped(lengthPrefixed({ fieldSize: 2 }), {
  decode(message): Answer {
    const fields = new FieldReader(message);
    const [id, flags] = [fields.takeUint(2), fields.takeUint(2)];
    const [questions, answers] = [fields.takeUint(2), fields.takeUint(2)];
    fields.skip(4); // the numbers of what is not read here
    for (let i = 0; i < questions; i++) {
      skipName(fields);
      fields.skip(4); // type and class
    }
    const addresses: string[] = [];
    for (let i = 0; i < answers; i++) {
      skipName(fields);
      const type = fields.takeUint(2);
      fields.skip(6); // class, and for how long it holds
      const data = fields.take(fields.takeUint(2));
      if (type === 1) addresses.push(data.join("."));
    }
    return { id, code: flags & 15, addresses };
  },
  encode: ({ id, name }: Question) =>
    // Recursion desired, one question; its name, type A, class IN.
    Uint8Array.from([
      ...[id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      ...name.split(".").flatMap(encodeLabel),
      ...[0, 0, 1, 0, 1],
    ]),
});

/** A part of a name, with its length before it. */
function encodeLabel(label: string): number[] {
  const bytes = [...new TextEncoder().encode(label)];
  if (bytes.length >= 1 && bytes.length <= 63) return [bytes.length, ...bytes];
  throw new TypeError(`Cannot ask for name with the part "${label}"`);
}

/** Passes over a name: parts with their length, and 0, or where the rest stands. */
function skipName(fields: FieldReader): void {
  for (;;) {
    const length = fields.takeUint(1);
    if (length >= 0xc0) fields.skip(1);
    if (length === 0 || length >= 0xc0) return;
    fields.skip(length);
  }
}

/** Asks for all names concurrently. */
export async function resolve(
  connection: Connection<Answer, Question>,
  names: string[],
): Promise<Answer[]> {
  const { request } = correlate(connection, {
    id: ({ id }) => id,
    maxId: 65_535,
  });
  return await Promise.all(
    names.map((name) => request((id) => ({ id, name }))),
  );
}

if (import.meta.main) {
  const [hostname = "1.1.1.1", ...names] = Deno.args;
  await using connection = await connect({ hostname, port: 53, framing });
  console.log(await resolve(connection, names));
}
