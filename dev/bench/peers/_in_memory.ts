/** Decoding without sockets: the chunks, and how to decode them. */

import {
  type Kind,
  makeBlock,
  makeMessages,
  type Run,
  Tally,
} from "./subject.mjs";

type Bytes = Uint8Array<ArrayBuffer>;

/** What to decode: the delimiter or header, and the messages. */
export interface InMemoryOptions {
  kind?: Kind;
  delimiter?: string;
  header?: (message: Uint8Array) => Uint8Array;
  /** Whether each chunk has its own memory, like chunks of a socket. */
  areApart?: boolean;
}

/** Decodes chunks repeatedly, up to the count, into a tally. */
export type Decode = (
  chunks: Iterable<Bytes>,
  tally: Tally,
) => void | Promise<void>;

/** A run that decodes blocks of messages, cut into chunks. */
export function inMemory(
  messageLength: number,
  chunkLength: number,
  decode: Decode,
  options: InMemoryOptions = {},
): Run {
  const { kind, delimiter = "\n", header, areApart = false } = options;
  const messages = makeMessages(messageLength, kind);
  const block = makeBlock(
    messages,
    new TextEncoder().encode(delimiter),
    header,
  );
  const chunks: Bytes[] = [];
  for (let at = 0; at < block.length; at += chunkLength) {
    const chunk = block.subarray(at, at + chunkLength);
    chunks.push(areApart ? chunk.slice() : chunk);
  }
  return async (_port, count) => {
    const tally = new Tally();
    await decode(repeat(chunks, count / messages.length), tally);
    return tally;
  };
}

function* repeat(chunks: Bytes[], times: number): Generator<Bytes> {
  for (let time = 0; time < times; time++) yield* chunks;
}

/** Pipes chunks through a transform stream, like most programs. */
export function pipe<Out>(
  chunks: Iterable<Bytes>,
  transform: TransformStream<Bytes, Out>,
): ReadableStream<Out> {
  const iterator = chunks[Symbol.iterator]();
  return new ReadableStream<Bytes>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }).pipeThrough(transform);
}

/** A header of four bytes with the length of the message. */
export function lengthHeader(message: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4));
  header.setUint32(0, message.length);
  return new Uint8Array(header.buffer);
}

/** The start of a JSON object with the message; {@linkcode JSON_DELIMITER} ends it. */
export function jsonHeader(): Uint8Array {
  return new TextEncoder().encode('{"text":"');
}

/** The end of such an object and its line. */
export const JSON_DELIMITER = '"}\n';
