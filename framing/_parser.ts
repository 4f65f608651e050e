import type { Bytes, Decoder } from "./framing.ts";

/** What a framing implements: {@linkcode Decoder} without the rules that all share. */
export interface Parser<In> {
  /** Whether a message has begun and is not whole yet. */
  readonly pending: boolean | undefined;
  /** Adds the messages that `chunk` completes to `messages`; throws behind them. */
  parse(chunk: Bytes, messages: In[]): void;
  /** Adds what the end of the stream completes to `messages`; throws behind them. */
  end(messages: In[]): void;
}

// A view of less than a quarter of its buffer is copied, unless the buffer is
// so small that many of them cost little.
const SMALL_BUFFER_BYTES = 4096;

/** Makes a decoder that delivers the messages before an error ahead of it. */
export function parserDecoder<In>(parser: Parser<In>): Decoder<In> {
  return new ParserDecoder(parser);
}

class ParserDecoder<In> implements Decoder<In> {
  readonly #parser: Parser<In>;
  #failure: { readonly error: unknown } | undefined;

  constructor(parser: Parser<In>) {
    this.#parser = parser;
  }

  get pending(): boolean | undefined {
    return this.#parser.pending;
  }

  decode(chunk: Uint8Array): In[] {
    return this.#run(ownedBytes(chunk));
  }

  end(): In[] {
    return this.#run(undefined);
  }

  #run(chunk: Bytes | undefined): In[] {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (chunk?.length === 0) return [];
    const messages: In[] = [];
    try {
      if (chunk === undefined) this.#parser.end(messages);
      else this.#parser.parse(chunk, messages);
    } catch (error) {
      this.#failure = { error };
      if (messages.length === 0) throw error;
    }
    return messages;
  }
}

/**
 * The bytes of `chunk` for views that outlive it: themselves, or a copy where a
 * small message would keep a large buffer alive.
 */
export function ownedBytes(chunk: Uint8Array): Bytes {
  if (!(chunk instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot decode chunk as it must be a Uint8Array: current value is of type ${typeof chunk}`,
    );
  }
  const { buffer, byteLength } = chunk;
  const small = byteLength * 4 < buffer.byteLength &&
    buffer.byteLength > SMALL_BUFFER_BYTES;
  return small || !isOverArrayBuffer(chunk) ? new Uint8Array(chunk) : chunk;
}

function isOverArrayBuffer(bytes: Uint8Array): bytes is Bytes {
  return bytes.buffer instanceof ArrayBuffer;
}
