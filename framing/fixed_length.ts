import { BytesDecoder } from "./_decoders.ts";
import { type FrameLayout, LengthFrames, WHOLE } from "./_length_frames.ts";
import { checkInteger } from "./_limits.ts";
import { toBytesToWrite } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";

/**
 * Frames messages that all have the same length.
 *
 * The length may be 0, for example if it comes from a header: the stream then gives one
 * empty message, and none after it until another framing has taken bytes.
 *
 * There is no limit but `length`: a connection holds that much. If the peer says the
 * length, let {@linkcode headed} read it, which has a limit, or check it first, for
 * example with {@linkcode textFields}.
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

/** Gives one empty message at each offset: otherwise there would be no end of them. */
function emptyDecoder(): Decoder<Bytes> {
  let givenAt = -1;
  return {
    // The bytes after its first message are no part of another.
    get maxFrameLength() {
      return givenAt === -1 ? 0 : undefined;
    },
    decode(input) {
      if (input.offset === givenAt) return undefined;
      givenAt = input.offset;
      return input.take(0);
    },
  };
}
