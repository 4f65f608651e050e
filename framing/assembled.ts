import { checkFunction, checkNotAsync } from "../internal/checks.ts";
import { decodeFrame } from "./_decode_part.ts";
import { checkInner } from "./_limits.ts";
import type { ByteInput } from "./byte_input.ts";
import type { Decoder, Framing } from "./framing.ts";

/**
 * Makes messages from the frames of one stream. It is called with each frame and yields
 * the messages that the frame completes, if any. It returns whether it holds an
 * unfinished message.
 *
 * @typeParam Frame The type that the framing receives.
 * @typeParam Message The type received instead.
 *
 * @example Two frames per message
 * ```ts
 * import { assembled, type Assembler, ChunkDecoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function pairs(): Assembler<string, string> {
 *   let key: string | undefined;
 *   return function* (line) {
 *     if (key === undefined) key = line;
 *     else {
 *       yield `${key}=${line}`;
 *       key = undefined;
 *     }
 *     return key !== undefined;
 *   };
 * }
 *
 * const decoder = new ChunkDecoder(assembled(lines(), pairs));
 * assertEquals(decoder.decode(new TextEncoder().encode("a\n1\nb\n")), ["a=1"]);
 * assertEquals(decoder.pending, true);
 * ```
 */
export type Assembler<Frame, Message> = (
  frame: Frame,
) => Iterator<Message, boolean | void>;

/**
 * Any framing whose frames are parts of messages, or hold several. If a message is simply
 * all frames up to its last one, {@linkcode grouped} is shorter, and has limits.
 *
 * `assembler` is called once for each stream, so variables of the function that it
 * returns belong to that stream. If the stream ends within a message, that is a
 * {@linkcode FramingError} of code `"truncated"`. Nothing limits what the function holds:
 * to limit it, throw a {@linkcode FramingError} of code `"too-long"`.
 *
 * Sending takes frames, as the framing does: this function cannot choose the parts of a
 * message. To send messages, see {@linkcode mapped} or give another `encoder`.
 *
 * @typeParam Frame The type that the framing receives.
 * @typeParam Message The type received instead.
 * @typeParam Out The type that the framing sends.
 * @param framing Where frames begin and end.
 * @param assembler Makes messages from the frames of one stream.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `framing` is not a framing, or `assembler` not a function.
 *
 * @example Messages in fragments, the last of which is marked, as in WebSocket
 * ```ts
 * import { assembled, ChunkDecoder, FramingError, netstrings } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 * import { concat } from "@std/bytes/concat";
 *
 * const MAX_LENGTH = 1024;
 * const framing = assembled(netstrings(), () => {
 *   let parts: Uint8Array[] = [];
 *   let length = 0;
 *   return function* (frame) {
 *     length += frame.length; // with its mark: an empty part takes memory too
 *     if (length > MAX_LENGTH) {
 *       throw new FramingError("Message too long", { code: "too-long", limit: MAX_LENGTH });
 *     }
 *     parts.push(frame.subarray(1));
 *     if (frame[0] === 0x21) {
 *       yield new TextDecoder().decode(concat(parts));
 *       parts = [];
 *       length = 0;
 *     }
 *     return parts.length > 0;
 *   };
 * });
 *
 * const decoder = new ChunkDecoder(framing);
 * const bytes = new TextEncoder().encode("4:-hel,3:!lo,4:!bye,");
 * assertEquals(decoder.decode(bytes), ["hello", "bye"]);
 * ```
 *
 * @example Frames that hold several messages
 * ```ts
 * import { assembled, ChunkDecoder, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = assembled(lines(), () =>
 *   function* (line) {
 *     for (const word of line.split(" ")) if (word !== "") yield word;
 *   });
 *
 * const decoder = new ChunkDecoder(framing);
 * const bytes = new TextEncoder().encode("one two\n\nthree\n");
 * assertEquals(decoder.decode(bytes), ["one", "two", "three"]);
 * ```
 */
export function assembled<Frame, Message, Out = Frame>(
  framing: Framing<Frame, Out>,
  assembler: () => Assembler<Frame, Message>,
): Framing<Message, Out> {
  checkInner("assembled", framing);
  checkFunction("make assembled framing", "assembler", assembler);
  return {
    decoder: () => new AssemblingDecoder(framing.decoder(), assembler()),
    encoder: () => framing.encoder(),
  };
}

class AssemblingDecoder<Frame, Message> implements Decoder<Message> {
  readonly #decoder: Decoder<Frame>;
  readonly #assemble: Assembler<Frame, Message>;
  // The messages of the last frame that no caller has asked for yet.
  #messages: Iterator<Message, boolean | void> | undefined;
  // The next of them, if looked up already, or the error thrown instead.
  #ahead: Message | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isAssembling = false;
  #hasBegun = false;

  constructor(
    decoder: Decoder<Frame>,
    assemble: Assembler<Frame, Message>,
  ) {
    this.#decoder = decoder;
    this.#assemble = assemble;
  }

  get maxFrameLength(): number | undefined {
    return this.#decoder.maxFrameLength;
  }

  get pending(): boolean | undefined {
    // A message left in the last frame counts as a part: the next message must come from
    // this framing.
    return this.#hasAhead() || this.#hasBegun || this.#decoder.pending;
  }

  decode(input: ByteInput, ended: boolean): Message | undefined {
    const { offset } = input;
    for (;;) {
      if (this.#hasAhead()) return this.#takeAhead();
      // The frame was taken: the next one may have another limit.
      if (input.offset > offset) return undefined;
      const frame = decodeFrame(this.#decoder, input, ended);
      if (frame === undefined) return undefined;
      this.#hasBegun = false; // until the assembler has said what it holds
      this.#messages = checkIterator(this.#assemble(frame));
    }
  }

  /** Whether the last frame holds another message, or an error after those before. */
  #hasAhead(): boolean {
    // The assembler itself may call this indirectly.
    if (this.#messages === undefined || this.#isAssembling) return false;
    if (this.#ahead === undefined && this.#failure === undefined) {
      this.#isAssembling = true;
      try {
        this.#ahead = this.#nextOfFrame();
      } catch (error) {
        this.#failure = { error };
      }
      this.#isAssembling = false;
    }
    return this.#ahead !== undefined || this.#failure !== undefined;
  }

  #takeAhead(): Message | undefined {
    const message = this.#ahead;
    const failure = this.#failure;
    this.#ahead = this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    return message;
  }

  #nextOfFrame(): Message | undefined {
    while (this.#messages !== undefined) {
      const next = this.#messages.next();
      const { value, done } = next;
      if (done) {
        this.#messages = undefined;
        this.#hasBegun = value === true;
        return undefined;
      }
      if (value !== undefined) return value;
      // That of an async generator would never be done.
      checkNotAsync(WHAT, "the assembler", next);
    }
    return undefined;
  }
}

/** Throws unless it is an iterator. */
function checkIterator<Messages extends { next: unknown }>(
  messages: Messages,
): Messages {
  if (typeof messages?.next === "function") return messages;
  checkNotAsync(WHAT, "the assembler", messages);
  throw new TypeError(
    `Cannot ${WHAT} as the assembler must give an iterator, as a generator function does`,
  );
}

const WHAT = "assemble messages";
