/** Measures the memory of decoders while a peer sends a message that never ends. */
import {
  ChunkDecoder,
  contentLength,
  delimited,
  fixedLength,
  type Framing,
  jsonSequence,
  lengthPrefixed,
  lines,
  netstrings,
} from "../../framing.ts";
import { heldMemory } from "./held_memory.ts";

const MAX_LENGTH_BYTES = 100_000;
const DECODERS = 4;
// Chunks fill their buffers or are small parts of them.
const BUFFERS_PER_CHUNK = [1, 8];
// Started delimiters, headers, and other memory of the runtime.
const SLACK_BYTES = 2048;

const encoder = new TextEncoder();
const options = { maxLength: MAX_LENGTH_BYTES } as const;
const discard = { ...options, oversize: "discard" } as const;
const x = new Uint8Array(400_000).fill(0x78);

function startingWith(start: string | number[]): Uint8Array {
  const stream = x.slice();
  stream.set(typeof start === "string" ? encoder.encode(start) : start);
  return stream;
}

// Framings, each with a stream whose first message never ends.
const CASES: readonly [string, Framing<unknown, never>, Uint8Array][] = [
  ["delimited", delimited("\n", options), x],
  ["delimited, discard", delimited("\n", discard), x],
  ["delimited by several", delimited(["xxy", "xz", "\n"], discard), x],
  [
    "delimited, prefix",
    delimited("\n", { ...discard, disposition: "prefix" }),
    startingWith("\n"),
  ],
  ["lines", lines(options), x],
  ["lines, discard", lines(discard), x],
  ["lengthPrefixed", lengthPrefixed(options), startingWith([0, 1, 0x86, 0xa0])],
  ["lengthPrefixed, too long", lengthPrefixed(options), x],
  ["lengthPrefixed, discard", lengthPrefixed(discard), x],
  ["netstrings", netstrings(options), startingWith("100000:")],
  ["netstrings, discard", netstrings(discard), startingWith("999999999:")],
  ["fixedLength", fixedLength(MAX_LENGTH_BYTES), x],
  [
    "contentLength",
    contentLength(options),
    startingWith("Content-Length: 100000\r\n\r\n"),
  ],
  ["jsonSequence", jsonSequence(options), startingWith('"')],
  ["jsonSequence, discard", jsonSequence(discard), startingWith('"')],
  [
    "a framing of one's own",
    {
      decoder: () => ({
        maxFrameLength: MAX_LENGTH_BYTES,
        decode: () => undefined,
      }),
      encoder: () => ({ encode: () => {} }),
    },
    x,
  ],
];

/** Chunk lengths below and above the limit. */
export const CHUNK_LENGTHS: readonly number[] = [1000, 40_000, 65_536, 300_000];

/**
 * Asserts for several chunk lengths that no decoder holds more than `maxLength` and the
 * buffer of one chunk at any time before it throws.
 *
 * @returns How many times the memory was looked at.
 */
export function checkMemory(
  chunkLengths: readonly number[] = CHUNK_LENGTHS,
): number {
  let looks = 0;
  // Creates what all decoders share.
  new ChunkDecoder(lines()).decode(encoder.encode("x\n".repeat(10_000)));
  new ChunkDecoder(netstrings()).decode(encoder.encode("1:x,".repeat(10_000)));
  const before = heldMemory().external;
  for (const [name, framing, stream] of CASES) {
    for (const [chunkLength, bufferLength] of chunksAndBuffers(chunkLengths)) {
      const decoders = Array.from(
        { length: DECODERS },
        () => new ChunkDecoder(framing),
      );
      let open = decoders;
      for (let start = 0; start < stream.length && open.length > 0;) {
        const end = start + chunkLength;
        open = open.filter((decoder) =>
          keepsOn(() =>
            decoder.decode(chunkIn(bufferLength, stream.subarray(start, end)))
          )
        );
        start = end;
        // Measuring takes long, so only around the limit and at the end.
        const isNear = Math.abs(start - MAX_LENGTH_BYTES) <= chunkLength;
        if (!isNear && start < stream.length) continue;
        const each = (heldMemory().external - before) / DECODERS;
        looks++;
        if (each > MAX_LENGTH_BYTES + bufferLength + SLACK_BYTES) {
          throw new Error(
            `A decoder of ${name} holds ${each} bytes after ${start} in chunks of ${chunkLength}, each in a buffer of ${bufferLength}: more than ${MAX_LENGTH_BYTES} and a chunk`,
          );
        }
      }
      // Keeps the decoders alive until here.
      if (decoders.length !== DECODERS) throw new Error("Unreachable");
    }
  }
  return looks;
}

function chunksAndBuffers(chunkLengths: readonly number[]): [number, number][] {
  return chunkLengths.flatMap((chunkLength) =>
    BUFFERS_PER_CHUNK.map((times): [number, number] => [
      chunkLength,
      chunkLength * times,
    ])
  );
}

function chunkIn(bufferLength: number, bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(Math.max(bufferLength, bytes.length));
  buffer.set(bytes);
  return buffer.subarray(0, bytes.length);
}

function keepsOn(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch {
    return false;
  }
}
