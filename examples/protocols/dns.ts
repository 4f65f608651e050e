/**
 * A DNS client over TCP: many concurrent questions, answered in any order.
 *
 * ```text
 * 00 1d   7b 21   81 80   00 01  00 01  00 00  00 00   ...
 * length  id      flags   how many questions, answers  names and addresses
 * ```
 *
 * The answer has the id of its question, so `correlate()` matches them. A library,
 * `dns-packet`, reads the messages; `orMalformed()` turns its errors into the peer's
 * mistake.
 *
 * ```sh
 * deno run --allow-net examples/protocols/dns.ts 1.1.1.1 deno.com jsr.io
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { Buffer } from "node:buffer";
// @ts-types="./_dns_packet.d.ts"
import { type Answer, decode, encode, RECURSION_DESIRED } from "dns-packet";
import { type Bytes, connect, type Connection, correlate } from "@framed/tcp";
import { FieldReader, lengthPrefixed, mapped, orMalformed } from "@framed/tcp";

/** Asks for the IPv4 addresses of a name. */
export type Question = { id: number; name: string };

/** Has the id of its question. A code other than 0 says why there are no addresses. */
export type Reply = { id: number; code: number; addresses: string[] };

// Room for 500 addresses. For names that point to names, the library takes ever longer
// with the size of the message.
const frames = lengthPrefixed({ fieldSize: 2, maxLength: 8192 });

export const framing = mapped(frames, {
  decode: orMalformed((message: Bytes): Reply => {
    const id = new FieldReader(message).takeUint(2);
    // After some damaged records the library restarts at the first byte, again and again.
    // No name begins with this byte, so it is refused there.
    const bytes = Buffer.from(message).fill(0x80, 0, 1);
    const { type, flags, answers } = decode(bytes);
    const isWhole = type === "response" && decode.bytes === bytes.length;
    if (!isWhole) throw new RangeError("it is not an answer, or is incomplete");
    return { id, code: flags & 15, addresses: answers.flatMap(addressIn) };
  }),
  encode({ id, name }: Question) {
    if (!NAME.test(name)) throw new TypeError(`Cannot ask for name "${name}"`);
    const questions = [{ type: "A", name } as const];
    return encode({ id, flags: RECURSION_DESIRED, questions });
  },
});

const NAME = /^(?=.{1,253}$)([\w-]{1,63}\.)*[\w-]{1,63}$/;
const addressIn = ({ type, data }: Answer) => type === "A" ? String(data) : [];

type Dns = Connection<Reply, Question>;

/** Asks for all names concurrently. */
export function resolve(server: Dns, names: string[]): Promise<Reply[]> {
  const { request } = correlate(server, { id: ({ id }) => id, maxId: 65_535 });
  return Promise.all(names.map((name) => request((id) => ({ id, name }))));
}

if (import.meta.main) {
  const [hostname = "1.1.1.1", ...names] = Deno.args;
  await using connection = await connect({ hostname, port: 53, framing });
  console.log(await resolve(connection, names));
}
