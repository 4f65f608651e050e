import { isBytes } from "../internal/realms.ts";
import { shownValue } from "../internal/shown.ts";
import { malformed } from "./_limits.ts";
import { checkUintSize, readUint } from "./_uint.ts";
import { decodeText } from "./_utf8.ts";
import type { Bytes } from "./bytes.ts";

/**
 * Reads the fields of one message, one after another.
 *
 * A message that ends within a field, or lacks one, is the peer's mistake: reading
 * further throws a {@linkcode FramingError} of code `"malformed"`. So a function that
 * reads a message needs no checks of its own, within {@linkcode mapped} or after
 * receiving.
 *
 * @example A topic with its length, a number, and the rest: an MQTT message
 * ```ts
 * import { ChunkDecoder, FieldReader, FramingError, lengthPrefixed, mapped } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const framing = mapped(lengthPrefixed({ fieldSize: 1 }), {
 *   decode(message) {
 *     const fields = new FieldReader(message);
 *     const topic = fields.takeText(fields.takeUint(2));
 *     return { topic, id: fields.takeUint(2), payload: fields.takeText() };
 *   },
 *   encode: (bytes: Uint8Array) => bytes,
 * });
 *
 * const decoder = new ChunkDecoder(framing);
 * assertEquals(decoder.decode(new TextEncoder().encode("\x09\0\x03a/b\0\x07hi")), [
 *   { topic: "a/b", id: 7, payload: "hi" },
 * ]);
 * const { code } = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("\x04\0\x03a/")),
 *   FramingError,
 * );
 * assertEquals(code, "malformed");
 * ```
 */
export class FieldReader {
  readonly #message: Bytes;
  #at = 0;

  /**
   * Reads from the front of a message.
   *
   * @param message The message. Bytes that are read from it are views.
   * @throws {TypeError} If it is not bytes.
   */
  constructor(message: Bytes) {
    if (!isBytes(message)) {
      throw new TypeError(
        `Cannot read fields of message as it must be a Uint8Array: current value is of type ${typeof message}`,
      );
    }
    this.#message = message;
  }

  /** How many bytes are left. */
  get length(): number {
    return this.#message.length - this.#at;
  }

  /**
   * Takes an unsigned integer.
   *
   * @param size Its size in bytes, from 1 to 8.
   * @param littleEndian Whether its lowest byte comes first; by default the highest.
   * @returns The number, exact up to `Number.MAX_SAFE_INTEGER`.
   * @throws {FramingError} If the message ends before.
   * @throws {RangeError} If `size` is not one of these.
   */
  takeUint(size: number, littleEndian = false): number {
    checkUintSize(size);
    return readUint(this.#message, this.#pass(size), size, littleEndian);
  }

  /**
   * Takes several unsigned integers, the highest byte of each first.
   *
   * @param sizes The size of each in bytes, from 1 to 8.
   * @returns The numbers, exact up to `Number.MAX_SAFE_INTEGER`.
   * @throws {FramingError} If the message ends before.
   * @throws {RangeError} If a size is not one of these.
   *
   * @example The header of a DNS answer
   * ```ts
   * import { FieldReader } from "@framed/tcp/framing";
   * import { assertEquals } from "@std/assert";
   *
   * const fields = new FieldReader(Uint8Array.of(0, 7, 0x81, 0x80, 0, 1, 0, 2));
   * const [id, flags, questions, answers] = fields.takeUints(2, 2, 2, 2);
   * assertEquals([id, flags, questions, answers], [7, 0x8180, 1, 2]);
   * ```
   */
  takeUints<Sizes extends number[]>(
    ...sizes: Sizes
  ): { [Index in keyof Sizes]: number };
  takeUints(...sizes: number[]): number[] {
    sizes.forEach(checkUintSize);
    let at = this.#pass(sizes.reduce((sum, size) => sum + size, 0));
    return sizes.map((size) => {
      const value = readUint(this.#message, at, size, false);
      at += size;
      return value;
    });
  }

  /**
   * Takes bytes.
   *
   * @param length How many; by default all that are left.
   * @returns The bytes.
   * @throws {FramingError} If the message ends before.
   */
  take(length: number = this.length): Bytes {
    const start = this.#pass(length);
    return this.#message.subarray(start, start + length);
  }

  /**
   * Takes UTF-8 text. Bytes that are not UTF-8 are read as U+FFFD.
   *
   * @param length How many bytes; by default all that are left.
   * @returns The text.
   * @throws {FramingError} If the message ends before.
   */
  takeText(length: number = this.length): string {
    return decodeText(this.take(length));
  }

  /**
   * Takes UTF-8 text up to and including a byte that ends it.
   *
   * @param end The byte; by default 0.
   * @returns The text, without the byte.
   * @throws {FramingError} If the byte does not come.
   * @throws {RangeError} If `end` is not a byte.
   */
  takeTextUntil(end = 0): string {
    if (!(Number.isInteger(end) && end >= 0 && end <= 0xff)) {
      throw new RangeError(
        `Cannot take text as end must be a byte, from 0 to 255: current value is ${
          shownValue(end)
        }`,
      );
    }
    const found = this.#message.indexOf(end, this.#at);
    if (found === -1) {
      const reason = `byte ${end} does not come after byte ${this.#at}`;
      throw malformed(WHAT, undefined, reason);
    }
    const text = this.takeText(found - this.#at);
    this.#at++;
    return text;
  }

  /**
   * Passes over bytes.
   *
   * @param length How many.
   * @throws {FramingError} If the message ends before.
   */
  skip(length: number): void {
    this.#pass(length);
  }

  /** Skips `length` bytes; returns where they begin. */
  #pass(length: number): number {
    const start = this.#at;
    if (!(Number.isInteger(length) && length >= 0 && length <= this.length)) {
      const reason =
        `it has ${this.#message.length} bytes, and ${length} are needed from byte ${start}`;
      throw malformed(WHAT, undefined, reason);
    }
    this.#at += length;
    return start;
  }
}

const WHAT = "field of message";
