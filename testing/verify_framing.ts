import { concat } from "@std/bytes/concat";
import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { Encoder, Framing } from "../framing/framing.ts";
import { isFramingError } from "../framing/framing_error.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import {
  checkBoolean,
  checkCount,
  checkFunction,
  checkLength,
} from "../internal/checks.ts";
import {
  checkFraming,
  checkFramingMethod,
} from "../internal/connection_options.ts";
import { isBytes, isError } from "../internal/realms.ts";
import { type Random, seededRandom } from "../internal/random.ts";
import { shownValue, textOf } from "../internal/shown.ts";
import { type DecodeOptions, decodeStream, type Outcome } from "./_decoding.ts";
import { damaged, randomCuts } from "./_random.ts";
import {
  bytesIn,
  isSame,
  overwrite,
  show,
  showBytes,
  showEnds,
} from "./_same.ts";

/**
 * The limit of a framing, for {@linkcode verifyFraming}.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example Lines of up to 80 bytes
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { verifyFraming, type VerifyLimit } from "@framed/tcp/testing";
 *
 * const limit: VerifyLimit<string> = {
 *   maxLength: 80,
 *   message: (length) => "x".repeat(length),
 *   larger: lines(), // sends the frame that must be refused
 * };
 * verifyFraming(lines({ maxLength: 80 }), ["hello"], { limit });
 * // asserts that 80 bytes pass and 81 do not, wherever they are cut
 * ```
 */
export interface VerifyLimit<Out> {
  /** The most bytes in a message. */
  maxLength: number;
  /** Makes a message of `length` bytes. */
  message: (length: number) => Out;
  /**
   * The same framing with a larger limit. Its encoder makes the frame that must be
   * refused, if the framing's own encoder refuses to.
   */
  larger?: Pick<Framing<unknown, Out>, "encoder"> | undefined;
}

/**
 * Options for {@linkcode verifyFraming}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example Streams that must be refused
 * ```ts
 * import { netstrings } from "@framed/tcp/framing";
 * import { verifyFraming, type VerifyFramingOptions } from "@framed/tcp/testing";
 * import { assertThrows } from "@std/assert";
 *
 * const encoder = new TextEncoder();
 * const options: VerifyFramingOptions = {
 *   refused: ["5:hello;", "05:hello,", "x"].map((text) => encoder.encode(text)),
 * };
 * verifyFraming(netstrings(), ["hello", ""], options);
 *
 * const fine = { refused: [encoder.encode("2:hi,")] };
 * assertThrows(() => verifyFraming(netstrings(), ["hello"], fine), Error, "not refused");
 * ```
 */
export interface VerifyFramingOptions<In = Bytes, Out = SendableFor<In>> {
  /**
   * The messages received, if they differ from those sent. A sent string is the same as
   * its bytes in UTF-8.
   *
   * @default {messages}
   */
  received?: readonly In[] | undefined;
  /** The limit, to verify that a message of this length passes and a longer one does not. */
  limit?: VerifyLimit<Out> | undefined;
  /** Bytes that must be refused if they come after the messages. */
  refused?: readonly Uint8Array[] | undefined;
  /**
   * Whether each message must be decoded with the last byte of its frame. Otherwise a
   * peer that waits for an answer to it may wait forever.
   *
   * @default {true}
   */
  prompt?: boolean | undefined;
  /**
   * Whether wrong bytes may cause this error. By default only a {@linkcode FramingError}
   * is allowed.
   */
  isAllowed?: ((error: unknown) => boolean) | undefined;
  /**
   * How many random ways to cut the stream, and to damage it, to try.
   *
   * @default {200}
   */
  rounds?: number | undefined;
  /**
   * The seed of the random choices. The same seed gives the same cuts.
   *
   * @default {1}
   */
  seed?: number | undefined;
}

/**
 * Verifies that a framing keeps its promises. If not, its error says which bytes, cut
 * where, break which promise.
 *
 * - Each new encoder sends a message as the same bytes, and it is read back as it was.
 * - That holds wherever the stream is cut: nowhere; in all ways up to 10 bytes; at each
 *   place up to 2,000 bytes; between all bytes up to 64 KiB; and in many random ways.
 * - A message does not change when more bytes arrive, and its receiver may write to it.
 * - Streams, and both directions of one, share no state.
 * - A stream that ends within a message, that is damaged, or that you say must be
 *   refused, gives an error after the messages before it, the same for every cut, and
 *   decoding always ends. If the stream ends within a message, the part may also be a
 *   message. It may end before a message, after bytes such as a preface or white space.
 * - If you give `limit`, a message of that length passes, and a longer one is refused. If
 *   the encoder refuses it, the next message is encoded as if it had not been tried.
 *
 * `unframed` does not pass, because it promises none of this: it makes each read a
 * message.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param framing The framing.
 * @param messages Some messages, preferably of all kinds: short, long, empty, and with
 * anything special to the framing.
 * @param options What else to verify.
 * @throws {Error} If it breaks a promise; an error of the framing is the `cause`.
 * @throws {TypeError} If `messages`, `received` or `refused` is no array, if there are no
 * messages, or if `received` has more or fewer.
 * @throws {RangeError} If a number in the options is out of range.
 *
 * @example A framing that takes a length before the rest has arrived
 * ```ts
 * import type { Framing } from "@framed/tcp/framing";
 * import { verifyFraming } from "@framed/tcp/testing";
 * import { assertThrows } from "@std/assert";
 *
 * const words: Framing<string> = {
 *   decoder: () => ({
 *     decode(input) {
 *       const length = input.byteAt(0);
 *       if (length === undefined) return undefined;
 *       input.skip(1); // too early
 *       return input.length < length ? undefined : input.takeText(length);
 *     },
 *   }),
 *   encoder: () => ({
 *     encode(word, output) {
 *       output.writeByte(word.length);
 *       output.writeText(word);
 *     },
 *   }),
 * };
 *
 * assertThrows(
 *   () => verifyFraming(words, ["one", "two"]),
 *   Error,
 *   'cut into "\\x03" | "one\\x03two" at 1: it gives message 0 as "two", which was "one"',
 * );
 * ```
 */
export function verifyFraming<In, Out>(
  framing: Framing<In, Out>,
  messages: readonly Out[],
  options: VerifyFramingOptions<In, Out> = {},
): void {
  const { received = messages, limit, rounds, seed } = options;
  checkFraming({ framing }, TASK);
  checkCount(TASK, "rounds", rounds);
  if (seed !== undefined && !Number.isSafeInteger(seed)) {
    throw new RangeError(
      `Cannot ${TASK} as seed must be a whole number: current value is ${
        shownValue(seed)
      }`,
    );
  }
  checkBoolean("prompt", options.prompt);
  if (options.isAllowed !== undefined) {
    checkFunction(TASK, "isAllowed", options.isAllowed);
  }
  checkArray("messages", messages);
  checkArray("received", received);
  checkArray("refused", options.refused ?? []);
  if (messages.length === 0) {
    throw new TypeError(`Cannot ${TASK} without messages`);
  }
  if (received.length !== messages.length) {
    throw new TypeError(
      `Cannot ${TASK} as received must have as many messages as are sent: ${received.length} and ${messages.length}`,
    );
  }
  if (limit !== undefined) {
    checkLength(TASK, "limit.maxLength", limit?.maxLength ?? NaN);
    checkFunction(TASK, "limit.message", limit.message);
    if (limit.larger !== undefined) {
      checkFramingMethod(limit.larger, "encoder", TASK);
    }
  }
  new Verification(framing, options).verify(messages, received);
}

const TASK = "verify framing";

/** Throws unless `value` is an array: a string would be read letter by letter. */
function checkArray(name: string, value: unknown): void {
  if (Array.isArray(value)) return;
  throw new TypeError(
    `Cannot ${TASK} as ${name} must be an array: current value is ${
      shownValue(value)
    }`,
  );
}

const DEFAULT_ROUNDS = 200;
// A stream up to this length is cut in all ways, and at every place.
const MAX_BYTES_FOR_ALL_WAYS = 10;
const MAX_BYTES_FOR_EACH_PLACE = 2000;
const MAX_BYTES_FOR_EACH_BYTE = 64 * 1024;
const ROUNDS_OF_ONE_FRAME = 20;
const MAX_TRIES_WITH_FEWER = 500;
// A damaged stream is decoded three times a round, so a longer one is shortened.
const MAX_DAMAGED_BYTES = 16 * 1024;

class Verification<In, Out> {
  readonly #framing: Framing<In, Out>;
  readonly #options: VerifyFramingOptions<In, Out>;
  readonly #rounds: number;
  readonly #seed: number;
  readonly #random: Random;

  constructor(
    framing: Framing<In, Out>,
    options: VerifyFramingOptions<In, Out>,
  ) {
    const { rounds = DEFAULT_ROUNDS, seed = 1 } = options;
    this.#framing = framing;
    this.#options = options;
    this.#rounds = rounds;
    this.#seed = seed;
    this.#random = seededRandom(seed);
  }

  verify(messages: readonly Out[], received: readonly unknown[]): void {
    const frames = this.#encode(messages);
    const stream = concat(frames);
    this.#compare(this.#decode(stream, {}), received, stream, [], "");
    this.#verifyState(messages, frames, received);
    this.#verifyPromptness(frames, received);
    this.#verifyCuts(stream, received);
    this.#verifyPromptnessWhenCut(frames);
    this.#verifyStateWithinFrames(frames, received);
    this.#verifyEnds(messages, frames, received);
    for (const refused of this.#options.refused ?? []) {
      this.#verifyRefusal(stream, received, refused);
    }
    this.#verifyLimit(stream, received);
    this.#verifyDamage(stream);
  }

  /** Encodes messages in several ways, which must agree, as one stream. */
  #encode(messages: readonly Out[]): Uint8Array[] {
    const [one, other] = [this.#framing.encoder(), this.#framing.encoder()];
    const together = new OutputBuffer();
    const third = this.#framing.encoder();
    const frames = messages.map((message, index) => {
      const [shown, before] = [show(message), bytesIn(message)];
      const name = `message ${index}, ${shown}`;
      const checkUnchanged = () => {
        if (show(message) === shown && isSame(bytesIn(message), before)) return;
        throw new Error(`${name} was changed as it was encoded`);
      };
      const frame = encodeAlone(one, message, name);
      checkUnchanged(); // otherwise it would be blamed on state of the encoders
      const again = encodeAlone(other, message, name);
      if (!isSame(frame, again)) {
        throw new Error(
          `${name} is encoded as ${showBytes(frame)} in one stream and as ${
            showBytes(again)
          } in another: the encoders share state`,
        );
      }
      together.push(third, message);
      checkUnchanged();
      return frame;
    });
    const sent = together.takeBytes();
    if (!isSame(sent, concat(frames))) {
      throw new Error(
        `Messages are encoded as ${
          showBytes(concat(frames))
        } one by one, and as ${showBytes(sent)} after another`,
      );
    }
    return frames;
  }

  #verifyPromptness(
    frames: readonly Uint8Array[],
    received: readonly unknown[],
  ): void {
    const { prompt = true } = this.#options;
    const stream = concat(frames);
    const cuts = endsOf(frames).slice(0, -1);
    const outcome = this.#decode(stream, { cuts, ended: false });
    const what = "each frame in a chunk of its own";
    this.#compare(outcome, received, stream, cuts, what, true);
    if (!prompt) return;
    outcome.counts.forEach((count, index) =>
      checkPromptness(frames, index, count, "")
    );
  }

  /** A decoder may ask for too much only once it has seen a part of the frame. */
  #verifyPromptnessWhenCut(frames: readonly Uint8Array[]): void {
    if (this.#options.prompt === false) return;
    const stream = concat(frames);
    const ends = endsOf(frames);
    for (const within of this.#waysToCutWithin(ends)) {
      const places = [...new Set([...within, ...ends])]
        .filter((place) => place > 0).sort((a, b) => a - b);
      const { counts } = this.#decode(stream, { cuts: places, ended: false });
      ends.forEach((end, index) => {
        if (end === ends[index + 1]) return; // the next frame has no bytes
        const count = counts[places.indexOf(end)] ?? 0;
        const cuts = places.filter((place) => place < end);
        const where = ` cut at ${showPlaces(cuts.slice(-1))},`;
        checkPromptness(frames, index, count, where);
      });
    }
  }

  /** Between all bytes of a short stream, and before the last byte of each frame. */
  *#waysToCutWithin(ends: readonly number[]): Generator<number[]> {
    yield ends.map((end) => end - 1);
    const length = ends.at(-1) ?? 0;
    if (length <= MAX_BYTES_FOR_EACH_PLACE) yield numbersTo(length).slice(1);
  }

  #verifyCuts(stream: Uint8Array, received: readonly unknown[]): void {
    let number = 0;
    for (const cuts of this.#waysToCut(stream.length)) {
      this.#verifyCut(stream, received, cuts, {
        intoBuffer: number % 2 === 1,
        isOverwriting: number % 4 >= 2,
      });
      number++;
    }
  }

  #verifyCut(
    stream: Uint8Array,
    received: readonly unknown[],
    cuts: readonly number[],
    how: { intoBuffer: boolean; isOverwriting: boolean },
  ): void {
    const failureOf = (cuts: readonly number[]) => {
      try {
        this.#verifyOneCut(stream, received, cuts, how);
        return undefined;
      } catch (error) {
        return { error };
      }
    };
    let failure = failureOf(cuts);
    if (failure === undefined) return;
    // Fewer cuts say more: try dropping half of them, then fewer.
    let needed = cuts;
    let tries = MAX_TRIES_WITH_FEWER;
    for (let size = cuts.length; size >= 1; size = Math.floor(size / 2)) {
      for (let start = 0; start < needed.length && tries > 0; tries--) {
        const fewer = needed.toSpliced(start, size);
        const failed = failureOf(fewer);
        if (failed === undefined) {
          start += size;
        } else {
          failure = failed;
          needed = fewer;
        }
      }
    }
    throw failure.error;
  }

  #verifyOneCut(
    stream: Uint8Array,
    received: readonly unknown[],
    cuts: readonly number[],
    { intoBuffer, isOverwriting }: {
      intoBuffer: boolean;
      isOverwriting: boolean;
    },
  ): void {
    // Compared on arrival: a message may change before all are received.
    const messages: unknown[] = [];
    const outcome = this.#decode(stream, {
      cuts,
      intoBuffer,
      onMessage: (message, index) => {
        const expected = received[index];
        messages.push(isReceivedAs(expected, message) ? expected : message);
        if (isOverwriting) overwrite(message);
      },
    });
    const what = isOverwriting
      ? "as its receiver writes over each message"
      : "";
    this.#compare({ ...outcome, messages }, received, stream, cuts, what);
    if (isOverwriting) return;
    this.#compare(
      outcome,
      received,
      stream,
      cuts,
      "when all has been received",
    );
  }

  /** Decodes two streams in turns, and encodes a third: they must not affect each other. */
  #verifyState(
    messages: readonly Out[],
    frames: readonly Uint8Array[],
    received: readonly unknown[],
  ): void {
    const stream = concat(frames);
    const encoder = this.#framing.encoder();
    const others: Uint8Array[] = [];
    let inner: Outcome | undefined;
    const outer = this.#decode(stream, {
      onMessage: (_, index) => {
        inner ??= this.#decode(stream, {});
        const message = messages[index]!; // as many are received as are sent
        others.push(encodeAlone(encoder, message, `message ${index}`));
      },
    });
    for (const outcome of [outer, inner]) {
      const what = "while another stream is decoded, and a third encoded";
      if (outcome !== undefined) {
        this.#compare(outcome, received, stream, [], what);
      }
    }
    const wrong = frames.findIndex((frame, i) => !isSame(frame, others[i]));
    if (wrong === -1) return;
    throw new Error(
      `Message ${wrong}, ${show(messages[wrong])}, is encoded as ${
        showBytes(frames[wrong] ?? NO_BYTES)
      }, and as ${
        showBytes(others[wrong] ?? NO_BYTES)
      } while a stream is decoded: the directions share state`,
    );
  }

  /** Decodes streams while another one lacks the last byte of a frame. */
  #verifyStateWithinFrames(
    frames: readonly Uint8Array[],
    received: readonly unknown[],
  ): void {
    const stream = concat(frames);
    const lastBytes = new Set(endsOf(frames).map((end) => end - 1));
    const cuts = [...lastBytes].filter((place) => place > 0)
      .slice(0, ROUNDS_OF_ONE_FRAME);
    let inner: Outcome | undefined;
    const outer = this.#decode(stream, {
      cuts,
      onChunk: () => {
        if (inner !== undefined && !isReceived(received, inner.messages)) {
          return;
        }
        inner = this.#decode(stream, {});
      },
    });
    if (inner !== undefined) {
      const what = "while another stream lacks the last byte of a frame";
      this.#compare(inner, received, stream, [], what);
    }
    const what = "while other streams are decoded within its messages";
    this.#compare(outer, received, stream, cuts, what);
  }

  /** Ends the stream at each place, or at many and before the last byte of each frame. */
  #verifyEnds(
    messages: readonly Out[],
    frames: readonly Uint8Array[],
    received: readonly unknown[],
  ): void {
    const stream = concat(frames);
    const ends = endsOf(frames);
    const { prompt = true } = this.#options;
    const lastBytes = ends.slice(0, this.#rounds).map((end) => end - 1);
    const places = [...this.#places(stream.length), ...lastBytes];
    for (const place of places.filter((place) => place >= 0)) {
      const part = stream.subarray(0, place);
      const whole = ends.filter((end) => end <= place).length;
      const { messages: got, failure, dropped } = this.#decode(part, {});
      const name = `A stream that ends after ${place} bytes, ${
        showBytes(part)
      }`;
      this.#checkError(failure, name);
      const [start = 0, end] = [ends[whole - 1], ends[whole]];
      // Without a delimiter after it, the last one may have grown by the next bytes.
      const settled = prompt || place === start ? whole : whole - 1;
      const isRight = got.length <= whole + 1 &&
        (got.length >= whole || !prompt) &&
        got.every((message, i) =>
          i >= settled || isReceivedAs(received[i], message)
        );
      if (!isRight) {
        throw new Error(
          `${name}, gives ${showAll(got)}: not the messages that are whole, ${
            showAll(received.slice(0, whole))
          }, and perhaps a remainder`,
        );
      }
      const isTold = failure !== undefined || dropped > 0 ||
        got.length > whole || // including a part of the last one
        !isReceived(received.slice(0, got.length), got);
      if (isTold || place === start) continue;
      const expected = received.slice(0, whole + 1);
      const isWhole = (...parts: Uint8Array[]) =>
        isReceived(expected, this.#decode(concat(parts), {}).messages);
      // Bytes that a message does not need, such as white space before it, may be skipped.
      if (isWhole(stream.subarray(0, start), stream.subarray(place, end))) {
        continue;
      }
      // They may also be whole in themselves, such as a preface: then a frame may follow.
      const next = this.#nextFrame(messages.slice(0, whole + 1));
      if (next !== undefined && isWhole(part, next)) continue;
      throw new Error(
        `${name}, ends without an error, although its last message is cut off`,
      );
    }
  }

  /** The frame of the last message if it is sent once more, unless it is refused then. */
  #nextFrame(messages: readonly Out[]): Uint8Array | undefined {
    const encoder = this.#framing.encoder();
    const output = new OutputBuffer();
    try {
      for (const message of messages) output.push(encoder, message);
      output.takeBytes();
      output.push(encoder, messages.at(-1)!); // the one that was cut off
    } catch {
      return undefined;
    }
    return output.takeBytes();
  }

  /** Verifies that bytes after the messages are refused, wherever they are cut. */
  #verifyRefusal(
    before: Uint8Array,
    received: readonly unknown[],
    refused: Uint8Array,
  ): void {
    const stream = concat([before, refused]);
    const name = showBytes(refused);
    const expected = this.#decode(stream, {});
    if (expected.failure === undefined) {
      throw new Error(
        `${name} after the messages is not refused: ${
          showAll(expected.messages.slice(received.length))
        } was received`,
      );
    }
    this.#checkError(expected.failure, `${name} after the messages`);
    const first = expected.messages.slice(0, received.length);
    if (!isReceived(received, first)) {
      throw new Error(
        `${name} is refused before the messages that come before it: ${
          showAll(first)
        } was received`,
      );
    }
    // Cuts within the messages were tried before.
    for (const way of this.#waysToCut(refused.length, ROUNDS_OF_ONE_FRAME)) {
      const cuts = way.map((place) => before.length + place);
      this.#compareWith(expected, stream, [before.length, ...cuts]);
    }
  }

  #verifyLimit(before: Uint8Array, received: readonly unknown[]): void {
    const { limit } = this.#options;
    if (limit === undefined) return;
    const { maxLength, message, larger } = limit;
    const longest = message(maxLength);
    const frame = concat(this.#encode([longest]));
    const where = `a message of ${maxLength} bytes, which is the limit,`;
    for (const cuts of this.#waysToCut(frame.length, ROUNDS_OF_ONE_FRAME)) {
      const { messages, failure } = this.#decode(frame, { cuts });
      // With `received`, the value for this message is not known.
      const isRight = failure === undefined && messages.length === 1 &&
        (this.#options.received !== undefined ||
          isReceivedAs(longest, messages[0]));
      if (!isRight) {
        throw new Error(
          `${where} is not received, cut at ${showPlaces(cuts)}: ${
            showOutcome({ messages, failure })
          }`,
          cause(failure),
        );
      }
    }
    const tooLong = message(maxLength + 1);
    const encoder = this.#framing.encoder();
    const isSent = canSend(encoder, tooLong);
    if (!isSent) this.#verifyNextFrame(encoder, longest, frame);
    const source = larger ?? (isSent ? this.#framing : undefined);
    if (source === undefined) return; // refused when sending
    const refused = encodeAlone(source.encoder(), tooLong, "");
    this.#verifyRefusal(before, received, refused);
  }

  /** Verifies that a refused message leaves the state of an encoder as it was. */
  #verifyNextFrame(
    encoder: Encoder<Out>,
    message: Out,
    expected: Uint8Array,
  ): void {
    const what = "the longest message, after one that was refused,";
    const frame = encodeAlone(encoder, message, what);
    if (isSame(frame, expected)) return;
    throw new Error(
      `${what} is encoded as ${showBytes(frame)}, and alone as ${
        showBytes(expected)
      }: what was refused has changed the encoder's state`,
    );
  }

  #verifyDamage(whole: Uint8Array): void {
    const stream = whole.subarray(0, MAX_DAMAGED_BYTES);
    for (let round = 0; round < this.#rounds; round++) {
      const bytes = damaged(this.#random, stream);
      const expected = this.#decode(bytes, {});
      this.#checkError(
        expected.failure,
        `damaged bytes, ${showBytes(bytes)} (seed ${this.#seed})`,
      );
      this.#compareWith(expected, bytes, numbersTo(bytes.length).slice(1));
      this.#compareWith(
        expected,
        bytes,
        randomCuts(this.#random, bytes.length),
      );
    }
  }

  #decode(stream: Uint8Array, options: DecodeOptions): Outcome {
    const { cuts = [] } = options;
    try {
      return decodeStream(this.#framing, stream, options);
    } catch (cause) {
      const reason = isError(cause) ? cause.message : cause;
      throw new Error(`${reason}: ${showCut(stream, cuts)}`, { cause });
    }
  }

  /** Throws unless the outcome is exactly these messages. */
  #compare(
    { messages, failure }: Outcome,
    received: readonly unknown[],
    stream: Uint8Array,
    cuts: readonly number[],
    what: string,
    mayBeFewer = false,
  ): void {
    const expected = mayBeFewer ? received.slice(0, messages.length) : received;
    if (failure === undefined && isReceived(expected, messages)) return;
    const wrong = messages.findIndex((message, i) =>
      !isReceivedAs(received[i], message)
    );
    const place = wrong === -1
      ? `${messages.length} of ${received.length} messages`
      : `message ${wrong} as ${show(messages[wrong])}, which was ${
        wrong < received.length ? show(received[wrong]) : "not sent"
      }`;
    const error = failure === undefined
      ? ""
      : `, then ${textOf(() => failure.error)}`;
    throw new Error(
      `${showCut(stream, cuts)} gives ${place}${error}${
        what === "" ? "" : `, ${what}`
      } (seed ${this.#seed})`,
      cause(failure),
    );
  }

  /** Throws unless the bytes give the same result with these cuts as without. */
  #compareWith(
    expected: Outcome,
    stream: Uint8Array,
    cuts: readonly number[],
  ): void {
    const outcome = this.#decode(stream, { cuts });
    if (
      isSame(outcome.messages, expected.messages) &&
      isSameFailure(outcome.failure, expected.failure)
    ) return;
    throw new Error(
      `${showCut(stream, cuts)} gives ${
        showOutcome(outcome)
      }, and whole it gives ${showOutcome(expected)} (seed ${this.#seed})`,
      cause(outcome.failure),
    );
  }

  #checkError(failure: Outcome["failure"], name: string): void {
    const { isAllowed = isFramingError } = this.#options;
    if (failure === undefined || isAllowed(failure.error)) return;
    throw new Error(
      `${name}, throws ${
        textOf(() => failure.error)
      }: what the peer does wrong must be a FramingError (see the option isAllowed)`,
      { cause: failure.error },
    );
  }

  /** All places of a short stream, and some of a long one. */
  #places(length: number): number[] {
    const isShort = length <= MAX_BYTES_FOR_EACH_PLACE;
    return isShort
      ? numbersTo(length + 1)
      : Array.from({ length: this.#rounds }, () => this.#random(length + 1));
  }

  /** The ways to cut: nowhere first, because that is the shortest to report. */
  *#waysToCut(length: number, rounds = this.#rounds): Generator<number[]> {
    const hasAllPlaces = length <= MAX_BYTES_FOR_EACH_BYTE;
    const places = hasAllPlaces ? numbersTo(length).slice(1) : [];
    const isShort = length <= MAX_BYTES_FOR_EACH_PLACE;
    // As often as there are ways to decode it.
    for (let i = 0; i < 4; i++) yield [];
    for (const place of isShort ? [...places, ...places] : []) yield [place];
    for (let i = 0; i < 4; i++) yield places;
    if (length <= MAX_BYTES_FOR_ALL_WAYS) {
      for (let way = 0; way < 2 ** places.length; way++) {
        yield places.filter((place) => way & (1 << (place - 1)));
      }
      return;
    }
    for (let round = 0; round < rounds; round++) {
      yield randomCuts(this.#random, length);
    }
  }
}

const NO_BYTES = new Uint8Array(0);

function encodeAlone<Out>(
  encoder: Encoder<Out>,
  message: Out,
  name: string,
): Uint8Array {
  const output = new OutputBuffer();
  try {
    output.push(encoder, message);
  } catch (cause) {
    throw new Error(`${name} cannot be encoded: ${textOf(() => cause)}`, {
      cause,
    });
  }
  return output.takeBytes();
}

/** The whole numbers from 0 to below `limit`. */
function numbersTo(limit: number): number[] {
  return Array.from({ length: limit }, (_, i) => i);
}

/** Throws unless the message of a frame has come with it. */
function checkPromptness(
  frames: readonly Uint8Array[],
  index: number,
  count: number,
  where: string,
): void {
  if (count === index + 1) return;
  const frame = showBytes(frames[index] ?? NO_BYTES);
  throw new Error(
    `Frame ${index}, ${frame},${where} is there, and ${count} messages have come: its message must come with its last byte (see the option prompt)`,
  );
}

/** Where in the stream each frame ends. */
function endsOf(frames: readonly Uint8Array[]): number[] {
  let end = 0;
  return frames.map(({ length }) => end += length);
}

function canSend<Out>(encoder: Encoder<Out>, message: Out): boolean {
  try {
    new OutputBuffer().push(encoder, message);
    return true;
  } catch {
    return false;
  }
}

/** Whether a message was received as expected; a string may come as its bytes. */
function isReceivedAs(expected: unknown, message: unknown): boolean {
  return isSame(expected, message) ||
    typeof expected === "string" && isBytes(message) &&
      isSame(new TextEncoder().encode(expected), message);
}

function isReceived(
  expected: readonly unknown[],
  messages: readonly unknown[],
): boolean {
  return messages.length === expected.length &&
    messages.every((message, i) => isReceivedAs(expected[i], message));
}

/** Whether two streams failed for the same reason, or did not. */
function isSameFailure(a: Outcome["failure"], b: Outcome["failure"]): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [one, other] = [a.error, b.error];
  if (isFramingError(one) && isFramingError(other)) {
    return one.code === other.code && one.offset === other.offset;
  }
  return textOf(() => one) === textOf(() => other);
}

function cause(failure: Outcome["failure"]): ErrorOptions {
  return failure === undefined ? {} : { cause: failure.error };
}

function showOutcome(
  { messages, failure }: Pick<Outcome, "messages" | "failure">,
): string {
  const error = failure === undefined
    ? ""
    : `, then ${textOf(() => failure.error)}`;
  return `${showAll(messages)}${error}`;
}

const MAX_SHOWN_MESSAGES = 5;

function showAll(messages: readonly unknown[]): string {
  const shown = messages.slice(0, MAX_SHOWN_MESSAGES).map(show).join(", ");
  return messages.length > MAX_SHOWN_MESSAGES
    ? `[${shown}, … (${messages.length} messages)]`
    : `[${shown}]`;
}

function showPlaces(cuts: readonly number[]): string {
  if (cuts.length === 0) return "no place";
  return cuts.length > 20
    ? `${cuts.slice(0, 20).join(", ")}, … (${cuts.length} places)`
    : cuts.join(", ");
}

/** A stream and how it was cut, in an error. */
function showCut(stream: Uint8Array, cuts: readonly number[]): string {
  if (cuts.length === 0) return `${showBytes(stream)}, whole,`;
  if (cuts.length === stream.length - 1) {
    return `${showBytes(stream)}, byte by byte,`;
  }
  if (cuts.length > 3) {
    return `${showBytes(stream)}, cut at ${showPlaces(cuts)},`;
  }
  const places = [0, ...cuts, stream.length];
  const chunks = places.slice(1).map((end, i) =>
    showEnds(stream.subarray(places[i], end))
  );
  return `cut into ${chunks.join(" | ")} at ${showPlaces(cuts)}: it`;
}
