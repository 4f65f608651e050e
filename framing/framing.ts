/**
 * Bytes as they are received: a `Uint8Array` over an `ArrayBuffer`.
 *
 * It may be a view into a larger buffer. Its own bytes are never written again,
 * so it is the receiver's for good. Copy it before its buffer is transferred.
 *
 * @example Reading a number
 * ```ts
 * import { type Bytes, fixedLength } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function numberIn({ buffer, byteOffset }: Bytes): number {
 *   // The message is one part of its buffer.
 *   return new DataView(buffer, byteOffset).getUint16(0);
 * }
 *
 * const messages = fixedLength(2).decoder().decode(new Uint8Array([0, 7, 1, 0]));
 * assertEquals(messages.map(numberIn), [7, 256]);
 * ```
 */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * What framings of bytes take to send: bytes, or a string, which goes as UTF-8.
 *
 * @example Bytes and text, in the same framing
 * ```ts
 * import { netstrings, type Sendable } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const messages: Sendable[] = ["hi", new Uint8Array([0x68, 0x69])];
 * const [text, bytes] = messages.map((message) => netstrings().encode(message));
 * assertEquals(text, bytes);
 * ```
 */
export type Sendable = Uint8Array | string;

/**
 * How messages lie in a stream of bytes.
 *
 * A framing has no state of its own, so many connections may share one. What
 * one byte stream needs to remember is in the {@linkcode Decoder} made for it.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
 *
 * @example A framing of one's own, in terms of another
 * ```ts
 * import { type Framing, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const shouted: Framing<string> = {
 *   decoder: () => lines().decoder(),
 *   encode: (message) => lines().encode(message.toUpperCase()),
 * };
 *
 * assertEquals(shouted.decoder().decode(shouted.encode("hello")), ["HELLO"]);
 * ```
 */
export interface Framing<In = Bytes, Out = In> {
  /**
   * Makes a decoder with fresh state, for one byte stream.
   *
   * @returns The decoder.
   */
  decoder(): Decoder<In>;
  /**
   * Encodes one message as one frame.
   *
   * @param message The message.
   * @returns The frame: bytes of its own, which nobody writes to again, or bytes
   * of the message.
   * @throws {TypeError} If the message would not be read back as itself.
   * @throws {RangeError} If the message has a length that is not allowed.
   */
  encode(message: Out): Uint8Array;
  /**
   * Encodes one message into a buffer that has room: the same frame as from
   * {@linkcode Framing.encode}, without an allocation for each message.
   *
   * May be left out; a connection then uses {@linkcode Framing.encode}.
   *
   * @param message The message.
   * @param target The buffer to write to.
   * @param offset Where the frame begins in `target`, in bytes.
   * @returns The length of the frame in bytes, or -1 when it might not fit or cannot
   * be written this way: then use {@linkcode Framing.encode} for this message, at once.
   * What lies behind `offset` is undefined then.
   * @throws {TypeError} If the message would not be read back as itself.
   * @throws {RangeError} If the message has a length that is not allowed.
   */
  encodeInto?(message: Out, target: Uint8Array, offset: number): number;
  /**
   * Encodes one message as text whose UTF-8 is the frame, so that a connection can
   * join many and encode them at once.
   *
   * May be left out.
   *
   * @param message The message.
   * @returns The text, or `undefined` if the frame of this message is not text that
   * can be joined: then use another way for this message, at once.
   * @throws {TypeError} If the message would not be read back as itself.
   * @throws {RangeError} If the message has a length that is not allowed.
   */
  encodeText?(message: Out): string | undefined;
}

/**
 * Turns the chunks of one byte stream into messages.
 *
 * When {@linkcode Decoder.decode} meets an error behind messages, it returns
 * these, and the next call throws. Every later call throws the same error.
 *
 * @typeParam In What is received.
 *
 * @example Messages cut anywhere
 * ```ts
 * import { type Decoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder: Decoder<string> = lines().decoder();
 * const encoder = new TextEncoder();
 *
 * assertEquals(decoder.decode(encoder.encode("one\ntw")), ["one"]);
 * assertEquals(decoder.pending, true);
 * assertEquals(decoder.decode(encoder.encode("o\nthree")), ["two"]);
 * assertEquals(decoder.end(), ["three"]);
 * assertEquals(decoder.end(), []);
 * ```
 */
export interface Decoder<In> {
  /**
   * Takes the next bytes of the stream.
   *
   * The decoder keeps views of the chunk, and messages may be views of it: do
   * not write to it again.
   *
   * An empty chunk asks whether an error lies behind the last messages: it throws
   * that, and must give no message. Connections and streams ask so before they wait
   * for more bytes.
   *
   * @param chunk The next bytes, cut from the stream anywhere; or none.
   * @returns The messages that this chunk completes, in order.
   * @throws {FramingError} If the bytes break a rule of the framing.
   */
  decode(chunk: Uint8Array): In[];
  /**
   * Says that the stream has ended. Call it until it returns nothing: an error
   * may lie behind what it returned.
   *
   * @returns The remainder, where the framing makes a message of it.
   * @throws {FramingError} If the stream ended inside a message.
   */
  end(): In[];
  /**
   * Whether a message has begun to arrive and is not whole yet.
   *
   * May be left out; a connection's `messageTimeout` needs it.
   */
  readonly pending?: boolean | undefined;
}
