import { shownValue } from "../internal/shown.ts";
import { BytesDecoder } from "./_decoders.ts";
import type { Frames, FrameSource } from "./_frames.ts";
import {
  type FrameLayout,
  type HeaderState,
  LengthFrames,
  PARTIAL,
  WHOLE,
  WRONG,
} from "./_length_frames.ts";
import {
  checkChoice,
  checkInteger,
  checkLimits,
  checkSendLength,
  type Limits,
} from "./_limits.ts";
import { readUint } from "./_uint.ts";
import { toBytesToWrite } from "./_utf8.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Encoder, Framing } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * The size of a length field in bytes, or `"varint"` for unsigned LEB128. A text field
 * has that many digits.
 *
 * @example The same message after a field of each size
 * ```ts
 * import {
 *   ChunkEncoder,
 *   type FieldSize,
 *   lengthPrefixed,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes: FieldSize[] = [1, 2, 3, 4, 6, 8, "varint"];
 * const lengths = sizes.map((fieldSize) =>
 *   new ChunkEncoder(lengthPrefixed({ fieldSize })).encode("hi").length
 * );
 * assertEquals(lengths, [3, 4, 5, 6, 8, 10, 3]);
 * ```
 */
export type FieldSize = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | "varint";

/**
 * Options for {@linkcode lengthPrefixed}.
 *
 * @example A header with a kind before the length
 * ```ts
 * import {
 *   ChunkDecoder,
 *   lengthPrefixed,
 *   type LengthPrefixedOptions,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * // One byte of kind, two of length in little-endian order; then the body.
 * const header: LengthPrefixedOptions = {
 *   fieldOffset: 1,
 *   fieldSize: 2,
 *   littleEndian: true,
 *   strip: 0, // a message is the whole frame, because its kind is needed
 * };
 * const frame = new Uint8Array([42, 2, 0, 0x68, 0x69]);
 *
 * assertEquals(new ChunkDecoder(lengthPrefixed(header)).decode(frame), [frame]);
 * ```
 */
export interface LengthPrefixedOptions extends LimitOptions {
  /**
   * The size of the length field in bytes, or `"varint"` for 1 to `maxFieldBytes` bytes
   * with seven bits each, the lowest first (unsigned LEB128, as in Protocol Buffers). A
   * varint that is longer than needed is read, as Protocol Buffers do, but never written.
   *
   * @default {4}
   */
  fieldSize?: FieldSize | undefined;
  /**
   * How the field is written: as a `"binary"` number, or as text of `fieldSize` digits,
   * `"decimal"` or `"hex"`, with zeros before it. Hexadecimal digits are read in any
   * case and written in lower case.
   *
   * @default {"binary"}
   */
  fieldFormat?: "binary" | "decimal" | "hex" | undefined;
  /**
   * The most bytes of a varint, from 1 to 10: 4 in MQTT, 3 in Minecraft. A longer one is
   * malformed, and a message whose length does not fit is not sent.
   *
   * @default {10}
   */
  maxFieldBytes?: number | undefined;
  /**
   * Whether the lowest byte of the field comes first. Refused with `"varint"` and with
   * text, which have a fixed order.
   *
   * @default {false}
   */
  littleEndian?: boolean | undefined;
  /**
   * How many bytes of the frame come before the field.
   *
   * @default {0}
   */
  fieldOffset?: number | undefined;
  /**
   * What is added to the field's value to get the number of bytes after the field.
   * Negative if the field counts more than these, such as itself.
   *
   * @default {0}
   */
  adjustment?: number | undefined;
  /**
   * How many bytes are dropped from the front of each frame. By default everything up to
   * the end of the field; with 0 a message is the whole frame.
   */
  strip?: number | undefined;
}

/**
 * Frames messages with a length field before each.
 *
 * `maxLength` counts the bytes of a message without the bytes that `strip` drops. It is
 * checked as soon as the field has arrived, before the message is stored.
 *
 * When sending with the default `strip` and `fieldOffset` 0, the field is written before
 * the message. With `strip: 0` the message is a whole frame, and the encoder fills the
 * field in: leave it 0, and a varint one byte of 0. If `strip` drops header bytes that
 * the encoder cannot know, such as those before the field, sending throws.
 * {@linkcode headed} receives and sends such bytes with the message.
 *
 * @param options The shape of the header, and limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If an option has an unlisted value, `littleEndian` is given with
 * `"varint"` or text, `maxFieldBytes` without `"varint"`, text with `"varint"`, or
 * `onDiscard` without `oversize: "discard"`.
 * @throws {RangeError} If a number is not whole or out of range.
 *
 * @example A plain prefix of four bytes
 * ```ts
 * import {
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   lengthPrefixed,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed();
 * const frame = new Uint8Array([0, 0, 0, 2, 0x68, 0x69]);
 *
 * assertEquals(new ChunkEncoder(framing).encode("hi"), frame);
 * assertEquals(new ChunkDecoder(framing).decode(frame), [new Uint8Array([0x68, 0x69])]);
 * ```
 *
 * @example A length that counts itself
 * ```ts
 * import { ChunkEncoder, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: 2, adjustment: -2 });
 *
 * assertEquals(new ChunkEncoder(framing).encode("hi"), new Uint8Array([0, 4, 0x68, 0x69]));
 * ```
 *
 * @example The header of Modbus TCP, kept with the message
 * ```ts
 * import {
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   lengthPrefixed,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * // Transaction, protocol, length of the rest, unit; then the request.
 * const framing = lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0 });
 * const frame = new Uint8Array([0, 1, 0, 0, 0, 6, 17, 3, 0, 107, 0, 3]);
 *
 * assertEquals(new ChunkDecoder(framing).decode(frame), [frame]);
 * assertEquals(new ChunkEncoder(framing).encode(frame.with(5, 0)), frame);
 * ```
 *
 * @example A length in decimal digits, as for ISO 8583
 * ```ts
 * import { ChunkEncoder, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: 4, fieldFormat: "decimal" });
 *
 * assertEquals(
 *   new ChunkEncoder(framing).encode("0800"),
 *   new TextEncoder().encode("00040800"),
 * );
 * ```
 *
 * @example A varint of at most three bytes, as in Minecraft
 * ```ts
 * import { ChunkDecoder, FramingError, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 3 });
 * const decoder = new ChunkDecoder(framing);
 *
 * assertEquals(decoder.decode(new Uint8Array([1, 7])), [new Uint8Array([7])]);
 * assertThrows(
 *   () => decoder.decode(new Uint8Array([0xff, 0xff, 0xff])),
 *   FramingError,
 * );
 * ```
 *
 * @example A varint
 * ```ts
 * import { ChunkEncoder, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lengthPrefixed({ fieldSize: "varint" });
 *
 * assertEquals(new ChunkEncoder(framing).encode("hi"), new Uint8Array([2, 0x68, 0x69]));
 * assertEquals(
 *   new ChunkEncoder(framing).encode("x".repeat(300)).subarray(0, 2),
 *   new Uint8Array([0xac, 2]),
 * );
 * ```
 */
export function lengthPrefixed(
  options: LengthPrefixedOptions = {},
): Framing<Bytes, Sendable> {
  const {
    fieldSize = 4,
    fieldFormat = "binary",
    maxFieldBytes,
    littleEndian = false,
    fieldOffset = 0,
    adjustment = 0,
    strip,
  } = options;
  const name = "lengthPrefixed";
  checkChoice(name, "fieldSize", fieldSize, FIELD_SIZES);
  checkChoice(name, "littleEndian", littleEndian, [true, false]);
  checkChoice(name, "fieldFormat", fieldFormat, ["binary", "decimal", "hex"]);
  const isVarint = fieldSize === "varint";
  const isText = fieldFormat !== "binary";
  if (littleEndian && (isVarint || isText)) {
    throw new TypeError(
      `Cannot make lengthPrefixed framing as a ${
        isVarint ? "varint" : "text"
      } has its own byte order, so littleEndian must not be true`,
    );
  }
  if (isVarint && isText) {
    throw new TypeError(
      `Cannot make lengthPrefixed framing as a varint is binary: current fieldFormat is "${fieldFormat}"`,
    );
  }
  checkMaxFieldBytes(maxFieldBytes, isVarint);
  checkInteger(name, "fieldOffset", fieldOffset, 0);
  checkInteger(name, "adjustment", adjustment);
  if (strip !== undefined) checkInteger(name, "strip", strip, 0);
  const limits = checkLimits(name, options);
  const field = fieldSize === "varint"
    ? new VarintField(maxFieldBytes ?? MAX_VARINT_LENGTH)
    : fieldFormat === "binary"
    ? new FixedField(fieldSize, littleEndian)
    : new TextField(fieldSize, fieldFormat);
  const header = { field, fieldOffset, adjustment, strip };
  const encoder = encoderFor(header, limits);
  return {
    decoder: () =>
      new BytesDecoder(
        new LengthFrames(
          field instanceof FixedField
            ? new FixedFieldLayout(header, littleEndian)
            : new LengthPrefixedLayout(header),
          limits,
        ),
      ),
    encoder: () => encoder,
  };
}

const FIELD_SIZES: readonly FieldSize[] = [1, 2, 3, 4, 5, 6, 7, 8, "varint"];
const MAX_VARINT_LENGTH = 10;

function checkMaxFieldBytes(
  value: number | undefined,
  isVarint: boolean,
): void {
  if (value === undefined) return;
  if (!isVarint) {
    throw new TypeError(
      'Cannot make lengthPrefixed framing as maxFieldBytes is for fieldSize "varint" alone',
    );
  }
  if (!Number.isInteger(value) || value < 1 || value > MAX_VARINT_LENGTH) {
    throw new RangeError(
      `Cannot make lengthPrefixed framing as maxFieldBytes must be a whole number from 1 to ${MAX_VARINT_LENGTH}: current value is ${
        shownValue(value)
      }`,
    );
  }
}

interface Header {
  readonly field: LengthField;
  readonly fieldOffset: number;
  readonly adjustment: number;
  readonly strip: number | undefined;
}

/** How the length field is read and written. */
interface LengthField {
  /** The most bytes that it takes. */
  readonly maxSize: number;
  /** The size in bytes of the field read last. */
  readonly size: number;
  /**
   * Reads the number at `start` from bytes up to `end`, exact up to
   * `Number.MAX_SAFE_INTEGER`; -1 if it is not whole, `NaN` if it is
   * {@linkcode LengthField.wrong}.
   */
  read(bytes: Uint8Array, start: number, end: number): number;
  /** What is wrong with a field that cannot be read. */
  readonly wrong: string;
  /** The fewest bytes that hold `value`; more than `maxSize` if none do. */
  sizeOf(value: number): number;
  /** Writes `value`, which fits. */
  write(output: ByteOutput, value: number): void;
}

class FixedField implements LengthField {
  readonly wrong = ""; // any bytes are a number
  readonly maxSize: number;
  readonly size: number;
  readonly #littleEndian: boolean;
  readonly #range: number;

  constructor(size: number, littleEndian: boolean) {
    this.maxSize = size;
    this.size = size;
    this.#range = 256 ** size;
    this.#littleEndian = littleEndian;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    const { size } = this;
    return start + size > end
      ? -1
      : readUint(bytes, start, size, this.#littleEndian);
  }

  sizeOf(value: number): number {
    return value < this.#range ? this.size : this.size + 1;
  }

  write(output: ByteOutput, value: number): void {
    output.writeUint(value, this.size, this.#littleEndian);
  }
}

/** A number in text: `size` digits. */
class TextField implements LengthField {
  readonly maxSize: number;
  readonly size: number;
  readonly wrong: string;
  readonly #base: number;

  constructor(size: number, format: "decimal" | "hex") {
    this.maxSize = size;
    this.size = size;
    this.wrong = `its length field is not ${size} ${format} digits`;
    this.#base = format === "hex" ? 16 : 10;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    let value = 0;
    for (let at = start; at < start + this.size; at++) {
      if (at >= end) return -1;
      const digit = digitOf(bytes[at]!); // before the end
      if (digit >= this.#base) return NaN;
      value = value * this.#base + digit;
    }
    return value;
  }

  sizeOf(value: number): number {
    return value < this.#base ** this.size ? this.size : this.size + 1;
  }

  write(output: ByteOutput, value: number): void {
    output.writeText(value.toString(this.#base).padStart(this.size, "0"));
  }
}

/** The value of a decimal or hexadecimal digit; `Infinity` for any other byte. */
function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lowerCase = byte | 0x20;
  return lowerCase >= 0x61 && lowerCase <= 0x66 ? lowerCase - 0x57 : Infinity;
}

class VarintField implements LengthField {
  readonly maxSize: number;
  readonly wrong: string;
  size = 0;

  constructor(maxSize: number) {
    this.maxSize = maxSize;
    this.wrong = `its length field has more than ${maxSize} bytes`;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    let value = 0;
    let factor = 1;
    for (let size = 1; size <= this.maxSize; size++) {
      const at = start + size - 1;
      if (at >= end) return -1;
      const byte = bytes[at]!; // before the end
      value += (byte & 0x7f) * factor;
      this.size = size;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    return NaN;
  }

  sizeOf(value: number): number {
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    return size;
  }

  write(output: ByteOutput, value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) {
      output.writeByte(rest % 128 + 128);
    }
    output.writeByte(rest);
  }
}

const MAX_LENGTH = Number.MAX_SAFE_INTEGER;
// The sum of two of them is a small integer.
const MAX_SMALL = 2 ** 30 - 1;

class LengthPrefixedLayout implements FrameLayout {
  readonly what = "length-prefixed message";
  readonly lastByte = -1;
  readonly maxHeaderLength: number;
  readonly #header: Header;
  frameLength = 0;
  messageStart = 0;
  messageEnd = 0;
  problem: string | undefined;

  constructor(header: Header) {
    this.#header = header;
    this.maxHeaderLength = header.fieldOffset + header.field.maxSize;
  }

  read(bytes: Uint8Array, start: number, end: number): HeaderState {
    const { field, fieldOffset, adjustment, strip } = this.#header;
    const value = field.read(bytes, start + fieldOffset, end);
    if (value === -1) return PARTIAL;
    const headerLength = fieldOffset + field.size;
    // In this order, so that no intermediate sum is rounded.
    const frameLength = headerLength + (value + adjustment);
    const messageStart = strip ?? headerLength;
    const least = Math.max(headerLength, messageStart);
    // Neither is true of NaN.
    if (frameLength >= least && Math.max(value, frameLength) <= MAX_LENGTH) {
      this.frameLength = this.messageEnd = frameLength;
      this.messageStart = messageStart;
      return WHOLE;
    }
    this.problem = Number.isNaN(value)
      ? field.wrong
      : frameLength < least
      ? `its length field says ${value}, so the frame has ${frameLength} bytes, but the least is ${least}`
      : undefined;
    return WRONG;
  }
}

/** The layout with a field of fixed size. */
class FixedFieldLayout extends LengthPrefixedLayout {
  readonly #header: Header;
  readonly #littleEndian: boolean;

  constructor(header: Header, littleEndian: boolean) {
    super(header);
    this.#header = header;
    this.#littleEndian = littleEndian;
  }

  readMany(
    { bytes, start, end }: FrameSource,
    frames: Frames,
    maxLength: number,
  ): void {
    const { field: { size }, fieldOffset, adjustment, strip } = this.#header;
    const littleEndian = this.#littleEndian;
    const headerLength = fieldOffset + size;
    const messageStart = strip ?? headerLength;
    const least = Math.max(headerLength, messageStart);
    frames.clear(messageStart, 0);
    const length = end - start;
    const last = length - headerLength;
    if (last < 0 || Math.max(least, Math.abs(adjustment)) > MAX_SMALL) return;
    const most = Math.min(messageStart + maxLength, MAX_SMALL);
    const beside = headerLength + adjustment;
    const { ends } = frames;
    const room = ends.length;
    // The field of a frame at `from` is there, and `| 0` says that sums are small integers:
    // so the loop takes 2.8 ns a frame (measured); one with more sums took 4.4.
    const fields = start + fieldOffset;
    const view = new DataView(bytes.buffer, bytes.byteOffset + fields);
    let from = 0;
    let to = 0;
    while (to < room && from <= last) {
      // The most frequent size; a value that is too large is negative.
      const value = size === 4
        ? view.getInt32(from, littleEndian)
        : readSmallUint(bytes, fields + from, size, littleEndian);
      const frameLength = (beside + value) | 0;
      // `read` handles everything but a whole, valid message.
      if (value < 0 || frameLength < least || frameLength > most) break;
      from = (from + frameLength) | 0;
      if (from > length) break;
      ends[to] = from;
      to++;
    }
    frames.count = to;
  }
}

/** The unsigned integer, or -1 if it is large. */
function readSmallUint(
  bytes: Uint8Array,
  start: number,
  size: number,
  littleEndian: boolean,
): number {
  const value = readUint(bytes, start, size, littleEndian);
  return value > MAX_SMALL ? -1 : value | 0;
}

function encoderFor(header: Header, limits: Limits): Encoder<Sendable> {
  const { field, fieldOffset, strip } = header;
  const hasDefaultStrip = strip === undefined ||
    (!(field instanceof VarintField) && strip === fieldOffset + field.size);
  if (fieldOffset === 0 && hasDefaultStrip) {
    return new PrefixEncoder(header, limits.maxLength);
  }
  if (strip === 0) return new WholeFrameEncoder(header, limits.maxLength);
  return {
    encode(message) {
      throw new TypeError(
        `Cannot encode message of ${message.length} characters or bytes: its header is not known with fieldOffset ${fieldOffset} and strip ${
          strip ?? "the default"
        }`,
      );
    },
  };
}

/** Writes the field, and then the message. */
class PrefixEncoder implements Encoder<Sendable> {
  readonly #header: Header;
  readonly #maxLength: number;

  constructor(header: Header, maxLength: number) {
    this.#header = header;
    this.#maxLength = maxLength;
  }

  encode(message: Sendable, output: ByteOutput): void {
    const { field } = this.#header;
    const bytes = toBytesToWrite(message, output);
    checkSendLength(bytes.length, this.#maxLength);
    field.write(output, fieldValue(this.#header, bytes.length));
    output.writeBytes(bytes);
  }
}

/** Fills in the field of whole frames. */
class WholeFrameEncoder implements Encoder<Sendable> {
  readonly #header: Header;
  readonly #maxLength: number;

  constructor(header: Header, maxLength: number) {
    this.#header = header;
    this.#maxLength = maxLength;
  }

  encode(message: Sendable, output: ByteOutput): void {
    const { field, fieldOffset } = this.#header;
    const frame = toBytesToWrite(message, output);
    const given = field.read(frame, fieldOffset, frame.length);
    if (given === -1) {
      throw new RangeError(
        `Cannot encode frame of ${frame.length} bytes: too short for a length field at byte ${fieldOffset}`,
      );
    }
    const bodyStart = fieldOffset + field.size;
    const value = fieldValue(this.#header, frame.length - bodyStart);
    // Anything else is not a length field, or another frame's.
    if (given !== 0 && given !== value) {
      throw new TypeError(
        `Cannot encode frame of ${frame.length} bytes: its length field at byte ${fieldOffset} must be 0 or ${value}, found ${given}`,
      );
    }
    output.writeBytes(frame.subarray(0, fieldOffset));
    field.write(output, value);
    output.writeBytes(frame.subarray(bodyStart));
    checkSendLength(output.length, this.#maxLength);
  }
}

/** The field's value in a frame that has `bodyLength` bytes after the field. */
function fieldValue(header: Header, bodyLength: number): number {
  const { field, adjustment } = header;
  const value = bodyLength - adjustment;
  // A reader refuses what it cannot count.
  const isCountable = value >= 0 && value <= Number.MAX_SAFE_INTEGER;
  if (!isCountable || field.sizeOf(value) > field.maxSize) {
    throw new RangeError(
      `Cannot encode message as its length field of at most ${field.maxSize} bytes cannot hold ${value}`,
    );
  }
  return value;
}
