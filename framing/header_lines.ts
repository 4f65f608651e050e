import { quoted } from "../internal/shown.ts";
import { checkMaxLength, checkMost, malformed } from "./_limits.ts";
import type { Bytes } from "./bytes.ts";
import { delimited } from "./delimited.ts";
import type { Decoder, Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { mapped } from "./mapped.ts";

/**
 * A first line, and header lines after it; see {@linkcode headerLines}.
 *
 * @example An HTTP request
 * ```ts
 * import type { HeaderLines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const request: HeaderLines = {
 *   first: "GET / HTTP/1.1",
 *   headers: new Headers({ Host: "example.com" }),
 * };
 * assertEquals(request.headers.get("host"), "example.com");
 * ```
 */
export interface HeaderLines {
  /** The first line: the request, or the status. */
  first: string;
  /** The others. Lines with the same name are one header, its values joined by commas. */
  headers: Headers;
}

/**
 * Options for {@linkcode headerLines}.
 *
 * @example Small limits
 * ```ts
 * import { ChunkDecoder, FramingError, headerLines, type HeaderLinesOptions } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const options: HeaderLinesOptions = { maxLength: 100, maxLines: 5 };
 * const decoder = new ChunkDecoder(headerLines(options));
 * const { code } = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("x".repeat(200))),
 *   FramingError,
 * );
 * assertEquals(code, "too-long");
 * ```
 */
export interface HeaderLinesOptions {
  /**
   * The most bytes in all lines, the blank line not counted.
   *
   * @default {8192}
   */
  maxLength?: number | undefined;
  /**
   * The most lines after the first. A short name takes few bytes, but `Headers` with many
   * names are slow to make, and slower to iterate over: in Deno that takes half a second
   * for 1,600 names, which fit in 8 KiB, and both take four times as long for twice as many.
   *
   * @default {256}
   */
  maxLines?: number | undefined;
}

/**
 * A first line and header lines, up to a blank line: HTTP/1.1, RTSP, SIP, ICAP.
 *
 * Line ends before the first line are skipped, as these protocols require (RFC 9112, 2.2;
 * RFC 3261, 7.5). SIP sends them as keep-alives. So the first line is never empty.
 *
 * Each line ends with `\r\n`. A header line is a name, a colon immediately after it, and
 * a value. Anything else is malformed, because two programs may read it differently: a
 * lone line feed or carriage return, a line that continues in the next, white space
 * before the colon.
 *
 * Each byte is a character, from U+0000 to U+00FF, as in `fetch()`. Names are sent in
 * lower case.
 *
 * After the blank line comes the next message. If the header says the length of a body,
 * see {@linkcode headed}; for a body of any size, `Connection.receiveStream()`.
 *
 * @param options Limits that hold in both directions.
 * @returns A framing without state, which many connections may share.
 * @throws {RangeError} If a limit is not a whole number of at least 1.
 *
 * @example An RTSP response with its body
 * ```ts
 * import { ChunkDecoder, headed, headerLines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = headed(
 *   headerLines(),
 *   ({ headers }) => headers.get("content-length") ?? undefined,
 * );
 * const decoder = new ChunkDecoder(framing);
 * const bytes = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nhi";
 * const [message] = decoder.decode(new TextEncoder().encode(bytes));
 *
 * assertEquals(message?.header.first, "RTSP/1.0 200 OK");
 * assertEquals(message?.header.headers.get("cseq"), "1");
 * assertEquals(message?.body, new TextEncoder().encode("hi"));
 * ```
 */
export function headerLines(
  options: HeaderLinesOptions = {},
): Framing<HeaderLines> {
  const { maxLength = DEFAULT_MAX_HEADER_BYTES, maxLines = 256 } = options;
  checkMaxLength("headerLines", maxLength);
  checkMost("headerLines", "maxLines", maxLines);
  const blocks = delimited("\r\n\r\n", { maxLength, trailing: "error" });
  const framing = {
    decoder: () => afterLineEnds(blocks.decoder()),
    encoder: () => blocks.encoder(),
  };
  return mapped(framing, {
    decode: (block) => decode(block, maxLines),
    encode: (lines) => encode(lines, maxLines),
  });
}

const DEFAULT_MAX_HEADER_BYTES = 8192;
const CR = 0x0d;
const LF = 0x0a;
const WHAT = "header lines";
// Names as HTTP allows them: no white space, no colon (RFC 9110, 5.6.2). Values and the
// first line have no control characters except tabs.
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9a-z]+):([\t\x20-\x7e\x80-\xff]*)$/i;
const FIRST_LINE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Skips the line ends before each block. */
function afterLineEnds(decoder: Decoder<Bytes>): Decoder<Bytes> {
  return {
    maxFrameLength: decoder.maxFrameLength,
    decode(input, ended) {
      let start = 0;
      while (input.byteAt(start) === CR && input.byteAt(start + 1) === LF) {
        start += 2;
      }
      if (start > 0) input.skip(start);
      else return decoder.decode(input, ended);
    },
  };
}

function decode(block: Bytes, maxLines: number): HeaderLines {
  let text = "";
  for (const byte of block) text += String.fromCharCode(byte);
  const [first = "", ...others] = text.split("\r\n");
  if (!FIRST_LINE.test(first)) throw malformed(WHAT, undefined, refused(first));
  if (others.length > maxLines) {
    throw new FramingError(
      `Cannot decode ${WHAT}: ${others.length} after the first, more than maxLines of ${maxLines}`,
      { code: "too-long" },
    );
  }
  const headers = new Headers();
  for (const line of others) {
    const [, name, value = ""] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) throw malformed(WHAT, undefined, refused(line));
    headers.append(name, value);
  }
  return { first, headers };
}

function encode(
  { first, headers }: HeaderLines,
  maxLines: number,
): Uint8Array {
  checkParts(first, headers);
  const others = Array.from(headers, ([name, value]) => `${name}: ${value}`);
  if (others.length > maxLines) {
    throw new RangeError(
      `Cannot encode ${WHAT}: ${others.length} after the first, more than maxLines of ${maxLines}`,
    );
  }
  // `Headers` accepts more than header lines may contain.
  const wrong = first !== "" && FIRST_LINE.test(first)
    ? others.find((line) => !HEADER_LINE.test(line))
    : first;
  if (wrong !== undefined) {
    throw new TypeError(`Cannot encode ${WHAT}: ${refused(wrong)}`);
  }
  const text = [first, ...others].join("\r\n");
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Throws if the parts have other types: they would be sent as other lines, or as none. */
function checkParts(first: unknown, headers: unknown): void {
  if (typeof first !== "string") {
    throw new TypeError(
      `Cannot encode ${WHAT} as first must be a string: current value is of type ${typeof first}`,
    );
  }
  // Not `instanceof`: another realm has its own `Headers`.
  const isIterable = typeof headers === "object" && headers !== null &&
    Symbol.iterator in headers;
  if (isIterable) return;
  throw new TypeError(
    `Cannot encode ${WHAT} as headers must be Headers: current value is of type ${typeof headers}`,
  );
}

function refused(line: string): string {
  return `the line ${quoted(line, 80)} is malformed`;
}
