import type { Bytes } from "../framing/bytes.ts";
import { grouped } from "../framing/grouped.ts";
import { lines } from "../framing/lines.ts";
import { mapped } from "../framing/mapped.ts";
import { textFields } from "../framing/text_fields.ts";
import { passingOver } from "./_passing_over.ts";
import type { Connection } from "./connection.ts";

/**
 * Receives a body in chunks, each after its length, as HTTP/1.1 sends bodies of unknown
 * length (`Transfer-Encoding: chunked`). Neither the body nor a chunk is ever held whole:
 * the body may have any size, and is read as fast as you consume it.
 *
 * Chunk extensions, and header lines after the last chunk, are skipped.
 *
 * Nothing is received before you ask for the first piece. So call `return()` for a body
 * that you do not want: otherwise its bytes are taken for the next message.
 *
 * If you leave the loop early, or cancel a stream made from it, the rest of the body is
 * received and dropped first, so the next message is intact. So leave early only if the
 * rest still comes; if it does not, call {@linkcode Connection.abort}. Until the end of
 * the body, receive nothing else on the connection.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param connection The connection.
 * @returns The bytes, in pieces. Rejects with a `FramingError` if a chunk is malformed,
 * with an error named `UnexpectedEof` if the peer closes its side before the body ends,
 * and otherwise like {@linkcode Connection.receive}.
 *
 * @example A response, and the next one
 * ```ts
 * import { receiveChunks } from "@framed/tcp/connection";
 * import { headerLines, unframed } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: headerLines() });
 * const response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
 *   "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
 * await pair.far.send(response + "HTTP/1.1 204 No Content\r\n\r\n", {
 *   framing: unframed(),
 * });
 *
 * const { headers } = await pair.near.expect();
 * assertEquals(headers.get("transfer-encoding"), "chunked");
 * const body = ReadableStream.from(receiveChunks(pair.near));
 * assertEquals(await new Response(body).text(), "hello, world");
 * assertEquals((await pair.near.expect()).first, "HTTP/1.1 204 No Content");
 * ```
 */
export function receiveChunks<In, Out>(
  connection: Connection<In, Out>,
): AsyncGenerator<Bytes, void> {
  return passingOver(piecesOfChunks(connection));
}

async function* piecesOfChunks<In, Out>(
  connection: Connection<In, Out>,
): AsyncGenerator<Bytes, void> {
  const { size, end, trailers } = partsOfChunks();
  let isUnderWay = false; // between the first byte of a chunk and its end
  try {
    for (;;) {
      const length = await connection.expect({ framing: size });
      if (length === 0) break;
      isUnderWay = true;
      yield* piecesOf(connection.receiveStream(length));
      isUnderWay = false;
      await connection.expect({ framing: end });
    }
    await connection.expect({ framing: trailers });
  } finally {
    if (isUnderWay) {
      try {
        await connection.expect({ framing: end });
        for await (const _piece of piecesOfChunks(connection));
      } catch {
        // The messages have ended, as the next receive reports.
      }
    }
  }
}

/** The pieces of a stream; not every browser can iterate over one. */
async function* piecesOf(
  stream: ReadableStream<Bytes>,
): AsyncGenerator<Bytes, void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel(); // skips the rest, if any
  }
}

/** Framings of the lines around the bytes of chunks. */
function partsOfChunks() {
  const maxLength = MAX_LENGTH_BYTES;
  const rules = { strict: true, trailing: "error", maxLength } as const;
  const line = lines({ eol: "\r\n", ...rules });
  return {
    size: mapped(line, {
      decode: (text) => parseInt(textFields(text, SIZE)[0] ?? "", 16),
      encode: (size: number) => size.toString(16),
    }),
    end: mapped(line, {
      decode: (text) => textFields(text, /^$/),
      encode: () => "",
    }),
    trailers: grouped(line, (text) => text === "", { maxLength }),
  };
}

// As for header lines.
const MAX_LENGTH_BYTES = 8192;
// In hexadecimal, exact as a number; extensions may follow.
const SIZE = /^([\da-f]{1,12})[ \t]*(?:;.*)?$/i;
