import type { ManyDecoder } from "./_decoders.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer } from "./input_buffer.ts";

// As much of a chunk is put to what was left of the one before, at first.
const FIRST_PART_BYTES = 256;

/**
 * Takes messages from chunks that are given, without copying them: only a message
 * that is cut by the end of a chunk is put together.
 */
export class ChunkInput {
  readonly #input = new InputBuffer();
  // The chunk that was given last, and how much of it is in the buffer already,
  // copied after what was left before it.
  #chunk: Uint8Array | undefined;
  #copied = 0;

  /** Whether bytes are left that no message was made of. */
  get hasRest(): boolean {
    return this.#input.length > 0;
  }

  /** Gives the next chunk; all messages must have been taken from those before. */
  append(chunk: Uint8Array): void {
    const isCut = this.#input.length > 0 && chunk instanceof Uint8Array &&
      chunk.length > FIRST_PART_BYTES;
    if (!isCut) return this.#input.append(chunk);
    this.#chunk = chunk;
    this.#copied = 0;
    this.#copyMore();
  }

  /** Takes the next message; see {@linkcode InputBuffer.pull}. */
  pull<In>(decoder: Decoder<In>, ended = false): In | undefined {
    for (;;) {
      const isAll = this.#chunk === undefined;
      const message = this.#input.pull(decoder, ended && isAll);
      if (isAll) return message;
      // What is left is of this chunk alone, perhaps.
      if (this.#input.length <= this.#copied) this.#goOnInChunk();
      if (message !== undefined) return message;
      this.#copyMore();
    }
  }

  /** Takes messages as long as they are found fast; see {@linkcode ManyDecoder}. */
  pullMany<In>(decoder: ManyDecoder<In>, messages: In[]): void {
    // A copied part of a chunk holds few.
    if (this.#chunk === undefined) decoder.decodeMany(this.#input, messages);
  }

  #goOnInChunk(): void {
    if (this.#chunk === undefined) return;
    this.#input.continueIn(this.#chunk, this.#copied - this.#input.length);
    this.#chunk = undefined;
  }

  /** Puts as much again to what is there. */
  #copyMore(): void {
    if (this.#chunk === undefined) return;
    const start = this.#copied;
    const { missing, length } = this.#input;
    const more = missing > 1 ? missing : Math.max(FIRST_PART_BYTES, length);
    const part = this.#chunk.subarray(start, start + more);
    this.#input.append(part);
    this.#copied += part.length;
    if (this.#copied === this.#chunk.length) this.#chunk = undefined;
  }
}
