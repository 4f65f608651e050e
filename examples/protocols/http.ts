/**
 * A client of HTTP/1.1: header lines, then a body that has a length, comes in chunks, or
 * ends with the connection.
 *
 * ```text
 * HTTP/1.1 200 OK\r\n             expect(), up to the empty line
 * Transfer-Encoding: chunked\r\n
 * \r\n
 * 5\r\n                           expect({ framing: line }): 5 bytes follow; in hexadecimal
 * hello                           receiveStream(5)
 * \r\n                            expect({ framing: line })
 * 0\r\n                           expect({ framing: line }): no more chunks
 * \r\n                            expect({ framing: line })
 * ```
 *
 * The header decides what is read next. `expect()` takes one message and no byte more, so
 * the body is still there for `receiveStream()`. That never holds a body whole: it may
 * have any size, and a slow reader slows the server down.
 *
 * ```sh
 * deno run --allow-net=example.com examples/protocols/http.ts http://example.com/
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { asText, connect, delimited, FramingError, lines } from "@framed/tcp";
import { type Bytes, type Connection, textFields, unframed } from "@framed/tcp";

const block = delimited("\r\n\r\n", { maxLength: 8192, trailing: "error" });
const line = lines({ eol: "\r\n", strict: true, trailing: "error" });

/** A header: lines up to an empty one. */
export const framing = asText(block);
type Http = Connection<string>;

// The status, and lines of a name, a colon and a value. Only what `Headers` takes.
const HEADER =
  /^HTTP\/1\.[01] ([2-5]\d\d)(?: .*)?((?:\r\n[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*)*)$/;
// "100 Continue" and the like: the response is still to come.
const CONTINUE = /^HTTP\/1\.[01] 1\d\d\b/;

/**
 * Sends a request, and gives the response when its header is there. Read its body to the
 * end before the next request on the same connection.
 */
export async function fetchOver(
  connection: Http,
  request: Request,
): Promise<Response> {
  const { pathname, search, host } = new URL(request.url);
  const body = await request.bytes();
  const sent = new Headers(request.headers);
  sent.set("Host", host);
  sent.set("Content-Length", `${body.length}`);
  const named = [...sent].map(([name, value]) => `\r\n${name}: ${value}`);
  const first = `${request.method} ${pathname}${search} HTTP/1.1`;
  connection.send(first + named.join(""));
  await connection.send(body, { framing: unframed() });
  let header = await connection.expect();
  while (CONTINUE.test(header)) header = await connection.expect();
  const [status = "", fields = ""] = textFields(header, HEADER);
  const headers = new Headers();
  for (const [, name = "", value = ""] of fields.matchAll(/^(.+?):(.*)$/gm)) {
    headers.append(name, value);
  }
  const hasBody = request.method !== "HEAD" && !/204|205|304/.test(status);
  const stream = hasBody ? bodyOf(connection, headers) : null;
  return new Response(stream, { status: Number(status), headers });
}

function bodyOf(connection: Http, headers: Headers): ReadableStream<Bytes> {
  const encoding = headers.get("Transfer-Encoding");
  const length = headers.get("Content-Length");
  // If a header says both, two programs may see two different ends of the body.
  if (encoding !== null && length !== null) throw new FramingError(TWO_ENDS);
  if (encoding !== null) {
    textFields(encoding, /^chunked$/i);
    return ReadableStream.from(receiveChunks(connection));
  }
  if (length === null) return connection.reframe(unframed()).readable; // up to the end
  const [digits] = textFields(length, /^(\d{1,15})$/);
  return connection.receiveStream(Number(digits));
}
const TWO_ENDS = "Cannot read response: its header says two ends of the body";

async function* receiveChunks(connection: Http): AsyncGenerator<Bytes> {
  for (;;) {
    const text = await connection.expect({ framing: line });
    const [size = ""] = textFields(text, /^([\da-f]{1,12})[ \t]*(?:;|$)/i);
    if (/^0+$/.test(size)) break;
    yield* connection.receiveStream(parseInt(size, 16));
    textFields(await connection.expect({ framing: line }), /^$/); // its end
  }
  // Trailers, which few servers send, and an empty line.
  while (await connection.expect({ framing: line }) !== "");
}

if (import.meta.main) {
  const url = new URL(Deno.args[0] ?? "http://example.com/");
  const isTls = url.protocol === "https:";
  await using connection = await connect({
    hostname: url.hostname,
    port: Number(url.port) || (isTls ? 443 : 80),
    tls: isTls,
    framing,
  });
  const response = await fetchOver(connection, new Request(url));
  console.log(response.status, Object.fromEntries(response.headers));
  let length = 0;
  for await (const piece of response.body ?? []) length += piece.length;
  console.log(`${length} bytes of body`);
}
