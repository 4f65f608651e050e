import { type Parser, parserDecoder } from "./_parser.ts";
import type { Bytes, Decoder, Framing, Sendable } from "./framing.ts";

/**
 * How messages of one type are read and written as another.
 *
 * @typeParam In What the framing receives.
 * @typeParam Out What the framing may send.
 * @typeParam MappedIn What is received in its place.
 * @typeParam MappedOut What may be sent in its place.
 *
 * @example Numbers as lines
 * ```ts
 * import { lines, mapped, type Mapping } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const numbers: Mapping<string, string, number> = {
 *   decode: Number,
 *   encode: String,
 * };
 * const framing = mapped(lines(), numbers);
 *
 * assertEquals(framing.decoder().decode(framing.encode(42)), [42]);
 * ```
 */
export interface Mapping<In, Out, MappedIn, MappedOut = MappedIn> {
  /** Makes your type of what was received. What it throws ends the stream. */
  decode: (message: In) => MappedIn;
  /** Makes of your type what can be sent. What it throws refuses the message. */
  encode: (message: MappedOut) => Out;
}

/**
 * Any framing, read and written as your own type.
 *
 * @typeParam In What the framing receives.
 * @typeParam Out What the framing may send.
 * @typeParam MappedIn What is received in its place.
 * @typeParam MappedOut What may be sent in its place.
 * @param framing Where messages begin and end.
 * @param mapping How a message is read and written.
 * @returns A framing without state, which many connections may share.
 *
 * @example Dates as lines
 * ```ts
 * import { lines, mapped } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = mapped(lines(), {
 *   decode: (line) => new Date(line),
 *   encode: (date: Date) => date.toISOString(),
 * });
 * const date = new Date("2026-01-02T03:04:05Z");
 *
 * const [received] = framing.decoder().decode(framing.encode(date));
 *
 * assertEquals(received?.getTime(), date.getTime());
 * ```
 */
export function mapped<In, Out, MappedIn, MappedOut = MappedIn>(
  framing: Framing<In, Out>,
  mapping: Mapping<In, Out, MappedIn, MappedOut>,
): Framing<MappedIn, MappedOut> {
  const { decode, encode } = mapping;
  return {
    decoder: () => parserDecoder(new MappedParser(framing.decoder(), decode)),
    encode: (message) => framing.encode(encode(message)),
    ...(framing.encodeInto && {
      encodeInto: (message: MappedOut, target: Uint8Array, offset: number) =>
        framing.encodeInto?.(encode(message), target, offset) ?? -1,
    }),
  };
}

/**
 * Like {@linkcode mapped} where `encode` always makes text, which a connection can
 * encode together with other text.
 */
export function mappedAsText<MappedIn, MappedOut>(
  framing: Framing<Bytes, Sendable>,
  mapping: Mapping<Bytes, string, MappedIn, MappedOut>,
): Framing<MappedIn, MappedOut> {
  const { encode } = mapping;
  return {
    ...mapped<Bytes, Sendable, MappedIn, MappedOut>(framing, mapping),
    ...(framing.encodeText && {
      encodeText: (message: MappedOut) => framing.encodeText?.(encode(message)),
    }),
  };
}

class MappedParser<In, MappedIn> implements Parser<MappedIn> {
  readonly #decoder: Decoder<In>;
  readonly #decode: (message: In) => MappedIn;

  constructor(decoder: Decoder<In>, decode: (message: In) => MappedIn) {
    this.#decoder = decoder;
    this.#decode = decode;
  }

  get pending(): boolean | undefined {
    return this.#decoder.pending;
  }

  parse(chunk: Bytes, messages: MappedIn[]): void {
    for (const message of this.#decoder.decode(chunk)) {
      messages.push(this.#decode(message));
    }
  }

  end(messages: MappedIn[]): void {
    for (const message of this.#decoder.end()) {
      messages.push(this.#decode(message));
    }
  }
}
