import type { Bytes } from "./bytes.ts";

/**
 * The bytes that a {@linkcode Decoder} takes messages from.
 *
 * They are the part of one stream that was received but not taken yet. These methods look
 * at bytes without taking them: {@linkcode ByteInput.byteAt},
 * {@linkcode ByteInput.uintAt}, {@linkcode ByteInput.bytesAt},
 * {@linkcode ByteInput.textAt} and {@linkcode ByteInput.indexOf}.
 * {@linkcode ByteInput.take}, {@linkcode ByteInput.takeText} and
 * {@linkcode ByteInput.skip} take bytes from the front. Indexes count from the front, in
 * bytes.
 *
 * @example The fixed header of MQTT: a type, then the length as a varint
 * ```ts
 * import {
 *   type ByteInput,
 *   type Bytes,
 *   ChunkDecoder,
 *   type Decoder,
 *   FramingError,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * interface Packet {
 *   type: number;
 *   body: Bytes;
 * }
 *
 * const decoder: Decoder<Packet> = {
 *   decode(input: ByteInput) {
 *     let length = 0;
 *     for (let index = 1; index <= 4; index++) {
 *       const byte = input.byteAt(index);
 *       if (byte === undefined) return undefined;
 *       length += (byte & 0x7f) * 128 ** (index - 1);
 *       if (byte >= 0x80) continue;
 *       const end = index + 1 + length;
 *       if (input.length < end) return input.need(end);
 *       const type = (input.byteAt(0) ?? 0) >> 4;
 *       input.skip(index + 1);
 *       return { type, body: input.take(length) };
 *     }
 *     throw new FramingError("Cannot decode packet: its length has no end", {
 *       code: "malformed",
 *       offset: input.offset,
 *     });
 *   },
 * };
 *
 * const packets = new ChunkDecoder({ decoder: () => decoder });
 * assertEquals(packets.decode(new Uint8Array([0xc0, 0, 0x30, 2, 7])), [
 *   { type: 12, body: new Uint8Array() },
 * ]);
 * assertEquals(packets.decode(new Uint8Array([8])), [
 *   { type: 3, body: new Uint8Array([7, 8]) },
 * ]);
 * ```
 *
 * @example A memcached reply: a line, then as many bytes as it says
 * ```ts
 * import { ChunkDecoder, type Decoder, textFields } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const CRLF = new TextEncoder().encode("\r\n");
 * const LINE = /^(?:END|VALUE (\S+) \d+ (\d{1,6}))$/;
 *
 * const decoder: Decoder<string> = {
 *   decode(input) {
 *     const lineEnd = input.indexOf(CRLF);
 *     if (lineEnd === -1) return undefined;
 *     const [key, length] = textFields(input.textAt(0, lineEnd), LINE);
 *     const start = lineEnd + 2;
 *     const end = key === undefined ? start : start + Number(length) + 2;
 *     if (input.length < end) return input.need(end);
 *     const value = key === undefined ? "END" : `${key}=${input.textAt(start, end - 2)}`;
 *     input.skip(end);
 *     return value;
 *   },
 * };
 *
 * const replies = new ChunkDecoder({ decoder: () => decoder });
 * const bytes = new TextEncoder().encode("VALUE a 0 3\r\nx\ny\r\nEND\r\n");
 * assertEquals(replies.decode(bytes), ["a=x\ny", "END"]);
 * ```
 */
export interface ByteInput {
  /** How many bytes there are. */
  readonly length: number;
  /**
   * How many bytes of the stream were taken before: the offset of the front in the
   * stream.
   */
  readonly offset: number;
  /**
   * Looks at one byte.
   *
   * @param index Its index.
   * @returns The byte, or `undefined` if it has not arrived.
   */
  byteAt(index: number): number | undefined;
  /**
   * Looks at an unsigned integer.
   *
   * @param index Where it begins.
   * @param size Its size in bytes, from 1 to 8.
   * @param littleEndian Whether its lowest byte comes first; by default the highest.
   * @returns The number, exact up to `Number.MAX_SAFE_INTEGER`, or `undefined` if not all
   * of it has arrived.
   * @throws {RangeError} If `size` is not one of these.
   */
  uintAt(
    index: number,
    size: number,
    littleEndian?: boolean,
  ): number | undefined;
  /**
   * Looks at some bytes. They are not copied, and stay in the input: do not write to them.
   *
   * @param start Where they begin.
   * @param end Where they end.
   * @returns The bytes, which are the caller's for good.
   * @throws {RangeError} If they have not all arrived.
   */
  bytesAt(start: number, end: number): Bytes;
  /**
   * Looks at UTF-8 text. Bytes that are not UTF-8 are read as U+FFFD; a byte order
   * mark is kept.
   *
   * @param start Where it begins.
   * @param end Where it ends.
   * @returns The text.
   * @throws {RangeError} If it has not all arrived.
   */
  textAt(start: number, end: number): string;
  /**
   * Finds a byte, or several in a row. A later call for the same byte, or for equal
   * bytes, continues where the last one stopped, so searching after each read takes
   * linear time.
   *
   * @param sought The byte, or the bytes; these must not change later.
   * @param from Where to begin.
   * @returns The index of the first match, or -1 if there is none.
   */
  indexOf(sought: number | Uint8Array, from?: number): number;
  /**
   * Takes bytes from the front.
   *
   * @param length How many.
   * @returns The bytes, which are the caller's for good.
   * @throws {RangeError} If there are not that many.
   */
  take(length: number): Bytes;
  /**
   * Takes UTF-8 text from the front, read as by {@linkcode ByteInput.textAt}.
   *
   * @param length How many bytes.
   * @returns The text.
   * @throws {RangeError} If there are not that many.
   */
  takeText(length: number): string;
  /**
   * Skips bytes at the front.
   *
   * @param length How many.
   * @throws {RangeError} If there are not that many.
   */
  skip(length: number): void;
  /**
   * Says that the next message needs `length` bytes, counted from the front. The decoder
   * is not called again until they have arrived, or the stream has ended. If that is more
   * than {@linkcode Decoder.maxFrameLength}, the stream ends with a
   * {@linkcode FramingError} of code `"too-long"`.
   *
   * @param length How many.
   * @returns `undefined`, for the decoder to return.
   * @throws {RangeError} If it is `NaN`.
   */
  need(length: number): undefined;
}
