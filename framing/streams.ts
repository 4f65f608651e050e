import {
  delimited,
  type DelimitedOptions,
  type Delimiter,
} from "./delimited.ts";
import { Queue } from "../internal/queue.ts";
import { QueueStream } from "../internal/queue_stream.ts";
import type { Bytes, Decoder, Framing } from "./framing.ts";

/**
 * A `TransformStream` of bytes into messages.
 *
 * Bytes are decoded only when somebody reads. Messages before an error are
 * delivered before it.
 *
 * @typeParam In What is received.
 *
 * @example Reading lines from any stream of bytes
 * ```ts
 * import { FrameDecoderStream, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const messages = new Blob(["one\ntwo\nth", "ree\n"]).stream()
 *   .pipeThrough(new FrameDecoderStream(lines()));
 *
 * assertEquals(await Array.fromAsync(messages), ["one", "two", "three"]);
 * ```
 */
export class FrameDecoderStream<In> extends TransformStream<Uint8Array, In> {
  /** Where messages come out. */
  override readonly readable: ReadableStream<In>;
  /** Where bytes go in. */
  override readonly writable: WritableStream<Uint8Array>;

  /**
   * Makes a stream.
   *
   * @param framing Where messages begin and end.
   */
  constructor(framing: Framing<In, never>) {
    super();
    // A TransformStream whose `flush` fails throws away what was not read yet
    // (https://streams.spec.whatwg.org/#transform-stream-error). These two wait
    // for the reader before they report an error.
    const { readable, writable } = decoderPair(framing.decoder());
    this.readable = readable;
    this.writable = writable;
  }
}

const NO_BYTES = new Uint8Array(0);

/** Two ends of a decoder: bytes are decoded once all messages before are read. */
function decoderPair<In>(
  decoder: Decoder<In>,
): { readable: ReadableStream<In>; writable: WritableStream<Uint8Array> } {
  const messages = new Queue<In>();
  let readableController: ReadableStreamDefaultController<In>;
  let writableController: WritableStreamDefaultController;
  let isOpen = true;
  // A read waits.
  let isPulled = false;
  // The decoder gave messages last, and may hold an error that is behind them.
  let mayHoldError = false;
  let wake = () => {};

  /** Waits until all messages have been read and one more is asked for. */
  async function pulled(): Promise<void> {
    while (isOpen && !isPulled) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  }

  function deliver(decoded: In[]): void {
    if (decoded.length === 0) return;
    messages.fill(decoded);
    mayHoldError = true;
    if (isPulled) {
      isPulled = false;
      readableController.enqueue(messages.shift());
    }
  }

  function enqueueAll(): void {
    for (const message of messages.takeAll()) {
      readableController.enqueue(message);
    }
  }

  function fail(error: unknown): void {
    isOpen = false;
    wake();
    readableController.error(error);
  }

  const readable = new QueueStream<In>({
    get available() {
      const isBusy = isPulled || readableController.desiredSize !== 0;
      return isBusy || messages.length === 0 ? undefined : messages;
    },
    start(controller) {
      readableController = controller;
    },
    pull() {
      if (messages.length > 0) return enqueueAll();
      isPulled = true;
      if (mayHoldError) {
        mayHoldError = false;
        try {
          deliver(decoder.decode(NO_BYTES));
        } catch (error) {
          fail(error);
          writableController.error(error);
        }
      }
      wake();
    },
    cancel(reason) {
      isOpen = false;
      wake();
      writableController.error(reason);
    },
  });

  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      writableController = controller;
      // The sink's own `abort` would wait for a write that waits for a reader.
      const { signal } = controller;
      signal.addEventListener("abort", () => fail(signal.reason));
    },
    async write(chunk) {
      await pulled();
      if (!isOpen) return;
      try {
        deliver(decoder.decode(chunk));
      } catch (error) {
        fail(error);
        throw error;
      }
    },
    async close() {
      enqueueAll();
      try {
        for (;;) {
          // Throws if there was an error behind the last messages.
          const rest = decoder.end();
          if (rest.length === 0) break;
          deliver(rest);
          enqueueAll();
        }
      } catch (error) {
        await pulled();
        if (isOpen) fail(error);
        throw error;
      }
      readableController.close();
    },
  });
  return { readable, writable };
}

/**
 * A `TransformStream` of messages into bytes.
 *
 * A message that the framing refuses is an error of the stream.
 *
 * @typeParam Out What may be sent.
 *
 * @example Writing lines to any stream of bytes
 * ```ts
 * import { FrameEncoderStream, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 * import { toText } from "@std/streams/to-text";
 *
 * const bytes = ReadableStream.from(["one", "two"])
 *   .pipeThrough(new FrameEncoderStream(lines()));
 *
 * assertEquals(await toText(bytes), "one\ntwo\n");
 * ```
 */
export class FrameEncoderStream<Out> extends TransformStream<Out, Uint8Array> {
  /**
   * Makes a stream.
   *
   * @param framing How messages are written.
   */
  constructor(framing: Framing<unknown, Out>) {
    super({
      transform(message, controller) {
        controller.enqueue(framing.encode(message));
      },
    });
  }
}

/**
 * A `TransformStream` that splits bytes into messages at a delimiter.
 *
 * It takes what the class of that name in `@std/streams` takes, and more. What
 * differs: it is right for every way the bytes can be cut into chunks; it is
 * bounded by `maxLength`; a stream that is empty or ends with its delimiter has
 * no empty message at its end, nor one that begins with its delimiter at its
 * beginning under `"prefix"`.
 *
 * @example Splitting at every comma
 * ```ts
 * import { DelimiterStream } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const values = new Blob(["foo,b", "ar,baz"]).stream()
 *   .pipeThrough(new DelimiterStream(","))
 *   .pipeThrough(new TextDecoderStream());
 *
 * assertEquals(await Array.fromAsync(values), ["foo", "bar", "baz"]);
 * ```
 */
export class DelimiterStream extends FrameDecoderStream<Bytes> {
  /**
   * Makes a stream.
   *
   * @param delimiter One delimiter, or several.
   * @param options What becomes of delimiters and remainders, and limits; see
   * {@linkcode delimited}.
   * @throws {TypeError} As {@linkcode delimited} does.
   * @throws {RangeError} If a delimiter is empty or a number out of range.
   */
  constructor(delimiter: Delimiter, options: DelimitedOptions = {}) {
    super(delimited(delimiter, options));
  }
}
