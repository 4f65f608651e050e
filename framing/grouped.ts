import { checkFunction, checkNotAsync } from "../internal/checks.ts";
import { decodeFrame } from "./_decode_part.ts";
import {
  checkInner,
  checkMaxLength,
  checkMost,
  DEFAULT_MAX_LENGTH_BYTES,
  tooLong,
} from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import { FramingError } from "./framing_error.ts";
import type { Decoder, Framing } from "./framing.ts";

/**
 * Options for {@linkcode grouped}, and the limits of {@linkcode dotStuffed}.
 *
 * @example Replies of at most 100 lines
 * ```ts
 * import { ChunkDecoder, FramingError, grouped, type GroupedOptions, lines } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const options: GroupedOptions = { maxFrames: 100 };
 * const replies = grouped(lines(), (line) => line[3] !== "-", options);
 * const decoder = new ChunkDecoder(replies);
 * const { code } = assertThrows(
 *   () => decoder.decode(new TextEncoder().encode("250-x\n".repeat(101))),
 *   FramingError,
 * );
 * assertEquals(code, "too-long");
 * ```
 */
export interface GroupedOptions {
  /**
   * The most bytes in the frames of a message, including their delimiters or headers.
   *
   * @default {1_048_576}
   */
  maxLength?: number | undefined;
  /**
   * The most frames in a message. Even a frame of few bytes takes memory.
   *
   * @default {10_000}
   */
  maxFrames?: number | undefined;
}

/**
 * Any framing in which several frames make one message: all frames up to the last.
 *
 * If the stream ends within a group, that is a {@linkcode FramingError} of code
 * `"truncated"`. Sending takes single frames, as the framing does. If frames and messages
 * have another relation, see {@linkcode assembled}.
 *
 * @typeParam Frame The type that the framing receives.
 * @typeParam Out The type that the framing sends.
 * @param framing Where frames begin and end.
 * @param isLast Whether a frame is the last of its message. If it throws, the stream
 * ends.
 * @param options Limits.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing, or `isLast` not a function.
 * @throws {RangeError} If a limit is not a whole number of at least 1.
 *
 * @example SMTP: a reply continues if its line has a dash after the code
 * ```ts
 * import { ChunkDecoder, grouped, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const replies = grouped(lines({ eol: "\r\n" }), (line) => line[3] !== "-");
 * const bytes = new TextEncoder().encode("250-mail.example\r\n250 STARTTLS\r\n220 Go\r\n");
 *
 * assertEquals(new ChunkDecoder(replies).decode(bytes), [
 *   ["250-mail.example", "250 STARTTLS"],
 *   ["220 Go"],
 * ]);
 * ```
 */
export function grouped<Frame, Out = Frame>(
  framing: Framing<Frame, Out>,
  isLast: (frame: Frame) => boolean,
  options: GroupedOptions = {},
): Framing<Frame[], Out> {
  checkInner("grouped", framing);
  checkFunction("make grouped framing", "isLast", isLast);
  const rules = { isLast, ...checkGroupLimits("grouped", options) };
  return {
    decoder: () => new GroupingDecoder(framing.decoder(), rules),
    encoder: () => framing.encoder(),
  };
}

/** {@linkcode GroupedOptions}, checked and with defaults. */
export interface GroupLimits {
  readonly maxLength: number;
  readonly maxFrames: number;
}

/** Checks the limits given to `name`, and fills in the defaults. */
export function checkGroupLimits(
  name: string,
  options: GroupedOptions,
): GroupLimits {
  const { maxLength = DEFAULT_MAX_LENGTH_BYTES, maxFrames = 10_000 } = options;
  checkMaxLength(name, maxLength);
  checkMost(name, "maxFrames", maxFrames);
  return { maxLength, maxFrames };
}

interface Rules<Frame> extends GroupLimits {
  readonly isLast: (frame: Frame) => boolean;
}

class GroupingDecoder<Frame> implements Decoder<Frame[]> {
  readonly #decoder: Decoder<Frame>;
  readonly #rules: Rules<Frame>;
  // The frames of the message that has begun, and how many bytes they took.
  #frames: Frame[] = [];
  #length = 0;

  constructor(decoder: Decoder<Frame>, rules: Rules<Frame>) {
    this.#decoder = decoder;
    this.#rules = rules;
  }

  get maxFrameLength(): number | undefined {
    return this.#decoder.maxFrameLength;
  }

  get pending(): boolean | undefined {
    return this.#frames.length > 0 || this.#decoder.pending;
  }

  decode(input: ByteInput, ended: boolean): Frame[] | undefined {
    const { isLast, maxLength, maxFrames } = this.#rules;
    const before = input.offset;
    // Return once a byte was taken, to be called again; until then, the framing may have
    // more frames that need none.
    for (let end = before; end === before;) {
      const frame = decodeFrame(this.#decoder, input, ended);
      end = input.offset;
      this.#length += end - before;
      if (frame === undefined) {
        if (this.pending !== true) this.#length = 0; // the length of a dropped frame
        return undefined;
      }
      const start = end - this.#length;
      if (this.#length > maxLength) throw tooLong(WHAT, start, maxLength);
      this.#frames.push(frame);
      if (this.#frames.length > maxFrames) {
        throw new FramingError(
          `Cannot decode ${WHAT} at byte ${start}: it has more than ${maxFrames} frames`,
          { code: "too-long", offset: start },
        );
      }
      const isWhole: unknown = isLast(frame);
      checkNotAsync("decode message", "isLast", isWhole);
      if (isWhole) {
        const frames = this.#frames;
        this.#frames = [];
        this.#length = 0;
        return frames;
      }
    }
    return undefined;
  }
}

const WHAT = "message of several frames";
