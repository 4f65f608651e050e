import { isBytes } from "../internal/realms.ts";
import type { ManyDecoder } from "./_decoders.ts";
import { scanner } from "./_byte_search/scan.ts";
import { takeAhead } from "./batch.ts";
import { CACHE_LINE_BYTES, findAmongFew } from "./_search.ts";
import type { Decoder } from "./framing.ts";
import { InputBuffer, isSmallPart } from "./input_buffer.ts";

// How much of a chunk is first appended to the rest of the previous one.
const FIRST_PART_BYTES = 256;
// As much of it is searched for the end of the message first.
const SHORT_PART_BYTES = 128;

/**
 * Takes messages from given chunks without copying them: only a message that is cut by
 * the end of a chunk is joined.
 */
export class ChunkInput {
  readonly #input = new InputBuffer();
  // The last chunk, and how much of it was already copied into the buffer, after the rest
  // of the previous one.
  #chunk: Uint8Array | undefined;
  #copied = 0;
  // The last chunk's buffer, held weakly, so that a few remaining bytes do not keep it
  // alive, and how many adjacent bytes lie before its end.
  #buffer: WeakSet<ArrayBufferLike> | undefined;
  #end = 0;
  #together = 0;

  /** Whether bytes are left that belong to no message yet. */
  get hasRest(): boolean {
    return this.#input.length > 0;
  }

  /** Appends the next chunk; all earlier messages must have been taken. */
  append(chunk: Uint8Array): void {
    const isEmpty = !isBytes(chunk) || chunk.length === 0;
    if (isEmpty) return this.#input.append(chunk); // throws if it is not a chunk
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
      // Perhaps all remaining bytes are from this chunk.
      if (this.#input.length <= this.#copied) this.#goOnInChunk();
      if (message !== undefined) return message;
      this.#copyMore();
    }
    return takeAhead(this.#input, decoder) ?? this.#input.pull(decoder, ended);
  }

  /** Takes messages while they are found fast; see {@linkcode ManyDecoder}. */
  pullMany<In>(decoder: ManyDecoder<In>, messages: In[]): void {
    // A copied part of a chunk holds few messages.
    if (this.#chunk === undefined) decoder.decodeMany(this.#input, messages);
  }

  /**
   * Continues in the buffer of the chunk if the rest lies right before it there: parts of
   * one large array need not be joined again. Returns whether it does.
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
        !(buffer instanceof ArrayBuffer); // copied, because others may write to it
      this.#buffer = isAlone ? undefined : new WeakSet([buffer]);
    }
    this.#together = before + length;
    this.#end = byteOffset + length;
    if (rest === 0 || rest > before) return false;
    // A small part is copied once nothing more is taken from it: again for each chunk.
    if (rest > length && isSmallPart(rest, buffer)) return false;
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
    if (start === 0 && missed !== undefined && expected < FIRST_PART_BYTES) {
      const at = findAmongFew(missed, chunk, 0, SHORT_PART_BYTES);
      if (at !== -1) {
        return at + (typeof missed === "number" ? 1 : missed.length);
      }
    }
    if (expected > 0) return Math.max(expected, FIRST_PART_BYTES);
    const rest = chunk.length - start;
    const last = typeof missed === "number" ? missed : missed?.at(-1);
    // Doubling the buffered part is fast if it is short, or if that takes the whole
    // chunk.
    const isFast = length < FIRST_PART_BYTES || rest <= length;
    if (isFast || last === undefined) return Math.max(length, FIRST_PART_BYTES);
    const at = scanner.indexOf(chunk, last, start, chunk.length);
    if (at === -1) return rest;
    // It may not be the end: with one part per match, the decoder would run that often.
    const more = Math.max(at + 1 - start, FIRST_PART_BYTES, length >> 2);
    this.#input.need(length + Math.min(more, rest)); // room for it, and no more
    return more;
  }
}
