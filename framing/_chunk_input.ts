import type { ManyDecoder } from "./_decoders.ts";
import { scanner } from "./_byte_search/scan.ts";
import { takeAhead } from "./batch.ts";
import { CACHE_LINE_BYTES } from "./_search.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer, isSmallPart } from "./input_buffer.ts";

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
  // The last chunk's buffer, which is not kept for the few bytes that may be left of it,
  // and how many bytes before its end lie together there.
  #buffer: WeakSet<ArrayBufferLike> | undefined;
  #end = 0;
  #together = 0;

  /** Whether bytes are left that no message was made of. */
  get hasRest(): boolean {
    return this.#input.length > 0;
  }

  /** Gives the next chunk; all messages must have been taken from those before. */
  append(chunk: Uint8Array): void {
    const isEmpty = !(chunk instanceof Uint8Array) || chunk.length === 0;
    if (isEmpty) return this.#input.append(chunk); // which throws if it is no chunk
    if (this.#goOnInBuffer(chunk)) return;
    const isCut = this.#input.length > 0 && chunk.length > FIRST_PART_BYTES;
    if (!isCut) return this.#input.append(chunk);
    this.#chunk = chunk;
    this.#copied = 0;
    this.#copyMore();
  }

  /** Takes the next message; see {@linkcode InputBuffer.pull}. */
  pull<In>(decoder: Decoder<In>, ended = false): In | undefined {
    while (this.#chunk !== undefined) {
      const message = this.#input.pull(decoder);
      // What is left is of this chunk alone, perhaps.
      if (this.#input.length <= this.#copied) this.#goOnInChunk();
      if (message !== undefined) return message;
      this.#copyMore();
    }
    return takeAhead(this.#input, decoder) ?? this.#input.pull(decoder, ended);
  }

  /** Takes messages as long as they are found fast; see {@linkcode ManyDecoder}. */
  pullMany<In>(decoder: ManyDecoder<In>, messages: In[]): void {
    // A copied part of a chunk holds few.
    if (this.#chunk === undefined) decoder.decodeMany(this.#input, messages);
  }

  /**
   * Goes on in the buffer of the chunk, if what is left lies right before it there: parts
   * of one large array need not be put together again. Tells whether it does.
   */
  #goOnInBuffer(chunk: Uint8Array): boolean {
    if (this.#input.adjoins(chunk)) {
      this.#together += chunk.length;
      this.#end += chunk.length;
      this.#input.goOn(chunk.length);
      return true;
    }
    const { buffer, byteOffset, length } = chunk;
    const rest = this.#input.length;
    const adjoins = byteOffset === this.#end &&
      this.#buffer?.has(buffer) === true;
    const before = adjoins ? this.#together : 0;
    if (!adjoins) {
      const isAlone = length === buffer.byteLength ||
        !(buffer instanceof ArrayBuffer); // copied, as others may write to it
      this.#buffer = isAlone ? undefined : new WeakSet([buffer]);
    }
    this.#together = before + length;
    this.#end = byteOffset + length;
    if (rest === 0 || rest > before) return false;
    // A small part is copied when nothing more is taken of it: once more for each chunk.
    if (rest > length && isSmallPart(rest, chunk)) return false;
    // From where a scan begins, so that all of it is copied fast.
    const start = byteOffset - rest;
    const front = start % CACHE_LINE_BYTES;
    this.#input.continueIn(
      new Uint8Array(buffer, start - front, front + rest + length),
      front,
    );
    return true;
  }

  #goOnInChunk(): void {
    if (this.#chunk === undefined) return;
    this.#input.continueIn(this.#chunk, this.#copied - this.#input.length);
    this.#chunk = undefined;
  }

  /** Copies as much of the chunk as the message that has begun may need. */
  #copyMore(): void {
    if (this.#chunk === undefined) return;
    const start = this.#copied;
    const { missing } = this.#input;
    const more = missing > 1 ? missing : this.#lookForEnd(this.#chunk, start);
    const isAll = start === 0 && more >= this.#chunk.length;
    const part = isAll
      ? this.#chunk
      : this.#chunk.subarray(start, start + more);
    this.#input.append(part);
    this.#copied += part.length;
    if (this.#copied === this.#chunk.length) this.#chunk = undefined;
  }

  /** How many bytes to add for a message whose length is not known. */
  #lookForEnd(chunk: Uint8Array, start: number): number {
    const { length, missed, expected } = this.#input;
    if (expected > 0) return Math.max(expected, FIRST_PART_BYTES);
    const rest = chunk.length - start;
    const last = typeof missed === "number" ? missed : missed?.at(-1);
    // Doubling what is there is fast if that is little, or takes in the whole chunk.
    const isFast = length < FIRST_PART_BYTES || rest <= length;
    if (isFast || last === undefined) return Math.max(length, FIRST_PART_BYTES);
    const at = scanner.indexOf(chunk, last, start, chunk.length);
    if (at === -1) return rest;
    // It may not be the end: with a part for each place, the decoder would be asked as often.
    const more = Math.max(at + 1 - start, FIRST_PART_BYTES, length >> 2);
    this.#input.need(length + Math.min(more, rest)); // room for it, and no more
    return more;
  }
}
