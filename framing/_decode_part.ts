import { DEFAULT_MAX_LENGTH_BYTES, tooLong } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder } from "./framing.ts";

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
