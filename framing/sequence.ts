import { checkFunction } from "../internal/checks.ts";
import { takeMore } from "./_decode_part.ts";
import { ManyDecoder } from "./_decoders.ts";
import { checkInner, checkMethod } from "./_limits.ts";
import { askForSending } from "./_refusal.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import type { InputBuffer } from "./input_buffer.ts";
import { OutputBuffer } from "./output_buffer.ts";

/**
 * One framing for the first message of a stream, and another for all after it: a
 * greeting, a header or a handshake, then the protocol proper.
 *
 * The first message is received like the others, before them. It decides how the rest is
 * framed: `next` is called with it. If its frame holds more messages, or the beginning of
 * one, these come before the rest. Sending works the same way: the first message uses
 * `first`, and the rest use what `next` returns for the first message as its receiver
 * reads it.
 *
 * If only one direction begins this way, take the other part from another framing: `{
 * decoder: sequence(header, () => body).decoder, encoder: body.encoder }`.
 *
 * @typeParam First The type received first.
 * @typeParam In The type received later.
 * @typeParam FirstOut The type sent first.
 * @typeParam Out The type sent later.
 * @param first The framing of the first message.
 * @param next Returns the framing of the later messages, given the first. If it throws,
 * the stream ends.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `first` is not a framing, or `next` not a function.
 *
 * @example SSH: a line with the version, then packets with their length
 * ```ts
 * import { ChunkDecoder, lengthPrefixed, lines, sequence } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = sequence(
 *   lines({ eol: "\r\n", maxLength: 253 }),
 *   () => lengthPrefixed({ maxLength: 35_000 }),
 * );
 * const decoder = new ChunkDecoder(framing);
 * const bytes = new TextEncoder().encode("SSH-2.0-x\r\n\0\0\0\x03a\nb");
 *
 * assertEquals(decoder.decode(bytes), [
 *   "SSH-2.0-x",
 *   new TextEncoder().encode("a\nb"),
 * ]);
 * ```
 *
 * @example A first line that chooses the framing, in one direction
 * ```ts
 * import { asJson, ChunkDecoder, delimited, lines, netstrings, sequence } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const chosen = sequence(
 *   lines(),
 *   (line) => asJson(line === "netstrings" ? netstrings() : delimited("\n")),
 * );
 * const framing = { decoder: chosen.decoder, encoder: lines().encoder };
 * const bytes = new TextEncoder().encode("netstrings\n1:7,3:[8],");
 *
 * assertEquals(new ChunkDecoder(framing).decode(bytes), ["netstrings", 7, [8]]);
 * ```
 */
export function sequence<First, In, FirstOut = First, Out = In>(
  first: Framing<First, FirstOut>,
  next: (message: First) => Framing<In, Out>,
): Framing<First | In, FirstOut | Out> {
  checkInner("sequence", first);
  checkFunction("make sequence framing", "next", next);
  return {
    decoder: () => new SequenceDecoder<First, In>(first, next),
    encoder: () => new SequenceEncoder(first, next),
  };
}

class SequenceDecoder<First, In> extends ManyDecoder<First | In> {
  readonly #next: (message: First) => Pick<Framing<In, never>, "decoder">;
  // Undefined once the first frame has no more messages, nor the beginning of one.
  #first: Decoder<First> | undefined;
  #later: Decoder<In> | undefined;

  constructor(
    first: Pick<Framing<First, never>, "decoder">,
    next: (message: First) => Pick<Framing<In, never>, "decoder">,
  ) {
    super();
    this.#first = first.decoder();
    this.#next = next;
  }

  override get maxFrameLength(): number | undefined {
    return this.#active?.maxFrameLength;
  }

  override get pending(): boolean | undefined {
    return this.#active?.pending;
  }

  /** The decoder whose message is next. */
  get #active(): Decoder<First | In> | undefined {
    // The first frame may also hold the beginning of another message.
    const isFirst = this.#later === undefined || this.#first?.pending === true;
    return isFirst ? this.#first : this.#later;
  }

  override get reports(): boolean {
    const later = this.#rest();
    return later instanceof ManyDecoder && later.reports;
  }

  override decode(input: ByteInput, ended: boolean): First | In | undefined {
    if (this.#first === undefined) return this.#rest()?.decode(input, ended);
    const later = this.#later;
    if (later !== undefined) {
      const more = takeMore(this.#first, input.offset);
      if (more !== undefined) return more;
      if (this.#first.pending === true) {
        return this.#first.decode(input, ended);
      }
      this.#first = undefined;
      return later.decode(input, ended);
    }
    const message = this.#first.decode(input, ended);
    if (message === undefined) return undefined;
    const framing = this.#next(message);
    checkMethod("decode what follows the first message", "decoder", framing);
    this.#later = framing.decoder();
    return message;
  }

  override decodeMany(input: InputBuffer, messages: (First | In)[]): void {
    if (this.#first !== undefined) return;
    const later = this.#rest();
    if (later instanceof ManyDecoder) later.decodeMany(input, messages);
  }

  /** The decoder of everything after the first message. */
  #rest(): Decoder<In> | undefined {
    // If that is a sequence too, its continuation takes its place: otherwise they could
    // nest once per message.
    let later = this.#later;
    while (later instanceof SequenceDecoder && later.#first === undefined) {
      later = later.#later;
    }
    return this.#later = later;
  }
}

const REFUSED = "first message: its receiver would refuse it";

class SequenceEncoder<First, In, FirstOut, Out>
  implements Encoder<FirstOut | Out> {
  readonly #first: Framing<First, FirstOut>;
  readonly #next: (message: First) => Framing<In, Out>;
  readonly #firstEncoder: Encoder<FirstOut>;
  #later: Encoder<Out> | undefined;

  constructor(
    first: Framing<First, FirstOut>,
    next: (message: First) => Framing<In, Out>,
  ) {
    this.#first = first;
    this.#next = next;
    this.#firstEncoder = first.encoder();
  }

  encode(message: FirstOut | Out, output: ByteOutput): void {
    // Only its position shows which of the two types a message has.
    const rest = this.#rest();
    if (rest !== undefined) return rest.encode(message as Out, output);
    const buffer = new OutputBuffer();
    buffer.push(this.#firstEncoder, message as FirstOut);
    const frame = buffer.takeBytes();
    const [read] = askForSending(
      REFUSED,
      () => new ChunkDecoder(this.#first).decode(frame),
    );
    if (read === undefined) {
      throw new TypeError(
        `Cannot encode first message of ${frame.length} bytes: its framing reads no message from its frame`,
      );
    }
    const framing = askForSending(
      REFUSED,
      () => this.#next(read),
    );
    checkMethod("encode what follows the first message", "encoder", framing);
    const made = framing.encoder();
    output.writeBytes(frame);
    this.#later = made;
  }

  /** The encoder of everything after the first message. */
  #rest(): Encoder<Out> | undefined {
    // As for the decoder.
    let later = this.#later;
    while (later instanceof SequenceEncoder && later.#later !== undefined) {
      later = later.#later;
    }
    return this.#later = later;
  }
}
