import { BytesDecoder } from "./_decoders.ts";
import { type FrameLayout, LengthFrames, WHOLE } from "./_length_frames.ts";
import { checkInteger } from "./_limits.ts";
import { toBytesToWrite } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";

/**
 * Frames messages that all have the same length.
 *
 * The length may be 0, such as one that a header says: where the stream stands, there is
 * one empty message then, and none after it until another framing has taken more.
 *
 * There is no limit but `length`: a connection holds as much. Where the peer says it, let
 * {@linkcode headed} read it, which has one, or check it first, as by {@linkcode textFields}.
 *
 * @param length The length of each message in bytes.
 * @returns A framing without state, which many connections may share.
 * @throws {RangeError} If `length` is not a whole number of at least 0.
 *
 * @example Samples of two bytes
 * ```ts
 * import { ChunkDecoder, fixedLength } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(fixedLength(2));
 *
 * assertEquals(decoder.decode(new Uint8Array([1, 2, 3])), [
 *   new Uint8Array([1, 2]),
 * ]);
 * assertEquals(decoder.decode(new Uint8Array([4])), [new Uint8Array([3, 4])]);
 * ```
 */
export function fixedLength(length: number): Framing<Bytes, Sendable> {
  checkInteger("fixedLength", "length", length, 0);
  const layout: FrameLayout = {
    what: "fixed-length message",
    maxHeaderLength: 0,
    lastByte: -1,
    frameLength: length,
    messageStart: 0,
    messageEnd: length,
    problem: undefined,
    read: () => WHOLE,
  };
  const limits = { maxLength: length, discard: false, onDiscard: undefined };
  const encoder: Encoder<Sendable> = {
    encode(message, output) {
      const bytes = toBytesToWrite(message, output);
      if (bytes.length !== length) {
        throw new RangeError(
          `Cannot encode message of ${bytes.length} bytes: it must have exactly ${length} bytes`,
        );
      }
      output.writeBytes(bytes);
    },
  };
  return {
    decoder: () =>
      length === 0
        ? emptyDecoder()
        : new BytesDecoder(new LengthFrames(layout, limits)),
    encoder: () => encoder,
  };
}

/** Gives one empty message at each place where it is asked, else they had no end. */
function emptyDecoder(): Decoder<Bytes> {
  let givenAt = -1;
  return {
    decode(input) {
      if (input.offset === givenAt) return undefined;
      givenAt = input.offset;
      return input.take(0);
    },
  };
}
