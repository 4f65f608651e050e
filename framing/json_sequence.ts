import { parseJson, stringifyJson } from "./_json.ts";
import {
  checkLimits,
  checkSendLength,
  type Limits,
  malformed,
  tooLong,
  truncated,
} from "./_limits.ts";
import { REPLACEMENT, toBytes, utf8Error, writeEnded } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * Frames JSON values that follow each other, with or without white space between them.
 *
 * The brackets and quotes of a value show where it ends, so line breaks in it are
 * allowed. A number ends before the first byte that does not belong to it, or with the stream.
 * Anything that is not JSON ends the stream with a {@linkcode FramingError} of code
 * `"malformed"`, because its end is unknown.
 *
 * When sending, a line feed is written after each value. Only after a number does it
 * belong to the value: any other value is received before its line feed arrives, which
 * then comes before the next message. So before another framing, as in
 * {@linkcode sequence} and {@linkcode headed}, use `asJson(delimited("\n"))` instead.
 *
 * @param options Limits that hold in both directions. They count the bytes of a value,
 * without white space around it.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `oversize` is not listed, or `onDiscard` is given without
 * `oversize: "discard"`.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example JSON-RPC as Ethereum nodes and other programs stream it
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, jsonSequence } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(jsonSequence());
 * const bytes = new TextEncoder().encode('{"id":1}{"id":\n2}\n3');
 *
 * assertEquals(decoder.decode(bytes), [{ id: 1 }, { id: 2 }]);
 * assertEquals(decoder.end(), [3]);
 * assertEquals(
 *   new ChunkEncoder(jsonSequence()).encode({ id: 1 }),
 *   new TextEncoder().encode('{"id":1}\n'),
 * );
 * ```
 */
export function jsonSequence(options: LimitOptions = {}): Framing<unknown> {
  const limits = checkLimits("jsonSequence", options);
  const encoder: Encoder<unknown> = {
    encode(value, output) {
      const text = stringifyJson(value);
      // UTF-8 takes at most three bytes for each UTF-16 code unit.
      if (text.length * 3 > limits.maxLength) {
        checkSendLength(toBytes(text).length, limits.maxLength);
      }
      writeEnded(output, text, "\n");
    },
  };
  return {
    decoder: () => new JsonSequenceDecoder(limits),
    encoder: () => encoder,
  };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ARRAY_START = 0x5b;
const ARRAY_END = 0x5d;
const OBJECT_START = 0x7b;
const OBJECT_END = 0x7d;
const LITERAL_LENGTHS = new Map([[0x74, 4], [0x66, 5], [0x6e, 4]]); // true, false, null

/** Finds where JSON values end, and continues where it stopped. */
class JsonSequenceDecoder implements Decoder<unknown> {
  readonly maxFrameLength: number;
  readonly #limits: Limits;
  // The state of the value at the front: how many of its bytes were scanned, and how many
  // of these were skipped because it is too long.
  #scanned = 0;
  #passed = 0;
  #offset = 0;
  #first = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.maxFrameLength = limits.maxLength + 1; // what ends a number
  }

  get pending(): boolean {
    return this.#passed > 0;
  }

  decode(input: ByteInput, ended: boolean): unknown {
    // Another framing may have taken the scanned bytes.
    if (this.#passed === 0 && input.offset !== this.#offset) this.#scanned = 0;
    if (this.#scanned + this.#passed === 0 && !this.#begin(input)) {
      return undefined;
    }
    const isWhole = this.#scan(input) || (ended && isNumberByte(this.#first));
    const { maxLength, discard, onDiscard } = this.#limits;
    const length = this.#passed + this.#scanned;
    if (length > maxLength) {
      if (!discard) throw tooLong("JSON value", this.#offset, maxLength);
      // The last byte shows that the value is over; for a number, only the byte after it
      // does.
      const left = isWhole ? 0 : 1;
      input.skip(this.#scanned - left);
      this.#passed = length - left;
      this.#scanned = left;
    }
    if (!isWhole) {
      if (ended) throw truncated("JSON value", this.#offset);
      return undefined;
    }
    const end = this.#scanned;
    const isTooLong = this.#passed > 0;
    this.#scanned = this.#passed = 0;
    if (isTooLong) {
      onDiscard?.(length);
      return undefined;
    }
    return this.#take(input, end);
  }

  #take(input: ByteInput, length: number): unknown {
    const { offset } = input;
    const text = input.textAt(0, length);
    const error = text.includes(REPLACEMENT)
      ? utf8Error("JSON", input.bytesAt(0, length), offset)
      : undefined;
    if (error !== undefined) throw error;
    // White space that ends a number is taken with it, so that its frame, when forwarded,
    // does not run into the next one.
    const ends = isNumberByte(this.#first) && isSpace(input.byteAt(length));
    input.skip(ends ? length + 1 : length);
    return parseJson(text, offset);
  }

  /** Skips white space; returns whether there was none before a value. */
  #begin(input: ByteInput): boolean {
    const byte = input.byteAt(0);
    if (byte === undefined) return false;
    if (isSpace(byte)) {
      // Only one: the next byte may belong to another framing.
      input.skip(1);
      return false;
    }
    const isValue = byte === QUOTE || byte === ARRAY_START ||
      byte === OBJECT_START || LITERAL_LENGTHS.has(byte) || isNumberByte(byte);
    if (!isValue) {
      const reason = `no value begins with byte ${byte}`;
      throw malformed("JSON", input.offset, reason);
    }
    this.#offset = input.offset;
    this.#first = byte;
    this.#depth = 0;
    this.#isInString = this.#isEscaped = false;
    return true;
  }

  /** Scans the bytes not scanned yet; returns whether the value ends there. */
  #scan(input: ByteInput): boolean {
    const first = this.#first;
    const literalLength = LITERAL_LENGTHS.get(first);
    if (literalLength !== undefined) {
      const rest = literalLength - this.#passed;
      this.#scanned = Math.min(rest, input.length);
      return this.#scanned === rest;
    }
    const isNumber = isNumberByte(first);
    for (let at = this.#scanned;; at++) {
      const byte = input.byteAt(at);
      const isEnd = byte !== undefined &&
        (isNumber ? !isNumberByte(byte) : this.#isLast(byte));
      if (!isEnd && byte !== undefined) continue;
      // The byte that ends a number does not belong to it.
      this.#scanned = isEnd && !isNumber ? at + 1 : at;
      return isEnd;
    }
  }

  /** Whether a value with brackets or quotes ends with `byte`, the next one. */
  #isLast(byte: number): boolean {
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) {
        this.#isInString = false;
        return this.#depth === 0;
      }
      return false;
    }
    switch (byte) {
      case QUOTE:
        this.#isInString = true;
        return false;
      case ARRAY_START:
      case OBJECT_START:
        this.#depth++;
        return false;
      case ARRAY_END:
      case OBJECT_END:
        this.#depth--;
        return this.#depth === 0;
      default:
        return false;
    }
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Whether `byte` may occur in a number. */
function isNumberByte(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2b ||
    byte === 0x2e || byte === 0x45 || byte === 0x65;
}
