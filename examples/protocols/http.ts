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
import { type Bytes, type Connection, unframed } from "@framed/tcp";

/** A header: lines up to an empty one. */
export const framing = asText(
  delimited("\r\n\r\n", { maxLength: 8192, trailing: "error" }),
);
const line = lines({ eol: "\r\n", strict: true, trailing: "error" });

type Http = Connection<string>;

// The status, and lines of a name, a colon and a value. Only what `Headers` takes.
const HEADER =
  /^HTTP\/1\.[01] ([1-5]\d\d)(?: .*)?((?:\r\n[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*)*)$/;

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
  const fields = new Headers(request.headers);
  fields.set("Host", host);
  fields.set("Content-Length", `${body.length}`);
  connection.send([
    `${request.method} ${pathname}${search} HTTP/1.1`,
    ...[...fields].map(([name, value]) => `${name}: ${value}`),
  ].join("\r\n"));
  await connection.send(body, { framing: unframed() });
  for (;;) {
    const header = await connection.expect();
    const [, status, lines] = HEADER.exec(header) ?? [];
    if (status === undefined || lines === undefined) throw malformed(header);
    if (status.startsWith("1")) continue; // such as "100 Continue"
    const headers = new Headers();
    for (const [, name = "", value = ""] of lines.matchAll(/^(.+?):(.*)$/gm)) {
      headers.append(name, value);
    }
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
    const text = await connection.expect({ framing: line });
    const [, size] = /^([\da-f]{1,12})[ \t]*(?:;|$)/i.exec(text) ?? [];
    if (size === undefined) throw malformed(text);
    if (/^0+$/.test(size)) break;
    yield* connection.receiveStream(parseInt(size, 16));
    const rest = await connection.expect({ framing: line });
    if (rest !== "") throw malformed(rest);
  }
  // Trailers, which few servers send, and an empty line.
  while (await connection.expect({ framing: line }) !== "");
}

function malformed(what: string): FramingError {
  const shown = JSON.stringify(what.slice(0, 80));
  return new FramingError(`Cannot read response: malformed near ${shown}`);
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
