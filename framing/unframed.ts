import { toBytes } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Encoder, Framing } from "./framing.ts";

/**
 * No framing: every chunk as it arrives, like a bare `read`.
 *
 * The chunks received say nothing about the chunks sent.
 *
 * @returns A framing without state, which many connections may share.
 *
 * @example Two messages that arrive as one chunk
 * ```ts
 * import { ChunkDecoder, unframed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("onetwo");
 *
 * assertEquals(new ChunkDecoder(unframed()).decode(bytes), [bytes]);
 * ```
 */
export function unframed(): Framing<Bytes, Sendable> {
  return {
    decoder: () => ({
      maxFrameLength: Infinity,
      decode: (input) =>
        input.length > 0 ? input.take(input.length) : undefined,
    }),
    encoder: () => encoder,
  };
}

const encoder: Encoder<Sendable> = {
  encode: (message, output) => output.writeBytes(toBytes(message)),
};
