import { checkFunction } from "../internal/checks.ts";
import { decodePart, takeMore } from "./_decode_part.ts";
import { checkMethod } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder, Framing } from "./framing.ts";

/**
 * Several framings in one stream, told apart by the first byte of each message.
 *
 * `choose` is called with the first byte of each message, and returns its framing, which
 * gets fresh state for each message. That byte is a part of the message's frame. A message
 * that begins in the frame of another, as may happen with {@linkcode assembled}, has the
 * framing of that one.
 *
 * It only receives, because nothing says how to frame a message to send: add the encoder
 * of one of the framings, or your own.
 *
 * @typeParam In The type of received messages.
 * @param choose Returns the framing for a first byte. If it throws, the stream ends with
 * that error.
 * @returns A decoder without state, which many connections may share.
 * @throws {TypeError} If `choose` is not a function.
 *
 * @example Syslog: a digit begins a length, anything else a line
 * ```ts
 * import { asText, byFirstByte, ChunkDecoder, lines, netstrings } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const line = lines();
 * const counted = asText(netstrings());
 * const framing = {
 *   ...byFirstByte((byte) => byte >= 0x30 && byte <= 0x39 ? counted : line),
 *   encoder: line.encoder,
 * };
 *
 * const bytes = new TextEncoder().encode("<13>one\n7:<13>a\nb,<13>two\n");
 * assertEquals(new ChunkDecoder(framing).decode(bytes), [
 *   "<13>one",
 *   "<13>a\nb",
 *   "<13>two",
 * ]);
 * ```
 */
export function byFirstByte<In>(
  choose: (byte: number) => Pick<Framing<In, never>, "decoder">,
): Pick<Framing<In, never>, "decoder"> {
  checkFunction("make framing by first byte", "choose", choose);
  return { decoder: () => new ChoosingDecoder(choose) };
}

class ChoosingDecoder<In> implements Decoder<In> {
  readonly #choose: (byte: number) => Pick<Framing<In, never>, "decoder">;
  // Takes the message that has begun.
  #current: Decoder<In> | undefined;
  // Took the last message, and may have more from its frame.
  #last: Decoder<In> | undefined;
  // The offset of the byte that chose the framing.
  #offset = 0;

  constructor(choose: (byte: number) => Pick<Framing<In, never>, "decoder">) {
    this.#choose = choose;
  }

  /** Unknown before a message begins. */
  get maxFrameLength(): number | undefined {
    return this.#current === undefined
      ? Infinity
      : this.#current.maxFrameLength;
  }

  get pending(): boolean | undefined {
    return (this.#current ?? this.#last)?.pending;
  }

  decode(input: ByteInput, ended: boolean): In | undefined {
    const last = this.#last;
    if (last !== undefined) {
      const more = takeMore(last, input.offset);
      if (more !== undefined) return more;
      this.#last = undefined;
      // Its frame may also hold the beginning of the next message.
      if (last.pending === true) this.#current = last;
    }
    // Another framing may have taken these.
    const isElsewhere = input.offset !== this.#offset && this.pending !== true;
    if (this.#current === undefined || isElsewhere) {
      const first = input.byteAt(0);
      if (first === undefined) return undefined;
      const framing = this.#choose(first);
      checkMethod(`decode message with byte ${first}`, "decoder", framing);
      this.#current = framing.decoder();
    }
    const decoder = this.#current;
    const { offset } = input;
    const message = decodePart(decoder, input, ended);
    const hasPassed = input.offset > offset && decoder.pending !== true;
    if (message !== undefined || hasPassed) {
      this.#last = decoder;
      this.#current = undefined;
    }
    this.#offset = input.offset;
    return message;
  }
}
