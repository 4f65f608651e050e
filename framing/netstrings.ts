import { BytesDecoder } from "./_decoders.ts";
import {
  type FrameLayout,
  type HeaderState,
  LengthFrames,
  PARTIAL,
  WHOLE,
  WRONG,
} from "./_length_frames.ts";
import { checkLimits, checkSendLength } from "./_limits.ts";
import { toBytesToWrite } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Encoder, Framing } from "./framing.ts";
import type { LimitOptions } from "./limits.ts";

/**
 * Frames messages as netstrings: length in decimal, colon, message, comma.
 *
 * `maxLength` counts the bytes of a message without its length and comma. A longer
 * message fails at its colon, before it is read. A length with a leading zero is
 * malformed, because there must be only one way to write it.
 *
 * @param options Limits that hold in both directions.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `oversize` is not listed, or `onDiscard` is given
 * without `oversize: "discard"`.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example Reading a message
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, netstrings } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("5:hello,");
 *
 * assertEquals(new ChunkDecoder(netstrings()).decode(bytes), [bytes.subarray(2, 7)]);
 * assertEquals(new ChunkEncoder(netstrings()).encode("hello"), bytes);
 * ```
 */
export function netstrings(
  options: LimitOptions = {},
): Framing<Bytes, Sendable> {
  const limits = checkLimits("netstrings", options);
  const encoder: Encoder<Sendable> = {
    encode(message, output) {
      const bytes = toBytesToWrite(message, output);
      checkSendLength(bytes.length, limits.maxLength);
      output.writeText(`${bytes.length}:`);
      output.writeBytes(bytes);
      output.writeByte(COMMA);
    },
  };
  return {
    decoder: () =>
      new BytesDecoder(
        new LengthFrames(new NetstringLayout(), limits),
      ),
    encoder: () => encoder,
  };
}

const COLON = 0x3a;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const MAX_DIGITS = String(Number.MAX_SAFE_INTEGER).length;

class NetstringLayout implements FrameLayout {
  readonly what = "netstring";
  readonly lastByte = COMMA;
  readonly maxHeaderLength = MAX_DIGITS + 1;
  frameLength = 0;
  messageStart = 0;
  messageEnd = 0;
  problem: string | undefined;

  read(bytes: Uint8Array, start: number, end: number): HeaderState {
    let length = 0;
    let digits = 0;
    for (;; digits++) {
      if (start + digits >= end) return PARTIAL;
      const byte = bytes[start + digits]!; // before the end
      if (byte === COLON && digits > 0) break;
      const hasLeadingZero = digits === 1 && length === 0;
      if (byte < ZERO || byte > NINE || hasLeadingZero) {
        this.problem = `its length has byte ${byte} after ${digits} digits`;
        return WRONG;
      }
      // In this order, so that no intermediate value exceeds the largest safe integer.
      length = length * 10 + (byte - ZERO);
      if (length > Number.MAX_SAFE_INTEGER) {
        this.problem = undefined;
        return WRONG;
      }
    }
    this.messageStart = digits + 1;
    this.messageEnd = this.messageStart + length;
    this.frameLength = this.messageEnd + 1;
    return WHOLE;
  }
}
