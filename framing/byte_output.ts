/**
 * The output to which an {@linkcode Encoder} writes a message as one frame.
 *
 * @example A netstring: length, colon, message, comma
 * ```ts
 * import { ChunkEncoder, type Encoder } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const encoder: Encoder<Uint8Array> = {
 *   encode(message, output) {
 *     output.writeText(`${message.length}:`);
 *     output.writeBytes(message);
 *     output.writeText(",");
 *   },
 * };
 *
 * const frames = new ChunkEncoder({ encoder: () => encoder });
 * assertEquals(
 *   frames.encode(new Uint8Array([0x68, 0x69])),
 *   new TextEncoder().encode("2:hi,"),
 * );
 * ```
 *
 * @example A length that is known last
 * ```ts
 * import { ChunkEncoder, type Encoder } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const encoder: Encoder<string[]> = {
 *   encode(words, output) {
 *     const field = output.reserve(2);
 *     for (const word of words) output.writeText(`${word};`);
 *     output.setUint(field, output.length - 2, 2);
 *   },
 * };
 *
 * const frames = new ChunkEncoder({ encoder: () => encoder });
 * assertEquals(
 *   frames.encode(["a", "é"]),
 *   new Uint8Array([0, 5, 0x61, 0x3b, 0xc3, 0xa9, 0x3b]),
 * );
 * ```
 */
export interface ByteOutput {
  /** How many bytes of this frame have been written. */
  readonly length: number;
  /**
   * Writes one byte.
   *
   * @param byte The byte; only the lowest 8 bits of a larger number are written.
   */
  writeByte(byte: number): void;
  /**
   * Writes bytes. They are copied.
   *
   * @param bytes The bytes.
   * @throws {TypeError} If they are not a `Uint8Array`.
   */
  writeBytes(bytes: Uint8Array): void;
  /**
   * Writes text as UTF-8. A lone surrogate is written as U+FFFD.
   *
   * @param text The text.
   * @throws {TypeError} If it is not a string.
   */
  writeText(text: string): void;
  /**
   * Writes an unsigned integer.
   *
   * @param value The number.
   * @param size Its size in bytes, from 1 to 8.
   * @param littleEndian Whether its lowest byte comes first; by default the highest.
   * @throws {RangeError} If the number is not a safe integer that fits.
   */
  writeUint(value: number, size: number, littleEndian?: boolean): void;
  /**
   * Finds a byte in the part of this frame written so far, such as a delimiter that a
   * message must not contain.
   *
   * @param byte The byte.
   * @param from Where to begin; a negative number counts from the end, as in an array.
   * @returns Its first position in the frame, or -1 if there is none.
   */
  indexOf(byte: number, from?: number): number;
  /**
   * Reserves a field to fill in later; it holds zeros until then.
   *
   * @param size Its size in bytes.
   * @returns Where in the frame it begins, for {@linkcode ByteOutput.setUint}.
   * @throws {RangeError} If `size` is not a whole number of at least 0.
   */
  reserve(size: number): number;
  /**
   * Fills in an unsigned integer in bytes that are already written.
   *
   * @param position Where in the frame it begins.
   * @param value The number.
   * @param size Its size in bytes, from 1 to 8.
   * @param littleEndian Whether its lowest byte comes first; by default the highest.
   * @throws {RangeError} If the number is not a safe integer that fits, or the position
   * has not been written.
   */
  setUint(
    position: number,
    value: number,
    size: number,
    littleEndian?: boolean,
  ): void;
}
