/**
 * Lesson 3: the same messages in three framings, cut into reads by hand.
 *
 * It runs anywhere, so the static page includes it.
 *
 * @module
 */
import {
  type Bytes,
  ChunkDecoder,
  ChunkEncoder,
  delimited,
  fixedLength,
  type Framing,
  lengthPrefixed,
  type Sendable,
} from "@framed/tcp/framing";

/** The three ways to mark where a message ends. */
export type FramingName = "delimiter" | "length" | "fixed";

/** A question of the page. */
export interface FramingQuestion {
  framing: FramingName;
  messages: string[];
  /** The ends of all reads but the last, in bytes from the start, in order. */
  cuts: number[];
  /** The positions of sent bytes that get lost. */
  lost: number[];
  /** The message whose length field says 4 GiB. */
  forged?: number | undefined;
}

/** The answer. */
export interface FramingAnswer {
  /** The bytes that arrive. */
  bytes: number[];
  /**
   * For each byte: the index of its message, and whether it belongs to the message
   * itself.
   */
  owners: { message: number; isContent: boolean }[];
  /** The messages that the sender could not encode, and why. */
  refused: { message: number; error: string }[];
  reads: Read[];
  /** The error at the end of the stream. */
  endError: string | undefined;
}

/** The result of one read. */
export interface Read {
  from: number;
  to: number;
  /** The bare read, as text. */
  text: string;
  messages: { text: string; isRight: boolean }[];
  /** The number of bytes that wait for the rest of their message. */
  waiting: number;
  error: string | undefined;
}

/**
 * The longest message that the receiver accepts: short, so that a message is soon too
 * long.
 */
export const MAX_LENGTH = 24;
/** Messages of fixed length are padded with spaces. */
const FIXED_LENGTH = 12;

interface Way {
  /** The framing of the sender. */
  encoding: Framing<Bytes, Sendable>;
  /** The framing of the receiver, with a limit. */
  decoding: Framing<Bytes, Sendable>;
  /** The parts of a frame before and after the message. */
  before: number;
  after: number;
  fill?: (message: Uint8Array) => Uint8Array;
}

const WAYS: Record<FramingName, Way> = {
  delimiter: {
    encoding: delimited("\n"),
    decoding: delimited("\n", { maxLength: MAX_LENGTH, trailing: "error" }),
    before: 0,
    after: 1,
  },
  length: {
    encoding: lengthPrefixed(),
    decoding: lengthPrefixed({ maxLength: MAX_LENGTH }),
    before: 4,
    after: 0,
  },
  fixed: {
    encoding: fixedLength(FIXED_LENGTH),
    decoding: fixedLength(FIXED_LENGTH),
    before: 0,
    after: 0,
    fill: fillUp,
  },
};

/** Encodes the messages, cuts the bytes into reads, and decodes them. */
export function answer(question: FramingQuestion): FramingAnswer {
  const { framing, cuts } = question;
  const { bytes, owners, refused } = encode(question);
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length];
  const chunks = ends.map((end, index) =>
    bytes.subarray(ends[index - 1] ?? 0, end)
  );
  const { reads, endError } = decode(WAYS[framing], chunks, question.messages);
  return { bytes: [...bytes], owners, refused, reads, endError };
}

type Encoded = Pick<FramingAnswer, "owners" | "refused"> & {
  bytes: Uint8Array;
};

function encode(question: FramingQuestion): Encoded {
  const way = WAYS[question.framing];
  const sent: number[] = [];
  const owners: FramingAnswer["owners"] = [];
  const refused: FramingAnswer["refused"] = [];
  for (const [message, text] of question.messages.entries()) {
    try {
      const frame = encodeMessage(way, new TextEncoder().encode(text));
      if (message === question.forged && question.framing === "length") {
        frame.fill(0xff, 0, way.before);
      }
      const contentEnd = frame.length - way.after;
      for (const [index, byte] of frame.entries()) {
        sent.push(byte);
        const isContent = index >= way.before && index < contentEnd;
        owners.push({ message, isContent });
      }
    } catch (error) {
      refused.push({ message, error: reason(error) });
    }
  }
  const isHere = (_: unknown, index: number) => !question.lost.includes(index);
  return {
    bytes: new Uint8Array(sent.filter(isHere)),
    owners: owners.filter(isHere),
    refused,
  };
}

function encodeMessage(
  { encoding, fill }: Way,
  message: Uint8Array,
): Uint8Array {
  return new ChunkEncoder(encoding).encode(fill?.(message) ?? message);
}

function fillUp(message: Uint8Array): Uint8Array {
  if (message.length > FIXED_LENGTH) return message; // it is refused
  const filled = new Uint8Array(FIXED_LENGTH).fill(0x20);
  filled.set(message);
  return filled;
}

function decode(
  way: Way,
  chunks: Uint8Array[],
  messages: string[],
): Pick<FramingAnswer, "reads" | "endError"> {
  const decoder = new ChunkDecoder(way.decoding);
  const expected = messages.map(withoutFill);
  const reads: Read[] = [];
  let to = 0;
  let waiting = 0;
  for (const chunk of chunks) {
    const from = to;
    to += chunk.length;
    // Nothing is decoded after an error.
    if (reads.at(-1)?.error !== undefined) break;
    const { decoded, error } = decodeChunk(decoder, chunk);
    waiting += chunk.length;
    for (const { length } of decoded) {
      waiting -= way.before + length + way.after;
    }
    reads.push({
      from,
      to,
      text: textOf(chunk),
      messages: decoded.map(textOf).map(withoutFill).map((text) => ({
        text,
        isRight: takeOut(expected, text),
      })),
      waiting,
      error,
    });
  }
  const hasFailed = reads.at(-1)?.error !== undefined;
  return {
    reads,
    endError: hasFailed ? undefined : errorOf(() => decoder.end()),
  };
}

/** Returns the messages of a chunk, and the error after them. */
function decodeChunk(
  decoder: ChunkDecoder<Bytes>,
  chunk: Uint8Array,
): { decoded: Bytes[]; error: string | undefined } {
  const decoded: Bytes[] = [];
  const error = errorOf(() => {
    // shown: frame
    const messages = decoder.decode(chunk);
    for (const message of messages) decoded.push(message);
    // end
    // An error after a message is thrown by the next call.
    if (messages.length > 0) decoder.decode(new Uint8Array());
  });
  return { decoded, error };
}

function withoutFill(text: string): string {
  return text.trimEnd();
}

/** Removes a text from a list, if it is there. */
function takeOut(texts: string[], text: string): boolean {
  const index = texts.indexOf(text);
  if (index !== -1) texts.splice(index, 1);
  return index !== -1;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function errorOf(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return reason(error);
  }
}

function reason(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message}`
    : `${error}`;
}
