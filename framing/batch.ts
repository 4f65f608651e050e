import { concat } from "@std/bytes/concat";
import { type MessageMaker, RangeDecoder } from "./_decoders.ts";
import { type Frames, giveBackFrames, takeFrames } from "./_frames.ts";
import { addTexts, TextFrameDecoder } from "./_text_frames.ts";
import { checkUintSize, readUint } from "./_uint.ts";
import { decodeText } from "./_utf8.ts";
import type { Bytes } from "./bytes.ts";
import type { Decoder } from "./framing.ts";
import { addViews, type InputBuffer } from "./input_buffer.ts";

const NO_BYTES: Bytes = new Uint8Array(0);

/** The parts of a {@linkcode Batch}. */
interface BatchParts<In> {
  /** The buffer. */
  readonly bytes: Bytes;
  /** The offset in the buffer that the frames' offsets count from. */
  readonly start: number;
  readonly frames: Frames;
  /** The messages, if they were decoded already. */
  readonly messages?: readonly In[];
  /** Where the frame of each begins; `undefined` if frames lie without a gap. */
  readonly fronts?: readonly number[];
  /** The messages whose frame in the buffer holds a part of them, or other messages too. */
  readonly inParts?: readonly number[];
  /** Makes the messages, if not decoded already. Their frames then lie without a gap. */
  readonly maker?: MessageMaker<In> | undefined;
  /** ASCII text that is between messages, and never in one. */
  readonly separator?: string | undefined;
  /** The input that lends the bytes. */
  readonly input: InputBuffer;
}

// Set by the class: its constructor is only for this file.
let batchOf: <In>(parts: BatchParts<In>) => Batch<In>;

/**
 * The messages of one read, as offsets into the buffer. A message is decoded when you
 * access it, so counting, parsing, reading text and forwarding cost no memory.
 *
 * `Connection.batches()` makes them. A batch is valid until you ask for the next one;
 * messages from {@linkcode Batch.at} and from iteration are the receiver's for good.
 *
 * @typeParam In The type of received messages.
 *
 * @example Adding up the first byte of each message
 * ```ts
 * import { type Batch, delimited, InputBuffer, takeBatch } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function firstBytes(batch: Batch<Uint8Array>): number {
 *   let sum = 0;
 *   for (let i = 0; i < batch.length; i++) sum += batch.byteAt(i, 0) ?? 0;
 *   return sum;
 * }
 *
 * const input = new InputBuffer();
 * input.append(new Uint8Array([1, 0xaa, 0, 2, 0xbb, 0, 3]));
 * const batch = takeBatch(input, delimited("\0").decoder());
 * assertEquals(batch && firstBytes(batch), 3);
 * ```
 */
export class Batch<In> implements Iterable<In> {
  static {
    batchOf = (parts) => new Batch(parts);
  }

  /** How many messages there are. */
  readonly length: number;
  #parts: BatchParts<In> | undefined;
  // Identifies this loan of the bytes.
  readonly #lending: number;
  #texts: string[] | undefined;
  #hasViews = false;
  // The message that was accessed last, and its offsets: callers mostly read several
  // parts of one.
  #index: number | undefined;
  #bytes: Bytes;
  #start = 0;
  #length = 0;

  private constructor(parts: BatchParts<In>) {
    this.#parts = parts;
    this.#lending = parts.input.lend();
    this.#bytes = parts.bytes;
    this.length = parts.frames.count;
  }

  /**
   * Decodes a message.
   *
   * @param index Which one, from 0 on.
   * @returns The message, which is the caller's for good.
   * @throws {RangeError} If there is no such message.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  at(index: number): In {
    const { messages, maker } = this.#valid(index);
    return maker === undefined || messages !== undefined
      ? messages![index]! // there is one for each frame
      : maker.one(this, index);
  }

  /**
   * Reads a byte of a message. If the framing makes values, this is a byte of the frame
   * that the value was made from.
   *
   * @param index Which message, from 0 on.
   * @param offset Where in the message the byte lies.
   * @returns The byte, or `undefined` if the message is shorter.
   * @throws {RangeError} If there is no such message.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  byteAt(index: number, offset: number): number | undefined {
    if (index !== this.#index) this.#lookAt(index);
    return offset >= 0 && offset < this.#length
      ? this.#bytes[this.#start + offset]
      : undefined;
  }

  /**
   * Reads an unsigned integer within a message, such as a field of its header. If the
   * framing makes values, this reads the frame that the value was made from.
   *
   * @param index Which message, from 0 on.
   * @param offset Where in the message the integer begins.
   * @param size Its size in bytes, from 1 to 8.
   * @param littleEndian Whether its lowest byte comes first; by default the highest.
   * @returns The number, exact up to `Number.MAX_SAFE_INTEGER`, or `undefined` if the
   * message is shorter.
   * @throws {RangeError} If `size` is not one of these, or there is no such message.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   *
   * @example Messages of one kind
   * ```ts
   * import { InputBuffer, lengthPrefixed, takeBatch } from "@framed/tcp/framing";
   * import { assertEquals } from "@std/assert";
   *
   * const input = new InputBuffer();
   * input.append(new Uint8Array([0, 0, 0, 3, 0x01, 0x02, 9]));
   * const batch = takeBatch(input, lengthPrefixed().decoder());
   * assertEquals(batch?.uintAt(0, 0, 2), 0x0102);
   * ```
   */
  uintAt(
    index: number,
    offset: number,
    size: number,
    littleEndian = false,
  ): number | undefined {
    checkUintSize(size);
    const { bytes, start, frames } = this.#valid(index);
    const at = frames.start(index) + offset;
    return Number.isInteger(offset) && offset >= 0 &&
        at + size <= frames.end(index)
      ? readUint(bytes, start + at, size, littleEndian)
      : undefined;
  }

  /**
   * Reads a message as UTF-8 text; bytes that are not UTF-8 are read as U+FFFD. If the
   * framing makes values, it is the text of the frame.
   *
   * @param index Which message, from 0 on.
   * @returns The text.
   * @throws {RangeError} If there is no such message.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  textAt(index: number): string {
    const parts = this.#valid(index);
    this.#texts ??= textsOf(parts);
    return this.#texts[index]!; // there is one for each frame
  }

  /**
   * Reads all messages as UTF-8 text, as {@linkcode Batch.textAt} does.
   *
   * @returns The texts.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  allTexts(): string[] {
    if (this.#parts === undefined) throw isOver();
    // The array is the caller's, who may change it.
    return this.#texts?.slice() ?? textsOf(this.#parts);
  }

  /**
   * The bytes of all messages, as {@linkcode Batch.bytesAt} gives them.
   *
   * @returns The bytes of each.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  allBytes(): Bytes[] {
    if (this.#parts === undefined) throw isOver();
    const { bytes, start, frames } = this.#parts;
    this.#hasViews = true;
    const all: Bytes[] = [];
    addViews(bytes.buffer, bytes.byteOffset + start, frames, all);
    return all;
  }

  /**
   * The bytes of a message. If the framing makes values, they are the bytes of the frame;
   * if the frame was taken in parts, those of the last part. If a frame holds several
   * messages, the first has its bytes and the others have none.
   *
   * @param index Which message, from 0 on.
   * @returns The bytes, which are the caller's for good.
   * @throws {RangeError} If there is no such message.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  bytesAt(index: number): Bytes {
    const { bytes, start, frames } = this.#valid(index);
    this.#hasViews = true;
    const from = frames.start(index);
    return new Uint8Array(
      bytes.buffer,
      bytes.byteOffset + start + from,
      frames.end(index) - from,
    );
  }

  /**
   * The frames of some messages as they came, for example to forward them. Copy them to
   * keep them: they are valid only as long as the batch is.
   *
   * If the framing takes messages in parts, as {@linkcode headed} and {@linkcode grouped}
   * do, the first part may be gone: such a frame is refused. So is one that messages
   * share, as with {@linkcode assembled}: with one of them, the others would be forwarded.
   *
   * @param from The first message, from 0 on.
   * @param to The first message after the range.
   * @returns The number of messages, and their bytes.
   * @throws {TypeError} If one of the messages was taken in parts, or shares its frame.
   * @throws {RangeError} If there are no such messages.
   * @throws {DOMException} An `InvalidStateError` if the next batch was asked for.
   */
  framesOf(
    from: number = 0,
    to: number = this.length,
  ): { count: number; frames: Uint8Array } {
    const parts = this.#parts;
    if (parts === undefined) throw isOver();
    // Half of an odd number is not an index.
    const arePlaces = Number.isInteger(from) && Number.isInteger(to);
    if (!(arePlaces && from >= 0 && from <= to && to <= this.length)) {
      throw new RangeError(
        `Cannot take messages ${from} to ${to}: there are ${this.length}`,
      );
    }
    const { bytes, start, frames: places, fronts, maker, inParts = [] } = parts;
    const part = inParts.find((index) => index >= from && index < to);
    if (part !== undefined) {
      throw new TypeError(
        `Cannot take the frame of message ${part} as its framing takes messages in parts, or several from a frame: send the message instead`,
      );
    }
    const count = to - from;
    if (maker !== undefined || fronts === undefined) {
      // A frame begins where the previous one ends.
      const first = start + places.endOf(from);
      return { count, frames: bytes.subarray(first, start + places.endOf(to)) };
    }
    // Between frames there may be others that made no message.
    const frames = Array.from({ length: count }, (_, i) => {
      const at = from + i;
      return bytes.subarray(
        start + (fronts[at] ?? places.start(at)),
        start + places.endOf(at + 1),
      );
    });
    return { count, frames: concat(frames) };
  }

  /**
   * Iterates over the messages, decoded as by {@linkcode Batch.at}.
   *
   * @returns An iterator.
   */
  [Symbol.iterator](): IterableIterator<In> {
    // Because it is this short, it is inlined at the call, and the iterator is never made
    // (measured: 8 ns a message).
    return this.#all().values();
  }

  /** Ends the batch: it is no longer used. */
  release(): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    this.#parts = undefined;
    this.#texts = undefined;
    this.#bytes = NO_BYTES;
    this.#index = undefined;
    giveBackFrames(parts.frames);
    if (!this.#hasViews) parts.input.giveBack(parts.bytes, this.#lending);
  }

  /** Makes the messages together, which is faster than one by one. */
  #all(): readonly In[] {
    if (this.#parts === undefined) throw isOver();
    const { messages, maker } = this.#parts;
    return messages ?? maker?.all(this) ?? [];
  }

  #lookAt(index: number): void {
    const { start, frames } = this.#valid(index);
    const from = frames.start(index);
    this.#index = index;
    this.#start = start + from;
    this.#length = frames.end(index) - from;
  }

  #valid(index: number): BatchParts<In> {
    const parts = this.#parts;
    if (parts === undefined) throw isOver();
    // Differs for fractions, NaN and negative numbers; runs for each message.
    if (index >>> 0 !== index || index >= this.length) {
      throw new RangeError(
        `Cannot look at message ${index}: there are ${this.length}`,
      );
    }
    return parts;
  }
}

/**
 * Takes the messages that have arrived, as many as are found together.
 *
 * @typeParam In The type of received messages.
 * @param input The bytes to take them from.
 * @param decoder The decoder that takes them.
 * @param ended Whether no more bytes come.
 * @returns The messages, or `undefined` if there are none. Release the batch before you
 * take or add anything else.
 * @throws What {@linkcode InputBuffer.pull} throws, after the messages before it.
 *
 * @example Counting messages
 * ```ts
 * import { InputBuffer, lines, takeBatch } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const input = new InputBuffer();
 * input.append(new TextEncoder().encode("one\ntwo\nthr"));
 * const batch = takeBatch(input, lines().decoder());
 * assertEquals(batch?.length, 2);
 * batch?.release();
 * assertEquals(input.length, 3);
 * ```
 */
export function takeBatch<In>(
  input: InputBuffer,
  decoder: Decoder<In>,
  ended: boolean = false,
): Batch<In> | undefined {
  const frames = takeFrames(input.length);
  const { bytes, start } = input.source;
  let maker: MessageMaker<In> | undefined;
  if (decoder instanceof RangeDecoder) {
    maker = decoder.maker;
    const { finder } = decoder;
    if (maker !== undefined && input.findFrames(finder, frames)) {
      input.skip(frames.endOf(frames.count));
      const { separator } = finder;
      return batchOf({ bytes, start, frames, maker, separator, input });
    }
    const sound = decoder.takeSound(input, frames);
    if (sound !== undefined) {
      return batchOf({ bytes, start, frames, messages: sound, input });
    }
  }
  const messages: In[] = [];
  const { offset } = input;
  const fronts: number[] = [];
  const inParts: number[] = [];
  const front = takeOneByOne(
    input,
    decoder,
    ended,
    { frames, messages, fronts, inParts },
  );
  if (messages.length > 0) {
    // The decoder may have taken more after the last message, and released its chunk.
    const first = start + front - offset;
    return batchOf({
      bytes,
      start: first,
      frames,
      messages,
      maker,
      fronts,
      inParts,
      input,
    });
  }
  giveBackFrames(frames);
  return undefined;
}

/**
 * Takes the next message if it was decoded together with those before it, and can no
 * longer fail. This takes a third less time than {@linkcode InputBuffer.pull}.
 *
 * @returns The message, or `undefined` if it has to be pulled.
 */
export function takeAhead<In>(
  input: InputBuffer,
  decoder: Decoder<In>,
): In | undefined {
  return decoder instanceof RangeDecoder ? decoder.takeAhead(input) : undefined;
}

/**
 * Takes messages that are not found together; only one, if those after it may be.
 *
 * @returns The offset in the stream at which the first frame begins.
 */
function takeOneByOne<In>(
  input: InputBuffer,
  decoder: Decoder<In>,
  ended: boolean,
  { frames, messages, fronts, inParts }: {
    frames: Frames;
    messages: In[];
    fronts: number[];
    inParts: number[];
  },
): number {
  const isRange = decoder instanceof RangeDecoder &&
    decoder.maker !== undefined;
  const most = isRange ? 1 : frames.ends.length;
  let front = 0;
  frames.clear(0, 0);
  try {
    while (frames.count < most) {
      // The last frame may hold this message too, or its beginning. The input forgets that
      // if another decoder takes messages in between.
      if (!isRange) input.hasParts = decoder.pending === true;
      const message = input.pull(decoder, ended);
      if (message === undefined) break;
      const isPart = !isRange && (input.hadParts || decoder.pending === true);
      if (isPart) inParts.push(messages.length);
      messages.push(message);
      if (frames.count === 0) front = input.frameOffset;
      const start = input.frameOffset - front;
      const next = input.offset - front;
      if (isRange) {
        // The last frame found is the frame of this message.
        const { start: from, end } = decoder.finder;
        frames.add(start + from, start + end, next);
      } else if (decoder instanceof TextFrameDecoder) {
        fronts.push(start);
        frames.add(start + decoder.start, start + decoder.end, next);
      } else {
        frames.add(start, next, next);
      }
      // A function of the framing may have switched to another.
      if (input.isOverFor(decoder)) break;
    }
  } catch (error) {
    if (messages.length === 0) throw error;
    input.failNext(error, decoder);
  }
  return front;
}

function textsOf<In>(
  { bytes, start, frames, separator }: BatchParts<In>,
): string[] {
  const texts: string[] = [];
  // For all messages together, which takes a tenth of the time.
  const textAt = (from: number, to: number) =>
    decodeText(bytes.subarray(start + from, start + to));
  const byteAt = (index: number) => bytes[start + index];
  addTexts({ byteAt, textAt }, frames, separator, texts, false);
  return texts;
}

function isOver(): DOMException {
  return new DOMException(
    "Cannot use batch as the next one was asked for: keep its messages, not the batch",
    "InvalidStateError",
  );
}
