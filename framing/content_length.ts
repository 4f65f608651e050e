import { quoted } from "../internal/shown.ts";
import { BytesDecoder } from "./_decoders.ts";
import {
  type FrameLayout,
  type HeaderState,
  LengthFrames,
  PARTIAL,
  WHOLE,
  WRONG,
} from "./_length_frames.ts";
import {
  checkInteger,
  checkLimits,
  checkSendLength,
  malformed,
  tooLong,
} from "./_limits.ts";
import { toBytes } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Encoder, Framing } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * Options for {@linkcode contentLength}.
 *
 * @example A small limit on headers
 * ```ts
 * import {
 *   ChunkDecoder,
 *   contentLength,
 *   type ContentLengthOptions,
 *   FramingError,
 * } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const options: ContentLengthOptions = { maxHeaderLength: 64 };
 * const decoder = new ChunkDecoder(contentLength(options));
 * const { code } = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("x".repeat(100))),
 *   FramingError,
 * );
 * assertEquals(code, "too-long");
 * ```
 */
export interface ContentLengthOptions extends LimitOptions {
  /**
   * The most bytes in the header lines of a message, the blank line not counted.
   *
   * @default {8192}
   */
  maxHeaderLength?: number | undefined;
}

/**
 * Frames messages with header lines, in which `Content-Length` says how many bytes follow
 * the blank line: the Language Server Protocol, the Debug Adapter Protocol.
 *
 * A message is the bytes after the header. Other header lines are allowed, and skipped;
 * to read them, see {@linkcode headerLines}. Names match in any case. A header without a
 * length, with two different lengths, or with a line that is not a header line, is
 * malformed.
 *
 * `maxLength` counts the bytes of a message without its header, and is checked as soon as
 * the header has arrived.
 *
 * @param options Limits that hold in both directions.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `oversize` is not listed, or `onDiscard` is given without
 * `oversize: "discard"`.
 * @throws {RangeError} If a limit is not a whole number of at least 1.
 *
 * @example A message of the Language Server Protocol
 * ```ts
 * import { asJson, ChunkDecoder, ChunkEncoder, contentLength } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = asJson(contentLength());
 * const frame = new ChunkEncoder(framing).encode({ id: "é" });
 *
 * assertEquals(
 *   new TextDecoder().decode(frame),
 *   'Content-Length: 11\r\n\r\n{"id":"é"}',
 * );
 * assertEquals(new ChunkDecoder(framing).decode(frame), [{ id: "é" }]);
 * ```
 */
export function contentLength(
  options: ContentLengthOptions = {},
): Framing<Bytes, Sendable> {
  const { maxHeaderLength = DEFAULT_MAX_HEADER_BYTES } = options;
  const limits = checkLimits("contentLength", options);
  checkInteger("contentLength", "maxHeaderLength", maxHeaderLength, 1);
  const encoder: Encoder<Sendable> = {
    encode(message, output) {
      const bytes = toBytes(message);
      checkSendLength(bytes.length, limits.maxLength);
      const header = `Content-Length: ${bytes.length}`;
      if (header.length > maxHeaderLength) {
        throw new RangeError(
          `Cannot encode message of ${bytes.length} bytes: its header is longer than maxHeaderLength of ${maxHeaderLength} bytes`,
        );
      }
      output.writeText(`${header}\r\n\r\n`);
      output.writeBytes(bytes);
    },
  };
  return {
    decoder: () =>
      new BytesDecoder(
        new LengthFrames(new ContentLengthLayout(maxHeaderLength), limits),
      ),
    encoder: () => encoder,
  };
}

const DEFAULT_MAX_HEADER_BYTES = 8192;
const BLANK_LINE = new TextEncoder().encode("\r\n\r\n");
// The names that HTTP allows: no white space, no colon (RFC 9110, 5.6.2).
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9a-z]+):([^\r\n]*)$/i;
// No byte matches two parts, so a hostile line takes linear time.
const LENGTH = /^[ \t]*([0-9]+)[ \t]*$/;

class ContentLengthLayout implements FrameLayout {
  readonly what = "message with Content-Length";
  readonly lastByte = -1;
  readonly maxHeaderLength: number;
  readonly problem = undefined;
  frameLength = 0;
  messageStart = 0;
  messageEnd = 0;

  constructor(maxHeaderLength: number) {
    this.maxHeaderLength = maxHeaderLength;
  }

  read(): HeaderState {
    // Not here: the input remembers how far it has looked for the blank line.
    return PARTIAL;
  }

  readInput(input: ByteInput, from: number): HeaderState {
    const { what, maxHeaderLength } = this;
    const offset = input.offset + from;
    const end = input.indexOf(BLANK_LINE, from);
    // A part of the blank line may have arrived already.
    const length = (end === -1 ? input.length - 3 : end) - from;
    if (length > maxHeaderLength) {
      throw tooLong(`header of ${what}`, offset, maxHeaderLength);
    }
    if (end === -1) return PARTIAL;
    const contentLength = this.#parse(input.textAt(from, end), offset);
    if (contentLength > Number.MAX_SAFE_INTEGER) return WRONG; // too long to count
    this.messageStart = length + BLANK_LINE.length;
    this.messageEnd = this.frameLength = this.messageStart + contentLength;
    return WHOLE;
  }

  /** The length that the header at `offset` in the stream says. */
  #parse(header: string, offset: number): number {
    let found: number | undefined;
    for (const line of header.split("\r\n")) {
      const [, name, value = ""] = HEADER_LINE.exec(line) ?? [];
      if (name === undefined) {
        const shown = quoted(line, 40);
        throw malformed(this.what, offset, `its header has the line ${shown}`);
      }
      if (name.toLowerCase() !== "content-length") continue;
      const length = Number(LENGTH.exec(value)?.[1]);
      if (Number.isNaN(length) || (found !== undefined && found !== length)) {
        const shown = quoted(value.trim(), 40);
        throw malformed(this.what, offset, `its length is ${shown}`);
      }
      found = length;
    }
    if (found === undefined) {
      throw malformed(this.what, offset, "its header has no Content-Length");
    }
    return found;
  }
}
