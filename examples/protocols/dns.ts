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
import { type Bytes, connect, correlate, FramingError } from "@framed/tcp";
import { type Connection, lengthPrefixed, mapped } from "@framed/tcp";

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
    try {
      return readAnswer(message);
    } catch (cause) {
      const code = "malformed"; // it ends within a field
      throw new FramingError("Cannot decode DNS answer", { code, cause });
    }
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

function readAnswer(message: Bytes): Answer {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const afterName = (at: number): number => {
    const length = view.getUint8(at);
    if (length >= 0xc0) return at + 2; // the rest stands elsewhere
    return length === 0 ? at + 1 : afterName(at + 1 + length);
  };
  let at = 12;
  for (let i = view.getUint16(4); i > 0; i--) at = afterName(at) + 4;
  const addresses: string[] = [];
  for (let i = view.getUint16(6); i > 0; i--) {
    at = afterName(at);
    const data = at + 10;
    const end = data + view.getUint16(at + 8);
    if (end > message.length) throw new RangeError("An answer is cut off");
    const isAddress = view.getUint16(at) === 1 && end - data === 4;
    if (isAddress) addresses.push(message.subarray(data, end).join("."));
    at = end;
  }
  const code = view.getUint8(3) & 0x0f;
  return { id: view.getUint16(0), code, addresses };
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
