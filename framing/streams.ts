import { viewOf } from "../internal/realms.ts";
import { QueueStream } from "../internal/queue_stream.ts";
import { ChunkInput } from "./_chunk_input.ts";
import { checkMethod } from "./_limits.ts";
import type { Bytes } from "./bytes.ts";
import { ChunkEncoder } from "./chunk_decoder.ts";
import type { Decoder, Framing } from "./framing.ts";

/**
 * A `TransformStream` of bytes into messages.
 *
 * Bytes are decoded only when the stream is read, and the rest of them when it is closed.
 * Messages before an error are delivered before it. Chunks are not copied: do not write to
 * one again.
 *
 * To pass it to a worker, transfer `readable` and `writable`. Only Deno can transfer the
 * stream itself; Node and browsers refuse to.
 *
 * @typeParam In The type of received messages.
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
  /** The messages. */
  override readonly readable: ReadableStream<In>;
  /** Takes the bytes. */
  override readonly writable: WritableStream<Uint8Array>;

  /**
   * Makes a stream.
   *
   * @param framing Where messages begin and end.
   * @throws {TypeError} If `framing` is not a framing.
   */
  constructor(framing: Pick<Framing<In, never>, "decoder">) {
    super();
    checkMethod("decode messages", "decoder", framing);
    // Node and browsers would transfer the inherited sides, which decode nothing. They
    // refuse to transfer locked ones.
    super.readable.getReader();
    super.writable.getWriter();
    // A TransformStream whose `flush` fails discards unread messages
    // (https://streams.spec.whatwg.org/#transform-stream-error). These two wait for the
    // reader before they report an error.
    const { readable, writable } = decoderPair(framing.decoder());
    this.readable = readable;
    this.writable = writable;
  }
}

/** Two ends of a decoder: it accepts bytes once all earlier messages are read. */
function decoderPair<In>(
  decoder: Decoder<In>,
): { readable: ReadableStream<In>; writable: WritableStream<Uint8Array> } {
  const input = new ChunkInput();
  let readableController: ReadableStreamDefaultController<In>;
  let writableController: WritableStreamDefaultController;
  let isOpen = true;
  // No more bytes come, and the messages are all in the stream's own queue.
  let hasEnded = false;
  // A read waits for more bytes than have arrived.
  let isHungry = false;
  // The stream's own queue may hold a message, if its reader has left.
  let mayHold = false;
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};

  /** Waits until a read needs more bytes. */
  async function hungry(): Promise<void> {
    while (isOpen && !isHungry) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  }

  /** Takes the next message; an error ends both sides. */
  function next(): In | undefined {
    let message: In | undefined;
    try {
      message = input.pull(decoder);
    } catch (error) {
      fail(error);
      writableController.error(error);
      return undefined;
    }
    isHungry = message === undefined;
    if (isHungry) wake();
    return message;
  }

  /** Gives a message to a pending read. */
  function feed(): void {
    mayHold = true;
    const message = next();
    // A function of the framing may have cancelled the readable side.
    if (message !== undefined && isOpen) readableController.enqueue(message);
  }

  function fail(error: unknown): void {
    failure = { error };
    isOpen = false;
    wake();
    readableController.error(error);
  }

  const readable = new QueueStream<In>({
    next() {
      if (!isOpen || hasEnded || isHungry) return undefined;
      // Asking the stream takes a tenth of the time of a short message.
      mayHold &&= readableController.desiredSize !== 0;
      return mayHold ? undefined : next();
    },
    start(controller) {
      readableController = controller;
    },
    pull() {
      if (!hasEnded && !isHungry) return feed();
      isHungry = true;
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
      // The sink's own `abort` would wait for a write, which waits for a reader.
      const { signal } = controller;
      signal.addEventListener("abort", () => fail(signal.reason));
    },
    async write(chunk) {
      await hungry();
      if (!isOpen) return;
      try {
        input.append(viewOf(chunk));
      } catch (error) {
        fail(error);
        throw error;
      }
      feed();
      // The writer gets the error of this chunk too.
      if (failure !== undefined) throw failure.error;
    },
    async close() {
      hasEnded = true;
      try {
        for (;;) {
          const message = input.pull(decoder, true);
          if (message === undefined) break;
          isHungry = false;
          readableController.enqueue(message);
        }
      } catch (error) {
        // The messages before it are read first.
        await hungry();
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
 * A message that the framing refuses makes the stream fail.
 *
 * @typeParam Out The type of messages to send.
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
export class FrameEncoderStream<Out> extends TransformStream<Out, Bytes> {
  /**
   * Makes a stream.
   *
   * @param framing How messages are written.
   * @throws {TypeError} If `framing` is not a framing.
   */
  constructor(framing: Pick<Framing<unknown, Out>, "encoder">) {
    const encoder = new ChunkEncoder(framing);
    super({
      transform(message, controller) {
        controller.enqueue(encoder.encode(message));
      },
    });
  }
}
