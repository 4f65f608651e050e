/**
 * Where messages begin and end in a stream of bytes.
 *
 * TCP carries bytes, not messages: ten writes can arrive as one read, and one
 * write as ten. A {@linkcode Framing} says how messages lie in those bytes. Pick
 * the one that your protocol uses, and give it to a connection, a server, a
 * client or a stream.
 *
 * To write your own, see {@linkcode Framing}, {@linkcode ByteInput} and
 * {@linkcode ByteOutput}. To read the fields of a message, see
 * {@linkcode FieldReader} and {@linkcode textFields}, or
 * {@linkcode orMalformed} if a library reads them. To use a framing without a
 * connection, see {@linkcode ChunkDecoder}, {@linkcode ChunkEncoder} and
 * {@linkcode FrameDecoderStream}.
 *
 * Nothing here does I/O, so all of it also runs in Node, Bun and browsers.
 *
 * @example The same messages from any chunks of the same bytes
 * ```ts
 * import { ChunkDecoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(lines());
 * const encoder = new TextEncoder();
 *
 * assertEquals(decoder.decode(encoder.encode("on")), []);
 * assertEquals(decoder.decode(encoder.encode("e\ntwo\nth")), ["one", "two"]);
 * assertEquals(decoder.end(), ["th"]);
 * ```
 *
 * @module
 */
export type { Bytes, Sendable, SendableFor } from "./framing/bytes.ts";
export type { Decoder, Encoder, Framing } from "./framing/framing.ts";
export type { ByteInput } from "./framing/byte_input.ts";
export type { ByteOutput } from "./framing/byte_output.ts";
export { FieldReader } from "./framing/field_reader.ts";
export { textFields } from "./framing/text_fields.ts";
export { orMalformed } from "./framing/or_malformed.ts";
export { InputBuffer } from "./framing/input_buffer.ts";
export { OutputBuffer, type OutputSegment } from "./framing/output_buffer.ts";
export {
  FramingError,
  type FramingErrorCode,
  type FramingErrorOptions,
} from "./framing/framing_error.ts";
export type { LimitOptions } from "./framing/limits.ts";
export type { MalformedOptions } from "./framing/malformed.ts";
export {
  delimited,
  type DelimitedOptions,
  type Delimiter,
  type TrailingOptions,
} from "./framing/delimited.ts";
export { lines, type LinesOptions } from "./framing/lines.ts";
export {
  type FieldSize,
  lengthPrefixed,
  type LengthPrefixedOptions,
} from "./framing/length_prefixed.ts";
export { fixedLength } from "./framing/fixed_length.ts";
export {
  contentLength,
  type ContentLengthOptions,
} from "./framing/content_length.ts";
export {
  type HeaderLines,
  headerLines,
  type HeaderLinesOptions,
} from "./framing/header_lines.ts";
export { jsonSequence } from "./framing/json_sequence.ts";
export { netstrings } from "./framing/netstrings.ts";
export { unframed } from "./framing/unframed.ts";
export { byFirstByte } from "./framing/by_first_byte.ts";
export { sequence } from "./framing/sequence.ts";
export {
  headed,
  type HeadedMessage,
  type HeadedOptions,
} from "./framing/headed.ts";
export { dotStuffed } from "./framing/dot_stuffed.ts";
export { grouped, type GroupedOptions } from "./framing/grouped.ts";
export { assembled, type Assembler } from "./framing/assembled.ts";
export { mapped, type Mapping } from "./framing/mapped.ts";
export { asText, type AsTextOptions } from "./framing/as_text.ts";
export { asJson } from "./framing/as_json.ts";
export { Batch, takeBatch } from "./framing/batch.ts";
export { ChunkDecoder, ChunkEncoder } from "./framing/chunk_decoder.ts";
export { FrameDecoderStream, FrameEncoderStream } from "./framing/streams.ts";
export {
  DelimiterStream,
  type DelimiterStreamOptions,
} from "./framing/delimiter_stream.ts";
