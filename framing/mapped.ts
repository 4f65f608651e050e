import { checkFunction } from "../internal/checks.ts";
import { type Parser, parserDecoder } from "./_parser.ts";
import type { Bytes, Decoder, Framing } from "./framing.ts";

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
  /**
   * Makes of your type what can be sent. It is called once a message. What it throws
   * refuses the message.
   */
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
 * @throws {TypeError} If `decode` or `encode` is not a function.
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
  checkFunction("make mapped framing", "decode", mapping.decode);
  checkFunction("make mapped framing", "encode", mapping.encode);
  return new MappedFraming(framing, mapping);
}

class MappedFraming<In, Out, MappedIn, MappedOut>
  implements Framing<MappedIn, MappedOut> {
  readonly #framing: Framing<In, Out>;
  readonly #mapping: Mapping<In, Out, MappedIn, MappedOut>;
  // What the framing could not write in the way that was tried is kept for the next
  // way, so that a message is encoded once.
  #kept: { readonly message: MappedOut; readonly encoded: Out } | undefined;

  constructor(
    framing: Framing<In, Out>,
    mapping: Mapping<In, Out, MappedIn, MappedOut>,
  ) {
    this.#framing = framing;
    this.#mapping = mapping;
  }

  decoder(): Decoder<MappedIn> {
    const decoder = this.#framing.decoder();
    return parserDecoder(new MappedParser(decoder, this.#mapping));
  }

  encode(message: MappedOut): Uint8Array {
    return this.#framing.encode(this.#encoded(message));
  }

  encodeInto(message: MappedOut, target: Uint8Array, offset: number): number {
    const framing = this.#framing;
    if (framing.encodeInto === undefined) return -1;
    const encoded = this.#encoded(message);
    const length = framing.encodeInto(encoded, target, offset);
    if (length === -1) this.#kept = { message, encoded };
    return length;
  }

  encodeText(message: MappedOut): string | undefined {
    const framing = this.#framing;
    if (framing.encodeText === undefined) return undefined;
    const encoded = this.#encoded(message);
    const text = framing.encodeText(encoded);
    if (text === undefined) this.#kept = { message, encoded };
    return text;
  }

  #encoded(message: MappedOut): Out {
    const kept = this.#kept;
    this.#kept = undefined;
    return kept !== undefined && Object.is(kept.message, message)
      ? kept.encoded
      : this.#mapping.encode(message);
  }
}

class MappedParser<In, MappedIn> implements Parser<MappedIn> {
  readonly #decoder: Decoder<In>;
  readonly #mapping: Mapping<In, unknown, MappedIn, never>;

  constructor(
    decoder: Decoder<In>,
    mapping: Mapping<In, unknown, MappedIn, never>,
  ) {
    this.#decoder = decoder;
    this.#mapping = mapping;
  }

  get pending(): boolean | undefined {
    return this.#decoder.pending;
  }

  parse(chunk: Bytes, messages: MappedIn[]): void {
    this.#add(this.#decoder.decode(chunk), messages);
  }

  end(messages: MappedIn[]): void {
    this.#add(this.#decoder.end(), messages);
  }

  #add(decoded: readonly In[], messages: MappedIn[]): void {
    for (const message of decoded) {
      messages.push(this.#mapping.decode(message));
    }
  }
}
