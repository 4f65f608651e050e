/** `@std/streams`, the real package, over `conn.readable` and in memory. */

import { inMemory, pipe } from "./_in_memory.ts";
import { answerDriver, type Operation, Tally } from "./subject.mjs";

type Bytes = Uint8Array<ArrayBuffer>;
type Constructor<Stream> = new (delimiter?: Uint8Array) => Stream;

/**
 * Gets a class of the package by name. Without access to JSR the package is a stand-in
 * without such classes, which must not be measured.
 */
async function streamClass<Stream>(name: string): Promise<Constructor<Stream>> {
  const streams: Record<string, unknown> = await import("@std/streams");
  const found = streams[name];
  if (!isConstructor<Stream>(found)) {
    throw new Error(`@std/streams is a stand-in here, without ${name}`);
  }
  return found;
}

function isConstructor<Stream>(value: unknown): value is Constructor<Stream> {
  return typeof value === "function";
}

function delimiterStream(): Promise<
  Constructor<TransformStream<Bytes, Uint8Array>>
> {
  return streamClass("DelimiterStream");
}

function textLineStream(): Promise<
  Constructor<TransformStream<string, string>>
> {
  return streamClass("TextLineStream");
}

/** Adds every message except the empty one that this stream gives at its end. */
async function addAll(
  messages: ReadableStream<Uint8Array>,
  tally: Tally,
): Promise<void> {
  for await (const message of messages) {
    if (message.length > 0) tally.add(message);
  }
}

function decode(delimiter: string): Operation {
  const encoded = new TextEncoder().encode(delimiter);
  return async (length, chunkLength, kind) => {
    const DelimiterStream = await delimiterStream();
    return inMemory(
      length,
      chunkLength,
      (chunks, tally) =>
        addAll(pipe(chunks, new DelimiterStream(encoded)), tally),
      { delimiter, kind },
    );
  };
}

const operations: Record<string, Operation> = {
  "receive": async () => {
    const DelimiterStream = await delimiterStream();
    return async (port) => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      const tally = new Tally();
      const delimiter = new Uint8Array([10]);
      await addAll(
        conn.readable.pipeThrough(new DelimiterStream(delimiter)),
        tally,
      );
      return tally;
    };
  },
  "receive-text": async () => {
    const TextLineStream = await textLineStream();
    return async (port) => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      const tally = new Tally();
      const lines = conn.readable
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new TextLineStream());
      for await (const line of lines) tally.addText(line);
      return tally;
    };
  },
  "decode-lines": decode("\n"),
  "decode-crlf": decode("\r\n"),
  "decode-almost": decode("aab"),
  "decode-text": async (length, chunkLength, kind) => {
    const TextLineStream = await textLineStream();
    return inMemory(length, chunkLength, async (chunks, tally) => {
      const lines = pipe(chunks, new TextDecoderStream()).pipeThrough(
        new TextLineStream(),
      );
      for await (const line of lines) tally.addText(line);
    }, { kind });
  },
};

await answerDriver(operations);
