import type { Decoder, Framing } from "../framing/framing.ts";
import { InputBuffer } from "../framing/input_buffer.ts";
import { drops, wantedDrops } from "../internal/drops.ts";

/** The result of decoding a stream. */
export interface Outcome {
  readonly messages: readonly unknown[];
  /** How many messages there were after each chunk. */
  readonly counts: readonly number[];
  /** Why it failed, if it did. */
  readonly failure: { readonly error: unknown } | undefined;
  /** How many messages were dropped by an option of the framing. */
  readonly dropped: number;
}

/** How a stream is decoded. */
export interface DecodeOptions {
  /** Where it is cut, ascending. */
  readonly cuts?: readonly number[];
  /** Whether the decoder is given the end of the stream. */
  readonly ended?: boolean;
  /** Reads into one buffer, as a connection does, instead of passing chunks. */
  readonly intoBuffer?: boolean;
  /** Called with each message when it is decoded. */
  readonly onMessage?: (message: unknown, index: number) => void;
  /** Called when everything was taken from a chunk. */
  readonly onChunk?: () => void;
}

// No real frame has so many messages, and no decode() needs so many looks at its input.
const MAX_WITHOUT_BYTES = 10_000;
const MAX_LOOKS_PER_BYTE = 100;
const MIN_LOOKS = 10_000;

/** Thrown for a decoder without end, which the bytes do not excuse. */
export class Endless extends Error {}

/** Decodes a stream in one way. */
export function decodeStream(
  framing: Pick<Framing<unknown, never>, "decoder">,
  stream: Uint8Array,
  options: DecodeOptions = {},
): Outcome {
  const { cuts = [], ended = true, intoBuffer = false, onMessage, onChunk } =
    options;
  const input = new InputBuffer();
  const decoder = bounded(framing.decoder());
  const messages: unknown[] = [];
  const counts: number[] = [];
  const droppedBefore = drops.count + wantedDrops.count;
  const outcome = (failure: Outcome["failure"]): Outcome => ({
    messages,
    counts,
    failure,
    dropped: drops.count + wantedDrops.count - droppedBefore,
  });
  const take = (isEnd: boolean) => {
    let withoutBytes = 0;
    for (;;) {
      const { offset } = input;
      const message = input.pull(decoder, isEnd);
      if (message === undefined) return;
      withoutBytes = input.offset === offset ? withoutBytes + 1 : 0;
      if (withoutBytes > MAX_WITHOUT_BYTES) {
        throw new Endless(
          `decode() gave ${MAX_WITHOUT_BYTES} messages without taking a byte`,
        );
      }
      onMessage?.(message, messages.length);
      messages.push(message);
    }
  };
  try {
    let start = 0;
    for (const end of [...cuts, stream.length]) {
      const chunk = stream.subarray(start, end);
      start = end;
      if (intoBuffer) {
        // Room for the whole chunk: less would be a cut that no error reports.
        input.room(chunk.length, chunk.length, 64).set(chunk);
        input.fill(chunk.length);
      } else input.append(new Uint8Array(chunk));
      take(false);
      counts.push(messages.length);
      onChunk?.();
    }
    if (ended) take(true);
  } catch (error) {
    if (error instanceof Endless) throw error;
    return outcome({ error });
  }
  return outcome(undefined);
}

/** The same decoder, but it throws if it looks at its input endlessly. */
function bounded<T>(decoder: Decoder<T>): Decoder<T> {
  return {
    get maxFrameLength() {
      return decoder.maxFrameLength;
    },
    get pending() {
      return decoder.pending;
    },
    decode(input, ended) {
      const most = MIN_LOOKS + MAX_LOOKS_PER_BYTE * input.length;
      let looks = 0;
      const watched = new Proxy(input, {
        get(target, name) {
          if (++looks > most) {
            throw new Endless(
              `decode() looked ${most} times at ${target.length} bytes in one call`,
            );
          }
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      return decoder.decode(watched, ended);
    },
  };
}
