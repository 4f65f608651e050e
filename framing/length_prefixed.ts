import { type FrameLayout, LengthParser } from "./_length_parser.ts";
import {
  checkChoice,
  checkInteger,
  checkLimits,
  checkSendLength,
  type Limits,
  malformed,
  tooLong,
} from "./_limits.ts";
import { parserDecoder } from "./_parser.ts";
import { toBytes, writeBytes } from "./_utf8.ts";
import type { Bytes, Decoder, Framing, Sendable } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * The size of a length field in bytes, or `"varint"` for unsigned LEB128.
 *
 * @example The same message behind fields of each size
 * ```ts
 * import { type FieldSize, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes: FieldSize[] = [1, 2, 3, 4, 6, 8, "varint"];
 * const lengths = sizes.map((fieldSize) =>
 *   lengthPrefixed({ fieldSize }).encode("hi").length
 * );
 * assertEquals(lengths, [3, 4, 5, 6, 8, 10, 3]);
 * ```
 */
export type FieldSize = 1 | 2 | 3 | 4 | 6 | 8 | "varint";

/**
 * Options for {@linkcode lengthPrefixed}.
 *
 * @example A header with a kind before the length
 * ```ts
 * import {
 *   lengthPrefixed,
 *   type LengthPrefixedOptions,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * // One byte of kind, two of length, the lowest first; then the body.
 * const header: LengthPrefixedOptions = {
 *   fieldOffset: 1,
 *   fieldSize: 2,
 *   littleEndian: true,
 *   strip: 0, // a message is the whole frame, as its kind is needed
 * };
 * const frame = new Uint8Array([42, 2, 0, 0x68, 0x69]);
 *
 * assertEquals(lengthPrefixed(header).decoder().decode(frame), [frame]);
 * ```
 */
export interface LengthPrefixedOptions extends LimitOptions {
  /**
   * The size of the length field in bytes, or `"varint"` for one of 1 to 10
   * bytes with seven bits in each, the lowest first (unsigned LEB128, as in
   * Protocol Buffers).
   *
   * @default {4}
   */
  fieldSize?: FieldSize | undefined;
  /**
   * Whether the lowest byte of the field comes first. Refused with `"varint"`,
   * which has an order of its own.
   *
   * @default {false}
   */
  littleEndian?: boolean | undefined;
  /**
   * How many bytes of the frame stand before the field.
   *
   * @default {0}
   */
  fieldOffset?: number | undefined;
  /**
   * What is added to the field's value to get the number of bytes behind the
   * field. Negative where the field counts more than these, such as itself.
   *
   * @default {0}
   */
  adjustment?: number | undefined;
  /**
   * How many bytes are dropped from the front of each frame. By default all up
   * to the end of the field; with 0 a message is the whole frame.
   */
  strip?: number | undefined;
}

/**
 * Frames messages by their length, in a field before each.
 *
 * `maxLength` counts the bytes of a message as received, after `strip`, and is
 * checked as soon as the field is there, before anything is stored.
 *
 * To send, with the default `strip` and `fieldOffset` 0 the field is written
 * before the message. With `strip: 0` the message is a whole frame, of which the
 * field is filled in. Where header bytes are dropped that cannot be known, such
 * as those before the field, sending throws.
 *
 * @param options The shape of the header, and limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If an option has a value that is not listed, `littleEndian`
 * is given with `"varint"`, or `onDiscard` without `oversize: "discard"`.
 * @throws {RangeError} If a number is not whole or out of range.
 *
 * @example A plain prefix of four bytes
 * ```ts
 * import { lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed();
 * const frame = new Uint8Array([0, 0, 0, 2, 0x68, 0x69]);
 *
 * assertEquals(framing.encode("hi"), frame);
 * assertEquals(framing.decoder().decode(frame), [new Uint8Array([0x68, 0x69])]);
 * ```
 *
 * @example A length that counts itself
 * ```ts
 * import { lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: 2, adjustment: -2 });
 *
 * assertEquals(framing.encode("hi"), new Uint8Array([0, 4, 0x68, 0x69]));
 * ```
 *
 * @example The header of Modbus TCP, kept with the message
 * ```ts
 * import { lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * // Transaction, protocol, length of what follows, unit; then the request.
 * const framing = lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0 });
 * const frame = new Uint8Array([0, 1, 0, 0, 0, 6, 17, 3, 0, 107, 0, 3]);
 *
 * assertEquals(framing.decoder().decode(frame), [frame]);
 * assertEquals(framing.encode(frame.with(5, 0)), frame);
 * ```
 *
 * @example A varint
 * ```ts
 * import { lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: "varint" });
 *
 * assertEquals(framing.encode("hi"), new Uint8Array([2, 0x68, 0x69]));
 * assertEquals(
 *   framing.encode("x".repeat(300)).subarray(0, 2),
 *   new Uint8Array([0xac, 2]),
 * );
 * ```
 */
export function lengthPrefixed(
  options: LengthPrefixedOptions = {},
): Framing<Bytes, Sendable> {
  const {
    fieldSize = 4,
    littleEndian = false,
    fieldOffset = 0,
    adjustment = 0,
    strip,
  } = options;
  const name = "lengthPrefixed";
  checkChoice(name, "fieldSize", fieldSize, [1, 2, 3, 4, 6, 8, "varint"]);
  checkChoice(name, "littleEndian", littleEndian, [true, false]);
  if (littleEndian && fieldSize === "varint") {
    throw new TypeError(
      "Cannot make lengthPrefixed framing as a varint has its own byte order, so littleEndian must not be true",
    );
  }
  checkInteger(name, "fieldOffset", fieldOffset, 0);
  checkInteger(name, "adjustment", adjustment);
  if (strip !== undefined) checkInteger(name, "strip", strip, 0);
  const limits = checkLimits(name, options);
  const field = fieldSize === "varint"
    ? new VarintField()
    : new FixedField(fieldSize, littleEndian);
  return new LengthPrefixedFraming(
    { field, fieldOffset, adjustment, strip },
    limits,
  );
}

const MAX_VARINT_LENGTH = 10;

interface Header {
  readonly field: LengthField;
  readonly fieldOffset: number;
  readonly adjustment: number;
  readonly strip: number | undefined;
}

/** A number of some bytes. What was read is left in `value` and `size`. */
interface LengthField {
  readonly maxSize: number;
  /** The number read, exact up to `Number.MAX_SAFE_INTEGER`. */
  readonly value: number;
  /** Its size in bytes; more than `maxSize` if it does not end. */
  readonly size: number;
  /** Reads a number at `start`; returns whether it is whole. */
  read(bytes: Uint8Array, start: number): boolean;
  /** The fewest bytes that hold `value`; more than `maxSize` if none do. */
  sizeOf(value: number): number;
  /** Writes `value` at `start`, in `size` bytes. */
  write(bytes: Uint8Array, start: number, size: number, value: number): void;
}

class FixedField implements LengthField {
  readonly maxSize: number;
  readonly size: number;
  readonly #littleEndian: boolean;
  value = 0;

  constructor(size: number, littleEndian: boolean) {
    this.maxSize = size;
    this.size = size;
    this.#littleEndian = littleEndian;
  }

  read(bytes: Uint8Array, start: number): boolean {
    const { size } = this;
    const last = start + size - 1;
    if (last >= bytes.length) return false;
    // Multiplied, not shifted, as a shift keeps 32 bits only.
    let value = 0;
    for (let i = 0; i < size; i++) {
      value = value * 256 + bytes[this.#littleEndian ? last - i : start + i]!; // up to `last`
    }
    this.value = value;
    return true;
  }

  sizeOf(value: number): number {
    return value < 256 ** this.size ? this.size : this.size + 1;
  }

  write(bytes: Uint8Array, start: number, size: number, value: number): void {
    let rest = value;
    for (let i = 0; i < size; i++) {
      bytes[this.#littleEndian ? start + i : start + size - 1 - i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
}

class VarintField implements LengthField {
  readonly maxSize = MAX_VARINT_LENGTH;
  value = 0;
  size = 0;

  read(bytes: Uint8Array, start: number): boolean {
    this.value = 0;
    let factor = 1;
    for (let i = 0; i < MAX_VARINT_LENGTH; i++) {
      const byte = bytes[start + i];
      if (byte === undefined) return false;
      this.value += (byte & 0x7f) * factor;
      this.size = i + 1;
      if (byte < 0x80) return true;
      factor *= 128;
    }
    this.size = MAX_VARINT_LENGTH + 1;
    return true;
  }

  sizeOf(value: number): number {
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    return size;
  }

  write(bytes: Uint8Array, start: number, size: number, value: number): void {
    let rest = value;
    for (let i = 0; i < size; i++) {
      const isLast = i === size - 1;
      bytes[start + i] = rest % 128 + (isLast ? 0 : 128);
      rest = Math.floor(rest / 128);
    }
  }
}

class LengthPrefixedLayout implements FrameLayout {
  readonly what = "length-prefixed message";
  readonly lastByte = -1;
  readonly maxHeaderLength: number;
  readonly #header: Header;
  readonly #limit: number;
  frameLength = 0;
  messageStart = 0;

  constructor(header: Header, maxLength: number) {
    this.#header = header;
    this.#limit = Math.min(maxLength, Number.MAX_SAFE_INTEGER);
    this.maxHeaderLength = header.fieldOffset + header.field.maxSize;
  }

  get messageEnd(): number {
    return this.frameLength;
  }

  read(bytes: Bytes, start: number, offset: number): boolean {
    const { field, fieldOffset, adjustment, strip } = this.#header;
    if (!field.read(bytes, start + fieldOffset)) return false;
    if (field.size > field.maxSize) {
      throw malformed(
        this.what,
        offset,
        `its length field has more than ${field.maxSize} bytes`,
      );
    }
    const headerLength = fieldOffset + field.size;
    // In this order, so that nothing in between is rounded.
    const frameLength = headerLength + (field.value + adjustment);
    if (Math.max(field.value, frameLength) > Number.MAX_SAFE_INTEGER) {
      throw tooLong(this.what, offset, this.#limit);
    }
    const messageStart = strip ?? headerLength;
    if (frameLength < headerLength || frameLength < messageStart) {
      throw malformed(
        this.what,
        offset,
        `its length field says ${field.value}, so the frame has ${frameLength} bytes, but the least is ${
          Math.max(headerLength, messageStart)
        }`,
      );
    }
    this.frameLength = frameLength;
    this.messageStart = messageStart;
    return true;
  }
}

class LengthPrefixedFraming implements Framing<Bytes, Sendable> {
  readonly #header: Header;
  readonly #limits: Limits;
  readonly #writesField: boolean;

  constructor(header: Header, limits: Limits) {
    const { field, fieldOffset, strip } = header;
    this.#header = header;
    this.#limits = limits;
    const hasDefaultStrip = strip === undefined ||
      (field instanceof FixedField && strip === fieldOffset + field.size);
    this.#writesField = fieldOffset === 0 && hasDefaultStrip;
  }

  decoder(): Decoder<Bytes> {
    return parserDecoder(
      new LengthParser(
        new LengthPrefixedLayout(this.#header, this.#limits.maxLength),
        this.#limits,
      ),
    );
  }

  encode(message: Sendable): Uint8Array {
    const bytes = toBytes(message);
    checkSendLength(bytes.length, this.#limits.maxLength);
    if (this.#writesField) return this.#withField(bytes);
    if (this.#header.strip === 0) return this.#filledIn(bytes);
    const { fieldOffset, strip = "the default" } = this.#header;
    throw new TypeError(
      `Cannot encode message of ${bytes.length} bytes: its header is not known with fieldOffset ${fieldOffset} and strip ${strip}`,
    );
  }

  encodeInto(message: Sendable, target: Uint8Array, offset: number): number {
    if (!this.#writesField) return -1;
    if (typeof message === "string") {
      return this.#textInto(message, target, offset);
    }
    const bytes = toBytes(message);
    checkSendLength(bytes.length, this.#limits.maxLength);
    const { value, size } = this.#fieldFor(bytes.length);
    const length = size + bytes.length;
    if (offset + length > target.length) return -1;
    this.#header.field.write(target, offset, size, value);
    target.set(bytes, offset + size);
    return length;
  }

  #textInto(text: string, target: Uint8Array, offset: number): number {
    const { field } = this.#header;
    // How long it is in UTF-8, and so how long a varint, is known once it is written.
    const start = offset + field.maxSize;
    const length = writeBytes(text, target, start);
    if (length === -1) return -1;
    checkSendLength(length, this.#limits.maxLength);
    const { value, size } = this.#fieldFor(length);
    field.write(target, offset, size, value);
    if (size < field.maxSize) {
      target.copyWithin(offset + size, start, start + length);
    }
    return size + length;
  }

  /** A frame of a field and the message. */
  #withField(bytes: Uint8Array): Uint8Array {
    const { value, size } = this.#fieldFor(bytes.length);
    const frame = new Uint8Array(size + bytes.length);
    this.#header.field.write(frame, 0, size, value);
    frame.set(bytes, size);
    return frame;
  }

  /** A copy of a whole frame, its field filled in. */
  #filledIn(given: Uint8Array): Uint8Array {
    const { field, fieldOffset } = this.#header;
    const frame = new Uint8Array(given);
    // A varint keeps the size that it has in the given frame, as it may be padded.
    const isWhole = field.read(frame, fieldOffset) &&
      field.size <= field.maxSize;
    const size = isWhole ? field.size : 0;
    const bodyLength = frame.length - fieldOffset - size;
    if (!isWhole || bodyLength < 0) {
      throw new RangeError(
        `Cannot encode frame of ${frame.length} bytes: too short for a length field at byte ${fieldOffset}`,
      );
    }
    const { value } = this.#fieldFor(bodyLength, size);
    field.write(frame, fieldOffset, size, value);
    return frame;
  }

  /** The value and size of the field of a frame with `bodyLength` bytes behind it. */
  #fieldFor(
    bodyLength: number,
    givenSize = this.#header.field.maxSize,
  ): { value: number; size: number } {
    const { field, adjustment } = this.#header;
    const value = bodyLength - adjustment;
    // A reader refuses what it cannot count.
    const isCountable = value >= 0 && value <= Number.MAX_SAFE_INTEGER;
    const size = isCountable ? field.sizeOf(value) : Infinity;
    if (size > givenSize) {
      throw new RangeError(
        `Cannot encode message as its length field of at most ${givenSize} bytes cannot hold ${value}`,
      );
    }
    return { value, size };
  }
}
