import { checkNotAsync } from "../internal/checks.ts";
import { droppedMessages } from "../internal/drops.ts";
import { RangeDecoder } from "./_decoders.ts";
import { checkFrameLength, DEFAULT_MAX_LENGTH_BYTES } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";

/**
 * Lets a decoder take a part of another decoder's message, and checks its limit even if
 * all of the part has arrived: the code that pulls messages does not see the part.
 */
export function decodePart<In>(
  decoder: Decoder<In>,
  input: ByteInput,
  ended: boolean,
): In | undefined {
  const { maxFrameLength = DEFAULT_MAX_LENGTH_BYTES } = decoder;
  const { offset } = input;
  const part = decoder.decode(input, ended);
  if (input.offset === offset) {
    checkNotAsync("decode message", "decode", part);
  }
  if (part !== undefined) {
    checkFrameLength(input.offset - offset, offset, maxFrameLength);
  }
  return part;
}

/**
 * Does the same for one of several frames of a message: a dropped frame is missing from
 * that message, which is not dropped itself.
 */
export function decodeFrame<In>(
  decoder: Decoder<In>,
  input: ByteInput,
  ended: boolean,
): In | undefined {
  const { count } = droppedMessages;
  const frame = decodePart(decoder, input, ended);
  droppedMessages.count = count;
  return frame;
}

/**
 * Asks a decoder for another message from the frame it has just taken, before another
 * decoder takes over: a frame may hold several messages.
 *
 * @param offset Where the frame ended: decoders compare offsets.
 */
export function takeMore<In>(
  decoder: Decoder<In>,
  offset: number,
): In | undefined {
  return decoder instanceof RangeDecoder
    ? undefined
    : decoder.decode(new InputBuffer(offset), false);
}
