/**
 * An HTTP/1.1 client: header lines, then a body that has a length, comes in chunks, or
 * ends with the connection.
 *
 * ```text
 * HTTP/1.1 200 OK\r\n             expect(), up to the empty line
 * Transfer-Encoding: chunked\r\n
 * \r\n
 * 5\r\n                           receiveChunks(): 5 bytes follow; in hexadecimal
 * hello\r\n
 * 0\r\n                           no more chunks
 * \r\n
 * HTTP/1.1 200 OK\r\n             expect()
 * Content-Length: 5\r\n
 * \r\n
 * hello                           receiveStream(5)
 * ```
 *
 * The header decides what is read next. `expect()` takes exactly one message, so the body
 * is left. The body is never held whole: it may have any size, and a slow reader slows
 * the server down.
 *
 * ```sh
 * deno run --allow-net=example.com examples/protocols/http.ts http://example.com/
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, FramingError, headerLines } from "@framed/tcp";
import { receiveChunks, textFields, unframed } from "@framed/tcp";
import type { Bytes, Connection, HeaderLines } from "@framed/tcp";

/** A first line, and header lines up to an empty one. */
export const framing = headerLines();
type Http = Connection<HeaderLines>;

/**
 * Sends a request, and returns the response when its header has arrived. Read its body to
 * the end before the next request on the same connection.
 */
export async function fetchOver(
  connection: Http,
  request: Request,
): Promise<Response> {
  const { pathname, search, host } = new URL(request.url);
  const body = await request.bytes();
  const headers = new Headers(request.headers);
  headers.set("Host", host);
  headers.set("Content-Length", `${body.length}`);
  const first = `${request.method} ${pathname}${search} HTTP/1.1`;
  await connection.send({ first, headers });
  await connection.send(body, { framing: unframed() });
  for (;;) {
    const { first, headers } = await connection.expect();
    const [status = ""] = textFields(first, /^HTTP\/1\.[01] ([1-5]\d\d)( |$)/);
    if (status.startsWith("1")) continue; // such as "100 Continue"
    const isEmpty = request.method === "HEAD" || NO_BODY.includes(status);
    const body = isEmpty ? null : bodyOf(connection, headers);
    return new Response(body, { status: Number(status), headers });
  }
}

const NO_BODY = ["204", "205", "304"];

function bodyOf(connection: Http, headers: Headers): ReadableStream<Bytes> {
  const encoding = headers.get("Transfer-Encoding");
  const length = headers.get("Content-Length");
  if (encoding !== null) {
    // If a header has both, two programs may see different ends of the body.
    if (length !== null) throw new FramingError("Cannot read body: two ends");
    textFields(encoding, /^chunked$/i);
    return ReadableStream.from(receiveChunks(connection));
  }
  if (length !== null) return connection.receiveStream(length);
  return connection.reframe(unframed()).readable; // up to the end
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
