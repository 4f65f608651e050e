import type { Bytes, Decoder } from "./framing.ts";

/** What a framing implements: {@linkcode Decoder} without the rules that all share. */
export interface Parser<In> {
  /** Whether a message has begun and is not whole yet. */
  readonly pending: boolean | undefined;
  /**
   * Adds the messages that `chunk` completes to `messages`; throws behind them.
   * An empty chunk completes none, but asks for an error that was put off.
   */
  parse(chunk: Bytes, messages: In[]): void;
  /** Adds what the end of the stream completes to `messages`; throws behind them. */
  end(messages: In[]): void;
}

// A small view of a large buffer is copied where it outlives the chunk. The limits
// are such that copying is cheap, and keeping the buffer is not.
const SMALL_VIEW_BYTES = 16 * 1024;
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
    return this.#run(asBytes(chunk));
  }

  end(): In[] {
    return this.#run(undefined);
  }

  #run(chunk: Bytes | undefined): In[] {
    if (this.#failure !== undefined) throw this.#failure.error;
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

/** The chunk as bytes of which messages can be views. */
export function asBytes(chunk: Uint8Array): Bytes {
  if (!(chunk instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot decode chunk as it must be a Uint8Array: current value is of type ${typeof chunk}`,
    );
  }
  return isOverArrayBuffer(chunk) ? chunk : new Uint8Array(chunk);
}

function isOverArrayBuffer(bytes: Uint8Array): bytes is Bytes {
  return bytes.buffer instanceof ArrayBuffer;
}

/**
 * The same bytes for views that outlive the chunk: themselves, or a copy where a
 * small message would keep a large buffer alive.
 */
export function ownedBytes(bytes: Bytes): Bytes {
  const { byteLength } = bytes;
  const bufferLength = bytes.buffer.byteLength;
  const isSmall = byteLength < SMALL_VIEW_BYTES &&
    byteLength * 4 < bufferLength && bufferLength > SMALL_BUFFER_BYTES;
  return isSmall ? new Uint8Array(bytes) : bytes;
}
