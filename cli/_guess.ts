/**
 * Which framings fit some bytes, and how well.
 *
 * A framing that fits only by chance is not worth mentioning, so each candidate is
 * weighed by how unlikely chance is, in bits: a length of four bytes that leads from one
 * message to the next a few times cannot be chance, but a single byte can. Rare forms
 * need more evidence.
 *
 * @module
 */
import { type Framing, InputBuffer } from "../framing.ts";
import { FRAMING_FLAGS } from "./_framing_flag_table.ts";
import { chooseFraming } from "./_framing_flags.ts";
import { parseFlags } from "./_flags.ts";

/** The beginning of a stream, with where its reads ended. */
export class Sample {
  // In one buffer: a chunk may be one byte.
  readonly #input = new InputBuffer();
  /** Where reads ended: senders usually write whole messages. */
  readonly cuts: number[] = [];
  /** Whether the stream has ended, and this is all of it. */
  isWhole = false;

  /** Adds the bytes of a read, if there is room. */
  add(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.length >= MAX_SAMPLE_BYTES) return;
    this.#input.append(new Uint8Array(chunk));
    this.cuts.push(this.length);
  }

  get length(): number {
    return this.#input.length;
  }

  get bytes(): Uint8Array {
    return this.#input.bytesAt(0, this.length);
  }
}

// Enough messages to recognize any protocol.
const MAX_SAMPLE_BYTES = 64 * 1024;
// The tool may listen for a long time: samples of all connections would fill the memory.
const MAX_SAMPLES = 64;

/** Adds the sample of one more stream, if there is room. */
export function keepSample(samples: Sample[], sample: Sample): void {
  if (samples.length < MAX_SAMPLES) samples.push(sample);
}

/** A framing that fits. */
export interface Guess {
  /** The flags that choose it. */
  readonly flags: readonly string[];
  /** How many bits speak against chance. */
  readonly bits: number;
  readonly messages: number;
  readonly shortest: number;
  readonly longest: number;
  /** How many reads ended where a message did. */
  readonly alignedCuts: number;
  readonly cuts: number;
  /** Other flags that divide the bytes in the same places. */
  readonly alternatives: readonly (readonly string[])[];
}

/** How one framing divides a stream into messages. */
interface Division {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly lengths: readonly number[];
  /** Where the rest begins. */
  readonly taken: number;
}

interface Candidate {
  readonly flags: readonly string[];
  /** How rare it is, in bits. */
  readonly cost: number;
  /** The evidence for it in how it divides the bytes, in bits. */
  evidence(division: Division, bytes: Uint8Array): number;
}

/** The framings that fit all of the samples, the most convincing first. */
export function guess(samples: readonly Sample[]): Guess[] {
  const streams = samples.filter(({ length }) => length > 0)
    .map(({ bytes, cuts, isWhole }) => ({ bytes, cuts, isWhole }));
  if (streams.length === 0) return [];
  const found = new Map<string, Guess>();
  const candidates = candidatesFor(streams.map(({ bytes }) => bytes));
  const guesses = candidates.flatMap((candidate) => {
    const framing = framingOf(candidate.flags);
    let bits = -candidate.cost;
    const lengths: number[] = [];
    const places: string[] = [];
    let alignedCuts = 0;
    let cuts = 0;
    for (const { bytes, cuts: ofStream, isWhole } of streams) {
      const division = divide(bytes, framing, isWhole);
      if (division === undefined) return [];
      if (division.ends.length === 0) {
        // Several reads without one whole message do not fit this framing.
        if (ofStream.length > 1) return [];
        bits -= NO_MESSAGE_BITS;
      }
      const ends = new Set(division.ends);
      const aligned = ofStream.filter((cut) => ends.has(cut)).length;
      alignedCuts += aligned;
      cuts += ofStream.length;
      bits += candidate.evidence(division, bytes) +
        cutEvidence(aligned, ofStream.length, bytes.length, ends.size);
      lengths.push(...division.lengths);
      places.push(division.ends.join(","));
    }
    if (lengths.length === 0 || bits <= 0) return [];
    return [{
      key: places.join(";"),
      guess: {
        flags: candidate.flags,
        bits,
        messages: lengths.length,
        shortest: lengths.reduce((a, b) => Math.min(a, b)),
        longest: lengths.reduce((a, b) => Math.max(a, b)),
        alignedCuts,
        cuts,
        alternatives: [],
      },
    }];
  });
  guesses.sort((a, b) => b.guess.bits - a.guess.bits);
  for (const { key, guess } of guesses) {
    const first = found.get(key);
    found.set(
      key,
      first === undefined
        ? guess
        : { ...first, alternatives: [...first.alternatives, guess.flags] },
    );
  }
  return [...found.values()];
}

const NO_MESSAGE_BITS = 6;

/**
 * The evidence in reads that end with messages, unless messages end that often anyway.
 */
function cutEvidence(
  aligned: number,
  cuts: number,
  length: number,
  messages: number,
): number {
  const chance = Math.min(0.9, Math.max(1, messages) / length);
  return aligned * -Math.log2(chance) * 0.8 - (cuts - aligned) * 2;
}

function framingOf(flags: readonly string[]): Framing<Uint8Array, never> {
  return chooseFraming(parseFlags(flags, FRAMING_FLAGS.flags).flags).framing;
}

/** Divides bytes into messages; `undefined` if the framing does not fit. */
function divide(
  bytes: Uint8Array,
  framing: Framing<Uint8Array, never>,
  isWhole: boolean,
): Division | undefined {
  const input = new InputBuffer();
  input.append(bytes);
  const decoder = framing.decoder();
  const starts: number[] = [];
  const ends: number[] = [];
  const lengths: number[] = [];
  try {
    for (;;) {
      const start = input.offset;
      const message = input.pull(decoder);
      if (message === undefined) break;
      starts.push(start);
      ends.push(input.offset);
      lengths.push(message.length);
    }
    const taken = input.offset;
    // A whole stream has no partial message.
    if (isWhole && taken < bytes.length) return undefined;
    return { starts, ends, lengths, taken };
  } catch {
    return undefined;
  }
}

function candidatesFor(streams: readonly Uint8Array[]): Candidate[] {
  return [
    ...lineCandidates(streams),
    ...delimiterCandidates(),
    ...lengthCandidates(),
    {
      flags: ["--netstrings"],
      cost: 2,
      // Each has a colon, a comma and its digits in the right places.
      evidence: ({ lengths }) => lengths.length * 16,
    },
    {
      flags: ["--content-length"],
      cost: 0,
      // Each has a name, a number and a blank line, which cannot be chance.
      evidence: ({ lengths }) => lengths.length * 24,
    },
    {
      flags: ["--json-sequence"],
      cost: 5,
      evidence: ({ lengths }, [first]) =>
        first === BRACE || first === BRACKET
          ? Math.min(24, 3 * lengths.length)
          : -40,
    },
    ...digitCandidates(),
    ...fixedCandidates(streams),
  ];
}

/** How much of the bytes is readable text, from 0 to 1. */
function readable(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) {
    // Bytes above 7f are parts of letters in UTF-8, or are not text.
    if (
      byte >= 0x20 && byte !== 0x7f || byte === 9 || byte === 10 || byte === 13
    ) count++;
  }
  const isText = isUtf8(bytes);
  return count / bytes.length - (isText ? 0 : 0.5);
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    // A character may be cut by the end of the sample.
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

// The evidence of text messages between bytes that are not text.
const TEXT_BITS = 20;

/** Whether messages are text, and what is between them is not. */
function isTextBetween(
  messages: readonly Uint8Array[],
  bytes: Uint8Array,
): boolean {
  return readable(bytes) < 1 && messages.some(({ length }) => length > 0) &&
    messages.every((message) =>
      message.length === 0 || readable(message) === 1
    );
}

const LF = 0x0a;
const BRACE = 0x7b;
const BRACKET = 0x5b;
const CR = 0x0d;

function lineCandidates(streams: readonly Uint8Array[]): Candidate[] {
  const lineFeeds = streams.reduce((sum, bytes) => sum + count(bytes, [LF]), 0);
  const pairs = streams.reduce((sum, bytes) => sum + count(bytes, [CR, LF]), 0);
  const isCrLf = lineFeeds > 0 && pairs === lineFeeds;
  return [{
    flags: isCrLf ? ["--lines", "--eol", "crlf"] : ["--lines"],
    cost: 0,
    evidence: ({ lengths }, bytes) => {
      if (readable(bytes) <= 0.97) return -40;
      // A whole stream without a line end is a line in name only.
      return bytes.includes(LF) ? 8 + 3 * Math.min(lengths.length, 10) : -10;
    },
  }];
}

function count(bytes: Uint8Array, sought: readonly number[]): number {
  let found = 0;
  for (let at = 0; at <= bytes.length - sought.length; at++) {
    if (sought.every((byte, index) => bytes[at + index] === byte)) found++;
  }
  return found;
}

/** What protocols put between messages besides line ends, and how rare it is. */
const DELIMITERS: readonly (readonly [text: string, cost: number])[] = [
  ["\\0", 2],
  ["\\x1c\\r", 2], // MLLP
  ["\\r", 3], // serial devices
  ["\\x03", 4], // end of text
  ["\\x1e", 3], // record separator
  ["\\x04", 5],
  ["\\xc0", 5], // SLIP
  ["~", 6], // HDLC
  [";", 6],
  ["|", 8],
  ["\\r\\n\\r\\n", 4], // blocks of header lines
  ["\\n\\n", 5],
  ["\\r\\n.\\r\\n", 4], // SMTP, POP3, NNTP
  ["]]>]]>", 2], // NETCONF
];

function delimiterCandidates(): Candidate[] {
  return DELIMITERS.map(([text, cost]) => ({
    flags: ["--delimiter", text],
    cost,
    evidence({ starts, ends, lengths, taken }, bytes) {
      const empty = lengths.filter((length) => length === 0).length;
      const messages = starts.map((start, index) =>
        bytes.subarray(start, start + (lengths[index] ?? 0))
      );
      // A delimiter that occurs by chance occurs in bad places.
      return 2 * Math.min(ends.length - empty, 8) - 2 * empty +
        (taken < bytes.length ? -10 : 0) +
        (isTextBetween(messages, bytes) ? TEXT_BITS : 0);
    },
  }));
}

/** Sizes of a length field, and how rare each is. */
const SIZES: readonly (readonly [size: number, cost: number])[] = [
  [1, 3],
  [2, 1],
  [3, 4],
  [4, 0],
  [8, 5],
];
const MAX_OFFSET = 8;

function lengthCandidates(): Candidate[] {
  const candidates: Candidate[] = [];
  for (let offset = 0; offset <= MAX_OFFSET; offset++) {
    for (const [size, sizeCost] of SIZES) {
      for (const order of size === 1 ? [""] : ["", ",le"]) {
        // The length may count the bytes after it, itself too, or the whole frame.
        for (const adjust of new Set([0, -size, -(offset + size)])) {
          const header = offset + size;
          candidates.push({
            flags: ["--length", lengthFlag(`${size}${order}`, offset, adjust)],
            cost: sizeCost + (order === "" ? 0 : 1) + offsetCost(offset) +
              (adjust === 0 ? 0 : 2),
            evidence: (division, bytes) =>
              fieldEvidence(division, bytes, 8 * size, header),
          });
        }
      }
    }
    if (offset > 2) continue;
    candidates.push({
      flags: offset === 0
        ? ["--varint"]
        : ["--length", lengthFlag("varint", offset, 0)],
      cost: 4 + offsetCost(offset),
      evidence: (division, bytes) =>
        fieldEvidence(division, bytes, 7, offset + 1),
    });
  }
  return candidates;
}

/** Formats of lengths as text, and the numbers of digits that protocols use. */
const DIGITS: readonly (readonly [format: string, sizes: readonly number[]])[] =
  [
    ["decimal", [2, 3, 4, 5, 6, 8]],
    ["hex", [2, 4, 8]],
  ];

function digitCandidates(): Candidate[] {
  return DIGITS.flatMap(([format, sizes]) =>
    sizes.flatMap((size) =>
      [0, -size].map((adjust): Candidate => ({
        flags: ["--length", lengthFlag(`${size},${format}`, 0, adjust)],
        cost: 5 + (adjust === 0 ? 0 : 2),
        evidence: (division, bytes) =>
          fieldEvidence(division, bytes, 8 * size, size),
      }))
    )
  );
}

function offsetCost(offset: number): number {
  return offset === 0 ? 0 : 2 + offset / 2;
}

function lengthFlag(size: string, offset: number, adjust: number): string {
  return [
    size,
    ...(offset === 0 ? [] : [`offset=${offset}`]),
    ...(adjust === 0 ? [] : [`adjust=${adjust}`]),
    // The bytes before the length say what the message is.
    ...(offset === 0 ? [] : ["strip=0"]),
  ].join(",");
}

const EMPTY_BITS = 3;

/** How unlikely it is that a field of this size leads to an offset within the bytes. */
function fieldEvidence(
  { starts, ends, lengths, taken }: Division,
  bytes: Uint8Array,
  bits: number,
  header: number,
): number {
  const messages = starts.map((start, index) => {
    const end = ends[index] ?? start;
    // A message may have its header still, and a varint more than one byte.
    const length = Math.min(lengths[index] ?? 0, end - start - header);
    return bytes.subarray(end - Math.max(0, length), end);
  });
  let evidence = isTextBetween(messages, bytes)
    ? Math.min(TEXT_BITS, 3 * messages.length)
    : 0;
  for (const [index, start] of starts.entries()) {
    const end = ends[index] ?? start;
    // Zeros lead to more zeros.
    if (end - start <= header) evidence -= EMPTY_BITS;
    else evidence += Math.max(0, bits - Math.log2(bytes.length - start + 1));
  }
  // A last message that ends with the bytes is the surest sign.
  const last = starts.length - 1;
  const lastLength = (ends[last] ?? 0) - (starts[last] ?? 0);
  return evidence + (taken === bytes.length ? Math.log2(lastLength + 1) : -3);
}

const MAX_FIXED = 256;

function fixedCandidates(streams: readonly Uint8Array[]): Candidate[] {
  const found: number[] = [];
  const candidates: Candidate[] = [];
  for (let length = 2; length <= MAX_FIXED; length++) {
    const isMultiple = found.some((each) => length % each === 0);
    const rows = streams.reduce((sum, bytes) => sum + bytes.length / length, 0);
    if (isMultiple || rows < 3) continue;
    if (!streams.every((bytes) => bytes.length % length === 0)) continue;
    const constant = constantColumns(streams, length);
    if (constant.size === 0 || constant.size === length) continue;
    found.push(length);
    candidates.push({
      flags: ["--fixed", `${length}`],
      cost: 12,
      evidence: ({ lengths }) =>
        Math.min(18, constant.size * Math.log2(lengths.length)),
    });
  }
  return candidates;
}

/** The columns that have the same byte in every row. */
function constantColumns(
  streams: readonly Uint8Array[],
  length: number,
): Set<number> {
  const columns = new Set(Array(length).keys());
  const [first] = streams;
  for (const bytes of streams) {
    for (const [index, byte] of bytes.entries()) {
      if (byte !== first?.[index % length]) columns.delete(index % length);
    }
  }
  return columns;
}

/** A hint from the first bytes that no framing gives. */
export function hintFor(bytes: Uint8Array): string | undefined {
  const [type = 0, major = 0] = bytes;
  if (type >= 0x14 && type <= 0x17 && major === 3) {
    return "These are records of TLS: with --tls you see what is in them";
  }
  const start = new TextDecoder().decode(bytes.subarray(0, 12));
  if (/^HTTP\/1\.|^(GET|POST|PUT|HEAD) \//.test(start)) {
    return "This is HTTP: lines up to an empty one, then a body";
  }
  if (start.startsWith("SSH-")) {
    return "This is SSH: one line each way, then encrypted packets";
  }
  return undefined;
}
