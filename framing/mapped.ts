import { checkFunction, checkNotAsync } from "../internal/checks.ts";
import { noteDropped, wantedDrops } from "../internal/drops.ts";
import { decodePart, takeMore } from "./_decode_part.ts";
import { ManyDecoder, RangeDecoder } from "./_decoders.ts";
import { checkInner } from "./_limits.ts";
import {
  checkMalformed,
  isReported,
  type Malformed,
  refuse,
} from "./_malformed.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import type { InputBuffer } from "./input_buffer.ts";
import type { MalformedOptions } from "./malformed.ts";

/**
 * How messages of one type are read and written as another type.
 *
 * @typeParam In The type that the framing receives.
 * @typeParam Out The type that the framing sends.
 * @typeParam MappedIn The type received instead.
 * @typeParam MappedOut The type sent instead.
 *
 * @example Numbers as lines
 * ```ts
 * import {
 *   ChunkDecoder,
 *   ChunkEncoder,
 *   lines,
 *   mapped,
 *   type Mapping,
 * } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const numbers: Mapping<string, string, number> = {
 *   decode: Number,
 *   encode: String,
 * };
 * const framing = mapped(lines(), numbers);
 *
 * assertEquals(new ChunkDecoder(framing).decode(new ChunkEncoder(framing).encode(42)), [42]);
 * ```
 */
export interface Mapping<In, Out, MappedIn, MappedOut = MappedIn>
  extends MalformedOptions {
  /**
   * Makes your type from a received message; `undefined` drops the message. An error that
   * it throws ends the stream, except for a {@linkcode FramingError} if `onMalformed`
   * says so.
   */
  decode: (message: In) => MappedIn | undefined;
  /**
   * Makes a message to send from your type. It is called once per message. If it throws,
   * the message is refused.
   */
  encode: (message: MappedOut) => Out;
}

/**
 * Any framing, read and written as your own type.
 *
 * @typeParam In The type that the framing receives.
 * @typeParam Out The type that the framing sends.
 * @typeParam MappedIn The type received instead.
 * @typeParam MappedOut The type sent instead.
 * @param framing Where messages begin and end.
 * @param mapping How a message is read and written.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing, `decode` or `encode` is not a
 * function, or `onMalformed` has a value that is not listed.
 *
 * @example Dates as lines
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, lines, mapped } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = mapped(lines(), {
 *   decode: (line) => new Date(line),
 *   encode: (date: Date) => date.toISOString(),
 * });
 * const date = new Date("2026-01-02T03:04:05Z");
 *
 * const [received] = new ChunkDecoder(framing).decode(new ChunkEncoder(framing).encode(date));
 *
 * assertEquals(received?.getTime(), date.getTime());
 * ```
 */
export function mapped<In, Out, MappedIn, MappedOut = MappedIn>(
  framing: Framing<In, Out>,
  mapping: Mapping<In, Out, MappedIn, MappedOut>,
): Framing<MappedIn, MappedOut> {
  checkInner("mapped", framing);
  checkFunction("make mapped framing", "decode", mapping.decode);
  checkFunction("make mapped framing", "encode", mapping.encode);
  const malformed = checkMalformed("mapped", mapping);
  let inner: Encoder<Out> | undefined;
  let encoder: Encoder<MappedOut> | undefined;
  return {
    decoder: () => new MappedDecoder(framing.decoder(), mapping, malformed),
    encoder() {
      const made = framing.encoder();
      if (encoder !== undefined && made === inner) return encoder; // without state
      inner = made;
      encoder = {
        encode(message, output) {
          const value = mapping.encode(message);
          checkNotAsync("encode message", "encode", value);
          return made.encode(value, output);
        },
      };
      return encoder;
    },
  };
}

class MappedDecoder<In, MappedIn> extends ManyDecoder<MappedIn> {
  readonly #decoder: Decoder<In>;
  // The framing refuses messages that are too long itself. Otherwise the limit is checked
  // here: the caller does not see messages that are dropped.
  readonly #keepsLimit: boolean;
  readonly #mapping: Mapping<In, unknown, MappedIn, never>;
  readonly #malformed: Malformed;

  constructor(
    decoder: Decoder<In>,
    mapping: Mapping<In, unknown, MappedIn, never>,
    malformed: Malformed,
  ) {
    super();
    this.#decoder = decoder;
    this.#keepsLimit = decoder instanceof RangeDecoder;
    this.#mapping = mapping;
    this.#malformed = malformed;
  }

  override get maxFrameLength(): number | undefined {
    return this.#decoder.maxFrameLength;
  }

  override get pending(): boolean | undefined {
    return this.#decoder.pending;
  }

  override get reports(): boolean {
    return isReported(this.#malformed) || this.#hasReports;
  }

  get #hasReports(): boolean {
    return this.#decoder instanceof ManyDecoder && this.#decoder.reports;
  }

  override decode(input: ByteInput, ended: boolean): MappedIn | undefined {
    const { offset } = input;
    for (;;) {
      let message = this.#keepsLimit
        ? this.#decoder.decode(input, ended)
        : decodePart(this.#decoder, input, ended);
      if (message === undefined) return undefined;
      do {
        const value = this.#map(message);
        if (value !== undefined) return value;
        noteDropped(wantedDrops);
        // The rest of this frame comes first: the next one may be for another framing.
        const { pending } = this.#decoder;
        message = pending === true
          ? takeMore(this.#decoder, input.offset)
          : undefined;
      } while (message !== undefined);
      // Dropped messages have taken bytes, so this is called again; if they took none, only
      // the framing knows whether the next one needs any.
      if (input.offset > offset) return undefined;
    }
  }

  override decodeMany(input: InputBuffer, messages: MappedIn[]): void {
    // Reports of later messages would come before the report of this one, which may end
    // the stream.
    if (!(this.#decoder instanceof ManyDecoder) || this.#hasReports) return;
    const inner: In[] = [];
    try {
      this.#decoder.decodeMany(input, inner);
    } finally {
      // An error comes after the messages before it.
      for (const message of inner) {
        const value = this.#map(message);
        if (value !== undefined) messages.push(value);
      }
    }
  }

  #map(message: In): MappedIn | undefined {
    try {
      const value = this.#mapping.decode(message);
      // A promise as a message would reject while nothing awaits it.
      checkNotAsync("decode message", "decode", value);
      return value;
    } catch (error) {
      refuse(error, this.#malformed);
      return undefined;
    }
  }
}
