import type { Bytes } from "./bytes.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";

/**
 * How messages lie in a stream of bytes.
 *
 * A framing has no state of its own, so many connections may share one. The
 * {@linkcode Decoder} and the {@linkcode Encoder} made for a stream hold its state.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example Your own framing: a digit, and a number of that many digits
 * ```ts
 * import {
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   type Framing,
 *   FramingError,
 *   textFields,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const numbers: Framing<number> = {
 *   decoder: () => ({
 *     decode(input) {
 *       const count = (input.byteAt(0) ?? Infinity) - 0x30;
 *       if (input.length <= count) return undefined;
 *       if (count < 1 || count > 9) throw new FramingError("No count of digits");
 *       const [digits] = textFields(input.takeText(1 + count), /^.(\d+)$/);
 *       return Number(digits);
 *     },
 *   }),
 *   encoder: () => ({
 *     encode(number, output) {
 *       const digits = String(number);
 *       if (!/^\d{1,9}$/.test(digits)) throw new RangeError(`Not 1 to 9 digits: ${digits}`);
 *       output.writeText(`${digits.length}${digits}`);
 *     },
 *   }),
 * };
 *
 * const decoder = new ChunkDecoder(numbers);
 * assertEquals(decoder.decode(new ChunkEncoder(numbers).encode(123)), [123]);
 * assertEquals(decoder.decode(new TextEncoder().encode("1724")), [7]);
 * assertEquals(decoder.decode(new TextEncoder().encode("2")), [42]);
 * ```
 *
 * @example A framing with another encoder
 * ```ts
 * import { ChunkEncoder, type Framing, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const shouted: Framing<string> = {
 *   ...lines(),
 *   encoder: () => ({
 *     encode: (line, output) => output.writeText(`${line.toUpperCase()}!\n`),
 *   }),
 * };
 *
 * assertEquals(
 *   new ChunkEncoder(shouted).encode("hello"),
 *   new TextEncoder().encode("HELLO!\n"),
 * );
 * ```
 */
export interface Framing<out In = Bytes, in Out = In> {
  /**
   * Makes a decoder with fresh state, for one stream.
   *
   * @returns The decoder.
   */
  decoder(): Decoder<In>;
  /**
   * Makes an encoder with fresh state, for one stream. A stateless encoder may be the
   * same each time; a message to many connections is then encoded once for all.
   *
   * @returns The encoder.
   */
  encoder(): Encoder<Out>;
}

/**
 * Takes the messages of one stream from its bytes, one at a time.
 *
 * The reader of the stream owns the bytes, as a {@linkcode ByteInput}, and calls
 * {@linkcode Decoder.decode} when a caller asks for the next message. So bytes that were not
 * taken stay bytes, and another decoder may read the next message. A decoder that
 * remembers how far it has scanned must compare {@linkcode ByteInput.offset} to see
 * whether the bytes are still the same.
 *
 * @typeParam In The type of received messages.
 *
 * @example Pairs of bytes
 * ```ts
 * import { ChunkDecoder, type Decoder } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder: Decoder<number> = {
 *   decode: (input) =>
 *     input.length < 2 ? undefined : input.take(2).reduce((a, b) => a + b),
 * };
 *
 * const sums = new ChunkDecoder({ decoder: () => decoder });
 * assertEquals(sums.decode(new Uint8Array([1, 2, 3])), [3]);
 * assertEquals(sums.decode(new Uint8Array([4])), [7]);
 * ```
 */
export interface Decoder<out In> {
  /**
   * Takes the next message from the front of `input`.
   *
   * It returns `undefined` if the available bytes hold no whole message. If it took bytes
   * anyway, they are skipped, and it is called again. If not, it is called again when
   * there are more bytes: as many as it asked for with {@linkcode ByteInput.need}.
   *
   * When the stream has ended it is called again, even without bytes, until it takes
   * nothing. If bytes are then left, that is a {@linkcode FramingError} of code
   * `"truncated"`.
   *
   * @param input The bytes that were received but not taken yet.
   * @param ended Whether no more bytes come.
   * @returns The message, or `undefined` if there is none yet.
   * @throws If the bytes break a rule, preferably a {@linkcode FramingError}. It ends the
   * stream, after the messages before it.
   */
  decode(input: ByteInput, ended: boolean): In | undefined;
  /**
   * The most bytes that may be buffered without a whole message, including its delimiter
   * or header. More bytes end the stream with a {@linkcode FramingError} of code
   * `"too-long"`, as does a larger {@linkcode ByteInput.need}.
   *
   * @default {1_048_576}
   */
  readonly maxFrameLength?: number | undefined;
  /**
   * Whether bytes that were taken belong to a message that is not whole yet. Only a
   * decoder that takes a message in parts needs it. A connection's `messageTimeout`
   * depends on it, and on the bytes that are left.
   */
  readonly pending?: boolean | undefined;
}

/**
 * Writes the messages of one stream as frames.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example Frames that are numbered, separately in each stream
 * ```ts
 * import { ChunkEncoder, type Encoder } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function encoder(): Encoder<string> {
 *   let count = 0;
 *   return { encode: (text, output) => output.writeText(`${++count} ${text}\n`) };
 * }
 *
 * const frames = new ChunkEncoder({ encoder });
 * frames.encode("one");
 * assertEquals(frames.encode("two"), new TextEncoder().encode("2 two\n"));
 * ```
 */
export interface Encoder<in Out> {
  // A property: for a method, TypeScript accepts an encoder of fewer messages too.
  /**
   * Writes one message as one frame, before it returns: it must not be an async function.
   *
   * @param message The message.
   * @param output Where to write it. What was written is dropped if this throws.
   * @throws {TypeError} If the message would not be read back as itself.
   * @throws {RangeError} If the message has a length that is not allowed.
   */
  readonly encode: (message: Out, output: ByteOutput) => void;
}
