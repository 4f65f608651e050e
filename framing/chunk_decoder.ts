import { ChunkInput } from "./_chunk_input.ts";
import { ManyDecoder } from "./_decoders.ts";
import { checkMethod } from "./_limits.ts";
import type { Bytes } from "./bytes.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import { OutputBuffer } from "./output_buffer.ts";

/**
 * Turns the chunks of one stream into messages, for bytes that do not come from a
 * connection but from a file, a test or a `WebSocket`.
 *
 * @typeParam In The type of received messages.
 *
 * @example Messages cut anywhere
 * ```ts
 * import { ChunkDecoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(lines());
 * const encoder = new TextEncoder();
 *
 * assertEquals(decoder.decode(encoder.encode("one\ntw")), ["one"]);
 * assertEquals(decoder.pending, true);
 * assertEquals(decoder.decode(encoder.encode("o\nthree")), ["two"]);
 * assertEquals(decoder.end(), ["three"]);
 * ```
 *
 * @example Messages before an error
 * ```ts
 * import { ChunkDecoder, FramingError, netstrings } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new ChunkDecoder(netstrings());
 * const bytes = new TextEncoder().encode("2:hi,oh");
 *
 * assertEquals(decoder.decode(bytes), ["hi"].map((text) => new TextEncoder().encode(text)));
 * assertThrows(() => decoder.end(), FramingError);
 * ```
 */
export class ChunkDecoder<In> {
  readonly #input = new ChunkInput();
  readonly #decoder: Decoder<In>;
  #isDecoding = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * Makes a decoder with fresh state, for one stream.
   *
   * @param framing Where messages begin and end.
   * @throws {TypeError} If `framing` is not a framing.
   */
  constructor(framing: Pick<Framing<In, never>, "decoder">) {
    checkMethod("decode messages", "decoder", framing);
    this.#decoder = framing.decoder();
  }

  /** Whether a message has begun to arrive but is not whole yet. */
  get pending(): boolean {
    return this.#input.hasRest || this.#decoder.pending === true;
  }

  /**
   * Takes the next bytes of the stream.
   *
   * Messages may be views of the chunk: do not write to it again.
   *
   * If an error comes after messages, these are returned, and the next call throws.
   * Every later call throws the same error.
   *
   * @param chunk The next bytes, cut anywhere; may be empty.
   * @returns The messages that this chunk completes, in order.
   * @throws {FramingError} If the bytes break a rule of the framing.
   * @throws {DOMException} An `InvalidStateError` if a function of the framing calls this
   * while a message is decoded.
   */
  decode(chunk: Uint8Array): In[] {
    this.#checkState();
    this.#input.append(chunk);
    return this.#pullAll(false);
  }

  /**
   * Says that the stream has ended.
   *
   * If an error comes after messages, these are returned, and the next call throws. A
   * stream may also end inside a message that the remainder belongs to, as with
   * `assembled()`: to get that error, call this until it returns none.
   *
   * @returns The remainder, if the framing makes it a message.
   * @throws {FramingError} If the stream ended inside a message.
   */
  end(): In[] {
    this.#checkState();
    return this.#pullAll(true);
  }

  #checkState(): void {
    if (this.#isDecoding) {
      throw new DOMException(
        "Cannot decode chunk: it was given by the framing's own function while that decodes another",
        "InvalidStateError",
      );
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #pullAll(ended: boolean): In[] {
    const messages: In[] = [];
    const decoder = this.#decoder;
    this.#isDecoding = true;
    try {
      for (;;) {
        if (decoder instanceof ManyDecoder) {
          this.#input.pullMany<In>(decoder, messages);
        }
        const message = this.#input.pull(decoder, ended);
        if (message === undefined) return messages;
        messages.push(message);
      }
    } catch (error) {
      this.#failure = { error };
      if (messages.length === 0) throw error;
      return messages;
    } finally {
      this.#isDecoding = false;
    }
  }
}

/**
 * Turns messages into frames, for bytes that do not go to a connection.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example A frame
 * ```ts
 * import { ChunkEncoder, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const encoder = new ChunkEncoder(lengthPrefixed({ fieldSize: 2 }));
 * assertEquals(encoder.encode("hi"), new Uint8Array([0, 2, 0x68, 0x69]));
 * ```
 */
export class ChunkEncoder<Out> {
  readonly #output = new OutputBuffer();
  readonly #encoder: Encoder<Out>;

  /**
   * Makes an encoder with fresh state, for one stream.
   *
   * @param framing How messages are written.
   * @throws {TypeError} If `framing` is not a framing.
   */
  constructor(framing: Pick<Framing<unknown, Out>, "encoder">) {
    checkMethod("encode messages", "encoder", framing);
    this.#encoder = framing.encoder();
  }

  /**
   * Encodes one message.
   *
   * @param message The message.
   * @returns The frame, which the caller owns.
   * @throws {TypeError} If the message would not be read back as itself.
   * @throws {RangeError} If the message has a length that is not allowed.
   */
  encode(message: Out): Bytes {
    this.#output.push(this.#encoder, message);
    return this.#output.takeBytes();
  }
}
