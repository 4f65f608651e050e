/**
 * Lesson 3: the same messages in three framings, cut into reads by hand.
 *
 * It runs anywhere, so the static form of the page has it inside.
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

/** The three ways to say where a message ends. */
export type FramingName = "delimiter" | "length" | "fixed";

/** What the page asks. */
export interface FramingQuestion {
  framing: FramingName;
  messages: string[];
  /** Where each read but the last ends, in bytes from the beginning, in order. */
  cuts: number[];
  /** Of all bytes sent, those that get lost on the way. */
  lost: number[];
  /** The message whose length field says 4 GiB. */
  forged?: number | undefined;
}

/** What becomes of it. */
export interface FramingAnswer {
  /** What arrives. */
  bytes: number[];
  /** For each byte: of which message it is, and whether it is of the message itself. */
  owners: { message: number; isContent: boolean }[];
  /** The messages that the sender could not encode, and why. */
  refused: { message: number; error: string }[];
  reads: Read[];
  /** What was wrong at the end of the stream. */
  endError: string | undefined;
}

/** What one read brings. */
export interface Read {
  from: number;
  to: number;
  /** The bare read, as text. */
  text: string;
  messages: { text: string; isRight: boolean }[];
  /** How many bytes wait for the rest of their message. */
  waiting: number;
  error: string | undefined;
}

/** The longest message that the receiver takes: short, so that one is too long soon. */
export const MAX_LENGTH = 24;
/** Messages of the fixed length are filled up with spaces. */
export const FIXED_LENGTH = 12;

interface Way {
  /** Frames what the sender sends. */
  encoding: Framing<Bytes, Sendable>;
  /** Frames what the receiver receives; it has a limit. */
  decoding: Framing<Bytes, Sendable>;
  /** What stands in a frame before and after the message. */
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
  if (message.length > FIXED_LENGTH) return message; // which is refused
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
    // After an error, no more is looked at.
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

/** Gives the messages of a chunk, and the error that comes after them. */
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

/** Takes a text out of a list, if it is there. */
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
