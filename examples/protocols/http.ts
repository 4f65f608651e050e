/**
 * A client of HTTP/1.1: header lines, then a body that has a length, comes in chunks, or
 * ends with the connection.
 *
 * ```text
 * HTTP/1.1 200 OK\r\n             receive()
 * Transfer-Encoding: chunked\r\n  receive()
 * \r\n                            receive()
 * 5\r\n                           receive()         5 bytes follow; in hexadecimal
 * hello                           receiveStream(5)
 * \r\n                            receive()
 * 0\r\n                           receive()         no more chunks
 * \r\n                            receive()
 * ```
 *
 * The lines decide what is read next. `receive()` takes one line and no byte more, so
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
import { connect, FramingError, lines, unframed } from "@framed/tcp";
import type { Bytes, Connection } from "@framed/tcp";

/** The lines of a header. One that the end of the stream cuts off is an error. */
export const framing = lines({
  eol: "\r\n",
  strict: true,
  maxLength: 8192,
  trailing: "error",
});

type Http = Connection<string, string>;

const MAX_HEADERS = 100;

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
  connection.send(`${request.method} ${pathname}${search} HTTP/1.1`);
  for (const [name, value] of sent) connection.send(`${name}: ${value}`);
  connection.send("");
  await connection.send(body, { framing: unframed() });
  for (;;) {
    const status = await match(connection, /^HTTP\/1\.[01] ([1-5]\d\d)( |$)/);
    const headers = await receiveHeaders(connection);
    if (Number(status) < 200) continue; // such as "100 Continue"
    const hasBody = request.method !== "HEAD" && !/204|205|304/.test(status);
    return new Response(hasBody ? bodyOf(connection, headers) : null, {
      status: Number(status),
      headers,
    });
  }
}

function bodyOf(connection: Http, headers: Headers): ReadableStream<Bytes> {
  const encoding = headers.get("Transfer-Encoding");
  const length = headers.get("Content-Length");
  if (encoding === null && length === null) {
    return connection.reframe(unframed()).readable; // up to the end
  }
  // Where a header says both, two programs may see two different ends of the body.
  if (length === null && encoding?.toLowerCase() === "chunked") {
    return ReadableStream.from(receiveChunks(connection));
  }
  if (encoding === null && length !== null && /^\d{1,15}$/.test(length)) {
    return connection.receiveStream(Number(length));
  }
  throw malformed(`Content-Length: ${length}, Transfer-Encoding: ${encoding}`);
}

async function* receiveChunks(connection: Http): AsyncGenerator<Bytes> {
  for (;;) {
    const size = await match(connection, /^([\da-f]{1,12})[ \t]*(;|$)/i);
    if (/^0+$/.test(size)) break;
    yield* connection.receiveStream(parseInt(size, 16));
    await match(connection, /^()$/);
  }
  await receiveHeaders(connection); // trailers, which few servers send
}

async function receiveHeaders(connection: Http): Promise<Headers> {
  const headers = new Headers();
  for (let count = 0; count <= MAX_HEADERS; count++) {
    const line = await match(connection, HEADER_LINE);
    if (line === "") return headers;
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1));
  }
  throw malformed(`more than ${MAX_HEADERS} lines`);
}

// A name, a colon and a value, or nothing. Only what `Headers` takes.
const HEADER_LINE = /^([\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*|)$/;

/** Receives a line; gives the group of the pattern that it must match. */
async function match(connection: Http, pattern: RegExp): Promise<string> {
  const line = await connection.receive();
  if (line === undefined) {
    throw new Deno.errors.UnexpectedEof("Cannot read response: it is cut off");
  }
  const [, group] = pattern.exec(line) ?? [];
  if (group === undefined) throw malformed(line);
  return group;
}

function malformed(what: string): FramingError {
  return new FramingError(
    `Cannot read response: its header or a chunk is malformed: ${
      JSON.stringify(what.slice(0, 80))
    }`,
    { code: "malformed" },
  );
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
