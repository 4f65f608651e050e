import { droppedMessages } from "../internal/drops.ts";
import { RangeDecoder } from "./_decoders.ts";
import { DEFAULT_MAX_LENGTH_BYTES, tooLong } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";

/**
 * Lets a decoder take what is a part of a message for another one, and holds it to its
 * limit also if all of that is there already: who pulls messages does not see it.
 */
export function decodePart<In>(
  decoder: Decoder<In>,
  input: ByteInput,
  ended: boolean,
): In | undefined {
  const { maxFrameLength = DEFAULT_MAX_LENGTH_BYTES } = decoder;
  const { offset } = input;
  const part = decoder.decode(input, ended);
  if (part !== undefined && input.offset - offset > maxFrameLength) {
    throw tooLong("message", offset, maxFrameLength);
  }
  return part;
}

/**
 * Does the same for one of several frames of a message: one that is dropped is missing in
 * that message, which is not dropped.
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
 * Asks a decoder that gave a message for one more of the bytes that it took for that, before
 * another decoder takes over: a frame may hold several messages.
 */
export function takeMore<In>(decoder: Decoder<In>): In | undefined {
  return decoder instanceof RangeDecoder
    ? undefined
    : decoder.decode(new InputBuffer(), false);
}
